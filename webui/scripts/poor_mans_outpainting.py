"""Poor man's outpainting: the canvas grows on all chosen sides at once, and img2img paints what is new tile by tile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from PIL import Image, ImageDraw

from webui.jobs.compose.request import Compose
from webui.request.fields import MASKED_CONTENTS, Generation, Img2Img
from webui.request.jobs import Demand
from webui.request.params import Choice, Slider
from webui.request.settings import LimitSettings
from webui.scripts.directions import SIDES, Directions, Margins
from webui.scripts.flow import FlowNames, Made, Next, PictureFlow
from webui.scripts.script import by_place
from webui.scripts.sd_upscale import alone, img2img, megapixels, picture_of
from webui.scripts.tiles import Box, TileGrid

TILES, JOINED = "tiles", "joined"
EACH = 3
"""Pictures a tile: itself, its mask, the mask of its latents."""


class PoorMansOutpainting(PictureFlow):
    """Width and height of the form are those of a tile."""

    title: ClassVar[str] = "Poor man's outpainting"
    sheet: ClassVar = "none"

    pixels: Annotated[int, Slider(ui="Pixels to expand", min=8, max=256, step=8, ge=1, le=4096)] = 128
    """How much is added on each side, in pixels; the size of the result is rounded up to a multiple of 64. Tiles
    overlap by as much."""
    mask_blur: Annotated[int, Slider(ui="Mask blur", min=0, max=64, step=1, ge=0, le=256)] = 4
    """How far the seam is blurred, in pixels: so much of the picture's edge is painted anew."""
    inpainting_fill: Annotated[
        int,
        Choice(ui="Masked content", choices=MASKED_CONTENTS, radio=True, by_index=True, ge=0, le=3),
        by_place(MASKED_CONTENTS),
    ] = 0
    """What the new part is filled with before denoising."""
    direction: Directions = SIDES
    """On which sides the picture grows."""

    def course(self, request: Generation, names: FlowNames, /, *, is_fixed: bool) -> EdgesCourse:  # noqa: ARG002
        given = picture_of(request)
        return EdgesCourse(self, given, self._canvas(names.picture_size(given), request))

    def _canvas(self, size: tuple[int, int], request: Generation) -> WiderFrame:
        margins = Margins.around(size, self.pixels, self.direction)
        tile = (request.width, request.height)
        grid = TileGrid.over(margins.of(size), tile, self.pixels, field="pixels")
        return WiderFrame(margins, grid, self.mask_blur)

    def composed(
        self, step: str, numbers: tuple[int, ...], pictures: Sequence[Image.Image], request: Img2Img, /
    ) -> Iterable[Image.Image]:
        width, height = numbers
        canvas = self._canvas((width, height), request)
        if step == TILES:
            layers = canvas.ground(pictures[0]), canvas.mask(2 * self.mask_blur), canvas.mask(self.mask_blur // 2)
            return (layer.crop(box) for box in canvas.open for layer in layers)
        return [canvas.joined(*pictures)]


@dataclass(frozen=True)
class WiderFrame:
    """A picture with margins on some sides, seen in tiles."""

    margins: Margins
    grid: TileGrid
    blur: int

    @property
    def inner(self) -> Box:
        """Where the picture lies."""
        margins, grid = self.margins, self.grid
        return margins.left, margins.up, grid.width - margins.right, grid.height - margins.down

    @property
    def open(self) -> tuple[Box, ...]:
        """The tiles in which something is to be painted."""
        return tuple(box for box in self.grid.boxes if not self._is_done(box))

    @property
    def open_count(self) -> int:
        """How many these are."""
        (left, top, right, bottom), grid = self.inner, self.grid
        across = sum(left <= each <= right - grid.tile_width for each in grid.lefts)
        down = sum(top <= each <= bottom - grid.tile_height for each in grid.tops)
        return grid.count - across * down

    def _is_done(self, box: Box) -> bool:
        left, top, right, bottom = self.inner
        return box[0] >= left and box[1] >= top and box[2] <= right and box[3] <= bottom

    def ground(self, picture: Image.Image) -> Image.Image:
        ground = Image.new("RGB", (self.grid.width, self.grid.height))
        ground.paste(picture, self.inner[:2])
        return ground

    def mask(self, into: int) -> Image.Image:
        """White where something is to be painted: so many pixels into the picture on the sides that grow."""
        mask, (left, top, right, bottom) = Image.new("L", (self.grid.width, self.grid.height), 255), self.inner
        left, top = left + (into if self.margins.left else 0), top + (into if self.margins.up else 0)
        right, bottom = right - (into if self.margins.right else 0), bottom - (into if self.margins.down else 0)
        if right >= left and bottom >= top:
            ImageDraw.Draw(mask).rectangle((left, top, right, bottom), fill=0)
        return mask

    def joined(self, picture: Image.Image, *made: Image.Image) -> Image.Image:
        """The whole, with the tiles that were made anew, in order."""
        ground, rest = self.ground(picture), iter(made)
        tiles = [ground.crop(box) if self._is_done(box) else next(rest) for box in self.grid.boxes]
        return self.grid.joined(tiles)


@dataclass(frozen=True)
class EdgesCourse:
    """The tiles; each of them painted; the whole."""

    script: PoorMansOutpainting
    given: str
    canvas: WiderFrame

    def picture_count(self, _request: Generation, /) -> int:
        return 1

    def steps(self, _request: Generation, /) -> int:
        return self.canvas.open_count + 2

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        return (megapixels(self.canvas.grid.width, self.canvas.grid.height, limits, "pixels"),)

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        request = img2img(request)
        left, top, right, bottom = self.canvas.inner
        compose = Compose(asked=request, numbers=(right - left, bottom - top), pictures=(self.given,))
        if not made:
            return Next(compose.changed(step=TILES, count=EACH * self.canvas.open_count))
        cut, *painted = made
        if not cut.pictures or len(painted) > self.canvas.open_count:
            return None
        tiles = [cut.pictures[at : at + EACH] for at in range(0, len(cut.pictures), EACH)]
        first = self._tile(request, *tiles[0], seed=request.seed)
        if len(painted) < len(tiles):
            return Next(self._tile(request, *tiles[len(painted)], seed=request.seed + len(painted)))
        results = [one.pictures[0] if one.pictures else tile[0] for one, tile in zip(painted, tiles, strict=True)]
        joined = compose.changed(step=JOINED, pictures=(self.given, *results), told=first)
        return Next(joined, is_result=True, labels=painted[0].facts)

    def _tile(self, request: Img2Img, picture: str, mask: str, latent_mask: str, *, seed: int) -> Img2Img:
        return alone(request).changed(
            init_images=(picture,),
            mask=mask,
            latent_mask=latent_mask,
            seed=seed,
            inpaint_full_res=False,
            inpainting_fill=self.script.inpainting_fill,
            inpainting_mask_invert=0,
            mask_blur_x=2 * self.script.mask_blur,
            mask_blur_y=2 * self.script.mask_blur,
        )
