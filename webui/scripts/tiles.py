"""A picture cut into tiles that overlap, and put together again out of them, as A1111 does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from webui.base.errors import UserError

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels; right and bottom are outside."""


@dataclass(frozen=True)
class TileGrid:
    """Tiles of one size, spread evenly over a picture, in reading order. All numbers are pixels."""

    width: int
    height: int
    """Of the picture."""
    tile_width: int
    tile_height: int
    overlap: int

    @staticmethod
    def over(size: tuple[int, int], tile: tuple[int, int], overlap: int, *, field: str) -> TileGrid:
        """Tiles (width, height) over a picture of this size. field: the parameter that the overlap comes from.

        Raises:
            UserError: tiles would overlap by their whole width or height.
        """
        if overlap >= min(tile):
            raise UserError(
                f"Tiles of {tile[0]}x{tile[1]} cannot overlap by {overlap} pixels.",
                hint="Choose fewer pixels, or a larger width and height: they are the size of the tiles.",
                field=field,
            )
        return TileGrid(*size, *tile, overlap)

    @property
    def lefts(self) -> tuple[int, ...]:
        return _begins(self.width, self.tile_width, self.overlap)

    @property
    def tops(self) -> tuple[int, ...]:
        return _begins(self.height, self.tile_height, self.overlap)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where the tiles lie; that of a picture that is smaller than a tile begins outside of it."""
        wide, high = self.tile_width, self.tile_height
        return tuple((left, top, left + wide, top + high) for top in self.tops for left in self.lefts)

    @property
    def count(self) -> int:
        return len(self.lefts) * len(self.tops)

    def cut(self, picture: Image.Image) -> Iterator[Image.Image]:
        """The tiles. picture: of the grid's size."""
        return (picture.crop(box) for box in self.boxes)

    def joined(self, tiles: Sequence[Image.Image]) -> Image.Image:
        """The picture of which these are the tiles, RGB: over the overlap one goes over into the next, evenly."""
        whole = Image.new("RGB", (self.width, self.height))
        across, down = self._ramp(self.tile_height), self._ramp(self.width).transpose(Image.Transpose.TRANSPOSE)
        rest = iter(tiles)
        for top in self.tops:
            row = Image.new("RGB", (self.width, self.tile_height))
            for left in self.lefts:
                tile = next(rest).convert("RGB")
                if left == 0:
                    row.paste(tile, (0, 0))
                    continue
                if self.overlap:
                    row.paste(tile.crop((0, 0, self.overlap, self.tile_height)), (left, 0), across)
                inner = tile.crop((self.overlap, 0, self.tile_width, self.tile_height))
                row.paste(inner, (left + self.overlap, 0))
            if top == 0:
                whole.paste(row, (0, 0))
                continue
            if self.overlap:
                whole.paste(row.crop((0, 0, self.width, self.overlap)), (0, top), down)
            whole.paste(row.crop((0, self.overlap, self.width, self.tile_height)), (0, top + self.overlap))
        return whole

    def _ramp(self, along: int) -> Image.Image:
        """How much of the next tile shows: rising from left to right over the overlap, `along` rows high."""
        levels = np.arange(self.overlap, dtype=np.float32) * 255 / max(self.overlap, 1)
        return Image.fromarray(np.tile(levels.astype(np.uint8), (along, 1)))


def _begins(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Where the tiles along a side of the picture begin: the first at its beginning, the last at its end."""
    count = max(math.ceil((side - overlap) / (tile - overlap)), 1)
    apart = (side - tile) / (count - 1) if count > 1 else 0
    return tuple(side - tile if int(number * apart) + tile >= side else int(number * apart) for number in range(count))
