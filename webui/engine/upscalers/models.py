"""Upscaler models: opened, kept, and run over a picture in tiles."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.families.tried import filled
from webui.engine.families.weights import reading
from webui.engine.families.wrapped import bare_tensors
from webui.engine.upscalers.dat import Dat, dat_of
from webui.engine.upscalers.esrgan import Compact, Rrdb, network_of
from webui.engine.upscalers.scunet import ScuNet, scunet_of
from webui.engine.upscalers.swinir import SwinIR, swinir_of
from webui.request.tiles import OTHER, TileSize

log = logging.getLogger(__name__)

TRIED = 64
"""Pixels of a side that a network is tried with."""
UNKNOWN_REACH = 28
"""Pixels: as `Upscaler.reach`, of networks that are not our own."""
UNUSED = (7, 16)
"""Of what two tiles share, this part at each end is not used."""
MOST_SHARED = 3
"""A tile shares at most this part of its side with the next one: a third."""
SMALLEST_TILE = 32
"""Pixels; where even these do not fit into memory, the picture cannot be made larger."""

OnTile = Callable[[int, int], None]
"""(tiles done, of how many); may raise to stop."""


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A network that makes pictures `scale` times as large."""

    network: nn.Module
    """(b, 3, h, w) in 0..1 -> (b, 3, h * scale, w * scale)"""
    scale: int
    dtype: torch.dtype
    kind: str = OTHER
    """Whose tiles it sees."""
    grid: int = 1
    """Pixels: where tiles begin at multiples of it, they are parted into windows as the whole picture is."""
    reach: int = 0
    """Pixels from a tile's edge where answers are no longer changed by it to speak of; 0: nobody has measured it."""


def opened(path: Path, device: torch.device, dtype: torch.dtype) -> Upscaler:
    """The model in a file.

    Raises:
        ModelError: the file is broken, unsafe, or of a kind that we cannot open.
    """
    with reading(path):
        return _opened(path, device, dtype)


def _opened(path: Path, device: torch.device, dtype: torch.dtype) -> Upscaler:
    state = bare_tensors(path)
    ours = _ours(state)
    network, scale, channels = (ours, ours.scale, ours.channels) if ours else _by_spandrel(path, state)
    if channels not in ((1, 1), (3, 3), (4, 4)) or scale < 1:
        raise ModelError(
            f"{path.name} makes pictures of {channels[1]} channels out of pictures of {channels[0]}, {scale} times as "
            "large.",
            hint="Only models for grayscale pictures, color pictures and color pictures with transparency can be used.",
        )
    placed = network.eval().requires_grad_(False).to(device, dtype)
    coloured = placed if channels[0] == 3 else _Coloured(placed, channels[0]).eval()
    kind, grid = (ours.kind, ours.grid) if ours else (OTHER, 1)
    return Upscaler(coloured, scale, dtype, kind, grid, _reach(ours))


def _reach(ours: Rrdb | Compact | SwinIR | Dat | ScuNet | None) -> int:
    if ours is None:
        return UNKNOWN_REACH
    return ours.reach if isinstance(ours, Rrdb | Compact) else 0


def _ours(state: dict[str, Tensor]) -> Rrdb | Compact | SwinIR | Dat | ScuNet | None:
    """The network of these weights, if it is one of our own; None: it is another."""
    return (
        network_of(state)
        or filled(swinir_of, state, _works)
        or filled(dat_of, state, _works)
        or filled(scunet_of, state, _works)
    )


def _works(network: SwinIR | Dat | ScuNet) -> bool:
    channels, out = network.channels
    large = TRIED * network.scale
    return bool(network(torch.empty(1, channels, TRIED, TRIED)).shape == (1, out, large, large))


class _Coloured(nn.Module):
    """A network for grey pictures, or for colours with transparency, given colours: (b, 3, h, w)."""

    def __init__(self, network: nn.Module, channels: int) -> None:
        """channels: 1 or 4."""
        super().__init__()
        self.network = network
        self.grey = channels == 1

    def forward(self, picture: Tensor) -> Tensor:
        if self.grey:  # each colour is a grey picture
            shades: Tensor = self.network(picture.flatten(0, 1)[:, None])
            return shades.reshape(len(picture), 3, *shades.shape[-2:])
        opaque = torch.cat([picture, torch.ones_like(picture[:, :1])], dim=1)
        large: Tensor = self.network(opaque)
        return large[:, :3]


def _by_spandrel(path: Path, state: dict[str, Tensor]) -> tuple[nn.Module, int, tuple[int, int]]:
    """HAT and many others, by a library that need not be there -> network, scale, channels in and out."""
    try:
        spandrel = importlib.import_module("spandrel")
    except ImportError as error:
        raise ModelError(
            f"{path.name} is not an ESRGAN, Real-ESRGAN, compact, SwinIR, DAT or ScuNET model, and other kinds "
            f"are opened by the package spandrel, which is not installed ({error}).",
            hint="Install it in the program's environment: pip install '.[upscalers]'. The torchvision that it needs "
            "must be of the same build as torch.",
        ) from error
    try:
        found = spandrel.ModelLoader().load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(f"{path.name} is of no kind of upscaler that is known ({type(error).__name__}).") from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ModelError(f"{path.name} is not a model that enlarges pictures.")
    return _Called(found), int(found.scale), (int(found.input_channels), int(found.output_channels))


