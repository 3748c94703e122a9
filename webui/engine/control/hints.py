"""How a map is brought to the size of a picture, so that its lines stay lines.

Rules of sd-webui-controlnet 1.1.455, as its pictures show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.preprocessors.lines import ridges
from webui.engine.preprocessors.picture import Bytes, levels, whole
from webui.features.controlnet.parameters import ResizeMode

N = TypeVar("N", np.uint8, np.float32)
MASKED = 127
"""A mask above this level is a hole."""
LARGEST = 64 * 2**20
"""Pixels, as of every picture that is taken."""
FEW_COLOURS = 200
PER_LATENT = 8
"""Pixels along a side that networks see for one latent, whatever it stands for in the picture."""
DARK, BRIGHT = 16, 240
"""Of a map that has two colours and no more: one below the first, one above the second."""


@dataclass(frozen=True, eq=False)
class Hint:
    """What a unit follows in one pass."""

    picture: Bytes
    """(h, w, 3), RGB."""
    mask: Bytes | None = None
    """(h, w): over 127 where the picture shall be filled."""
    exact: NDArray[np.float32] | None = None
    """(h, w, 3): the picture's levels before they were rounded, where it has a mask and was brought to another size."""

    @property
    def pixels(self) -> Tensor:
        """(1, 3, h, w), 0 to 1."""
        levels = self.picture if self.exact is None else self.exact
        return torch.from_numpy(np.ascontiguousarray(levels)).permute(2, 0, 1)[None].float() / 255

    @property
    def hole(self) -> Tensor | None:
        """(1, 1, h, w), 1 where the picture shall be filled."""
        if self.mask is None:
            return None
        return torch.from_numpy(np.ascontiguousarray(self.mask > MASKED))[None, None].float()

    @property
    def seen(self) -> Tensor:
        """What networks see: (1, 3, h, w), 0 to 1, and -1 where it shall be filled."""
        pixels, hole = self.pixels, self.hole
        return pixels if hole is None else pixels * (1 - hole) - hole

    @property
    def shown(self) -> Bytes:
        """(h, w, 3 or 4): half transparent where it shall be filled."""
        if self.mask is None:
            return self.picture
        return np.dstack([self.picture, np.where(self.mask > MASKED, np.uint8(128), np.uint8(255))])

    def sized(self, size: tuple[int, int], mode: ResizeMode) -> Hint:
        """At another size, (width, height); what lies beside it then shall be filled."""
        if self.mask is None:
            return Hint(sized(self.picture, size, mode))
        whole = np.dstack([self.picture, self.mask]).astype(np.float32)
        border = np.median(_border(whole), axis=0)
        border[3] = 255
        inner = _inner((whole.shape[1], whole.shape[0]), size, mode)
        if (whole.shape[1], whole.shape[0]) != inner:
            whole = np.asarray(cv2.resize(whole, inner, interpolation=_way(self.picture, inner)), np.float32)
        whole = _laid(whole, size, border.astype(np.float32))
        exact, mask = whole[..., :3], np.where(whole[..., 3] > MASKED, np.uint8(255), np.uint8(0))
        return Hint(exact.clip(0, 255).astype(np.uint8), mask, exact)


def sized(picture: Bytes, size: tuple[int, int], mode: ResizeMode) -> Bytes:
    """(h, w, 3) -> (height, width, 3). size: (width, height).

    "Just Resize" distorts, "Crop and Resize" cuts the middle out, "Resize and Fill" lays it on the median of its own
    border.
    """
    high, wide = picture.shape[:2]
    inner = _inner((wide, high), size, mode)
    ground = np.median(_border(picture), axis=0).astype(np.uint8)
    return _laid(resized(picture, inner), size, ground)


