"""How much each part of a prompt has a say at each place: tensors, together 1 everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.features.lora.scoped import Size
from webui.prompt.regions import Layout, Rectangle, colours

NEAR = 12
"""Levels by which a colour of a mask may differ from a region's."""


def of_cells(cells: Sequence[Rectangle], size: Size) -> tuple[Tensor, Tensor]:
    """(regions, h, w), 1 where a region is; and (h, w), 1 where none is."""
    found = torch.zeros(len(cells), *size)
    for own, cell in zip(found, cells, strict=True):
        own[cell.on(*size)] = 1
    return found, 1 - found.sum(dim=0).clamp(max=1)


def of_mask(mask: Image.Image, count: int, size: Size) -> tuple[Tensor, Tensor]:
    """The same by the colours of a picture, of which the nearest pixel counts."""
    levels = np.asarray(mask.convert("RGB"), np.int16)
    rows, columns = ((np.arange(side) * whole) // side for side, whole in zip(size, levels.shape, strict=False))
    near = levels[rows[:, None], columns]
    found = np.stack([np.abs(near - colour).max(axis=-1) <= NEAR for colour in np.array(colours(count))])
    regions = torch.from_numpy(found).float()
    return regions, 1 - regions.sum(dim=0)


def weighed(regions: Tensor, rest: Tensor, shares: Sequence[float] | None) -> Tensor:
    """(parts, h, w). shares: of the base prompt in each region, which is the first part then and has the rest; without
    one the rest is the first region's."""
    if shares is None:
        return torch.cat([regions[:1] + rest, regions[1:]])
    share = torch.tensor(shares, dtype=regions.dtype)[:, None, None]
    return torch.cat([(regions * share).sum(dim=0, keepdim=True) + rest, regions * (1 - share)])


def areas_of(layout: Layout, shares: Sequence[float], mask: Image.Image | None) -> Callable[[Size], Tensor]:
    """size -> how much each of the layout's parts has a say in a map of it, (parts, h, w)."""
    count = len(layout.regions)

    @lru_cache(maxsize=16)
    def at(size: Size) -> Tensor:
        regions, rest = of_cells(layout.cells, size) if mask is None else of_mask(mask, count, size)
        return weighed(regions, rest, None if layout.base is None else shares)

    return at