class _Called(nn.Module):
    """A model of spandrel's as a module: its call pads the picture as the network needs it."""

    def __init__(self, descriptor: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.inner: nn.Module = getattr(descriptor, "model")  # noqa: B009 - a protocol would say no more

    def to(self, *where: object, **how: object) -> _Called:
        """On another device, or in another precision, through the descriptor, which remembers both."""
        self._descriptor.to(*where, **how)  # type: ignore[attr-defined]
        return self

    def forward(self, picture: Tensor) -> Tensor:
        return self._descriptor(picture)


# --- in tiles -----------------------------------------------------------------------------------------------------


def enlarged_by(
    upscaler: Upscaler, picture: Image.Image, tiles: TileSize, device: torch.device, on_tile: OnTile
) -> Image.Image:
    """The picture `upscaler.scale` times as large; with smaller tiles where memory runs out.

    Raises:
        torch.OutOfMemoryError: even the smallest tiles do not fit.
    """
    levels = torch.from_numpy(np.array(picture.convert("RGB")))
    tiles = shared_within(tiles, upscaler.reach)
    pixels = (levels.permute(2, 0, 1)[None].float() / 255.0).to(device, upscaler.dtype)
    while True:
        try:
            large = tiled(upscaler, pixels, tiles, on_tile)
            break
        except torch.OutOfMemoryError:
            tiles = shared_within(replace(tiles, side=(tiles.side or max(picture.size)) // 2), upscaler.reach)
            if tiles.side < SMALLEST_TILE:
                raise
            log.warning("Memory ran out; the picture is made larger in tiles of %d pixels.", tiles.side)
    made = (large[0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(made.contiguous().numpy())


def shared_within(tiles: TileSize, reach: int) -> TileSize:
    """The tiles sharing no more than is of use for a network of this reach, nor than a third of their side."""
    overlap = min(tiles.overlap, tiles.side // MOST_SHARED) if tiles.side else tiles.overlap
    return replace(tiles, overlap=min(overlap, shared_for(reach)) if reach else overlap)


def tiled(upscaler: Upscaler, pixels: Tensor, tiles: TileSize, on_tile: OnTile) -> Tensor:
    """(1, 3, h, w) in 0..1 -> (1, 3, h * scale, w * scale) in float32 on the CPU.

    Neighbouring tiles share `tiles.overlap` pixels or more. What a network sees beyond a tile's edge is none of the
    picture, so that its answers near by are the less like those for the whole, the nearer: only in the middle of what
    two tiles share does one fade into the other, and its outermost `margin` is not used at all. Where no answer depends
    on pixels farther away than that, the result is that of the whole picture.
    """
    _, channels, height, width = pixels.shape
    scale = upscaler.scale
    rows, columns = (
        faded(list(spans(side, tiles.side or side, tiles.overlap, upscaler.grid)), scale) for side in (height, width)
    )
    total = torch.zeros(1, channels, height * scale, width * scale)
    for number, (row, column) in enumerate((row, column) for row in rows for column in columns):
        on_tile(number, len(rows) * len(columns))
        large = upscaler.network(pixels[..., row.begin : row.end, column.begin : column.end]).float().cpu()
        total[..., row.large(scale), column.large(scale)] += large * torch.outer(row.weights, column.weights)
    on_tile(len(rows) * len(columns), len(rows) * len(columns))
    return total


def spans(side: int, tile: int, overlap: int, grid: int = 1) -> Iterator[tuple[int, int]]:
    """(begin, end) of tiles over `side` pixels, spread evenly; each but the first shares `overlap` or more.

    All begin at multiples of `grid`, and all but the last end there; where a tile is too small for that, it is taken
    larger. Without a grid, tiles are no larger than so many have to be.
    """
    aligned = tile if grid == 1 else max(tile // grid, 2) * grid
    if side <= max(tile, aligned):
        yield 0, side
        return
    tile = aligned
    step = max((tile - overlap) // grid, 1)
    last = -(-(side - tile) // grid)
    count = -(-last // step) + 1
    if grid == 1:
        tile = min(tile, max(-(-(side + (count - 1) * overlap) // count), overlap + 1))
        last = side - tile
    for number in range(count):
        begin = number * last // (count - 1) * grid
        yield begin, min(begin + tile, side)


@dataclass(frozen=True, eq=False)
class Faded:
    """A tile along one side of the picture."""

    begin: int
    end: int
    weights: Tensor
    """(length * scale,): those of all tiles add up to 1 everywhere."""

    def large(self, scale: int) -> slice:
        """Where its result lies."""
        return slice(self.begin * scale, self.end * scale)


def margin(shared: int) -> int:
    """Of so many pixels that two tiles share, how many at each end are not used of the tile that ends there."""
    return shared * UNUSED[0] // UNUSED[1]


def shared_for(reach: int) -> int:
    """How many pixels two tiles have to share for a margin of so many."""
    return -(-reach * UNUSED[1] // UNUSED[0])


def faded(tiles: Sequence[tuple[int, int]], scale: int) -> list[Faded]:
    """Tiles one after the other, each of which begins before the one before it ends, with their weights."""
    weights = [torch.ones((end - begin) * scale) for begin, end in tiles]
    for place, ((_, end), (begin, _)) in enumerate(pairwise(tiles)):
        shared, unused = (end - begin) * scale, margin(end - begin) * scale
        if shared <= 0:
            continue
        rise = (torch.arange(shared) - unused + 1) / (shared - 2 * unused + 1)
        weights[place + 1][:shared] *= rise.clamp(0.0, 1.0)
        weights[place][-shared:] *= (1.0 - rise).clamp(0.0, 1.0)
    sums = torch.zeros(tiles[-1][1] * scale)
    for (begin, end), own in zip(tiles, weights, strict=True):
        sums[begin * scale : end * scale] += own
    return [
        Faded(begin, end, own / sums[begin * scale : end * scale])
        for (begin, end), own in zip(tiles, weights, strict=True)
    ]