def _border(picture: NDArray[N]) -> NDArray[N]:
    """(n, channels): the outermost pixels."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _inner(old: tuple[int, int], size: tuple[int, int], mode: ResizeMode) -> tuple[int, int]:
    """(width, height) to which a picture of the old size is brought, before it is cut or laid on a ground.

    Raises:
        UserError: a long strip would become too large in between.
    """
    if mode == "Just Resize":
        return size
    factors = (size[0] / old[0], size[1] / old[1])
    factor = max(factors) if mode == "Crop and Resize" else min(factors)
    inner = (max(round(old[0] * factor), 1), max(round(old[1] * factor), 1))
    if inner[0] * inner[1] > LARGEST:
        raise UserError(
            f"To be cropped to {size[0]}x{size[1]}, the control picture of {old[0]}x{old[1]} pixels would have to be "
            f"enlarged to {inner[0]}x{inner[1]}.",
            hint="Crop it first, or choose Resize and Fill.",
            field="resize_mode",
        )
    return inner


def _laid(picture: NDArray[N], size: tuple[int, int], ground: NDArray[N]) -> NDArray[N]:
    """The middle of the picture where it is larger than the size (width, height), else it is laid on the ground."""
    width, height = size
    high, wide = picture.shape[:2]
    top, left = max(0, (high - height) // 2), max(0, (wide - width) // 2)
    picture = picture[top : top + height, left : left + width]
    high, wide = picture.shape[:2]
    if (wide, high) == size:
        return picture
    filled = np.empty((height, width, *picture.shape[2:]), picture.dtype)
    filled[:] = ground
    top, left = (height - high) // 2, (width - wide) // 2
    filled[top : top + high, left : left + wide] = picture
    return filled


def _way(picture: Bytes, size: tuple[int, int]) -> int:
    """OpenCV's interpolation for a map: flat colours stay what they are."""
    colours = len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0))
    if 2 < colours < FEW_COLOURS:
        return cv2.INTER_NEAREST
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    return cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC


def resized(picture: Bytes, size: tuple[int, int]) -> Bytes:
    """(h, w, 3) -> (height, width, 3), distorted to fit; colours stay flat and lines lines. size: (width, height)."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    colours = np.unique(picture.reshape(-1, picture.shape[2]), axis=0)
    is_binary = len(colours) == 2 and colours.min() < DARK and colours.max() > BRIGHT
    is_thin = is_binary and _is_thin(picture)
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    out = levels(cv2.resize(picture, size, interpolation=_way(picture, size)))
    if not is_binary:
        return out
    grey = out.astype(np.float32).mean(axis=2).clip(0, 255).astype(np.uint8)
    if is_thin:
        grey = ridges(grey)
    lines = levels(cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1])
    return whole(_thinned(lines, spurs=shrinks) if is_thin else lines)


def perfect_resolution(picture: tuple[int, int], target: tuple[int, int], mode: ResizeMode) -> int:
    """The resolution for a preprocessor at which its map needs no enlarging. Sizes: (width, height)."""
    factors = (target[0] / picture[0], target[1] / picture[1])
    factor = min(factors) if mode == "Resize and Fill" else max(factors)
    return round(min(picture) * factor)


def _is_thin(picture: Bytes) -> bool:
    """Whether more than half of what is white are lines of one pixel: they vanish in an opening."""
    opened = cv2.morphologyEx(picture, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    white, left = int((picture > 127).sum()), int((opened > 127).sum())
    return left * 2 < white


_CORNERS = (
    np.array(((-1, -1, -1), (0, 1, 0), (1, 1, 1)), np.int32),
    np.array(((0, -1, -1), (1, 1, -1), (0, 1, 0)), np.int32),
)
_SPURS = (
    np.array(((-1, -1, -1), (-1, 1, -1), (0, 0, -1)), np.int32),
    np.array(((-1, -1, -1), (-1, 1, -1), (-1, 0, 0)), np.int32),
)
_TURNED = tuple(np.rot90(corner, turn).copy() for turn in range(4) for corner in _CORNERS)
_SPURS_TURNED = tuple(np.rot90(spur, turn).copy() for turn in range(4) for spur in _SPURS)


def _thinned(lines: Bytes, *, spurs: bool) -> Bytes:
    """Lines of one pixel, by hit-or-miss transforms until nothing changes; then once without their spurs, if not
    `spurs`.

    Gonzalez and Woods, Digital Image Processing, section 9.5.
    """
    while True:
        before = lines
        for kernel in _TURNED:
            lines = lines - levels(cv2.morphologyEx(lines, cv2.MORPH_HITMISS, kernel))
        if np.array_equal(lines, before):
            break
    for kernel in () if spurs else _SPURS_TURNED:
        lines = lines - levels(cv2.morphologyEx(lines, cv2.MORPH_HITMISS, kernel))
    return lines
