"""Ultimate SD upscale: the picture is enlarged, then painted anew tile by tile in its place, then at the seams."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from PIL import Image, ImageDraw, ImageOps

from webui.base.errors import UserError
from webui.jobs.compose.request import Compose
from webui.request.fields import Generation, Img2Img
from webui.request.jobs import Demand
from webui.request.params import Choice, Slider, Toggle
from webui.request.postprocessing import NONE
from webui.request.settings import LimitSettings
from webui.scripts.flow import FlowNames, Made, Next, PictureFlow
from webui.scripts.script import by_place
from webui.scripts.sd_upscale import alone, enlarging, img2img, megapixels, picture_of, upscaler_named

SIZES = OF_FORM, CUSTOM, BY_SCALE = ("From img2img settings", "Custom size", "Scale from image size")
OF_EXTENSION = ("From img2img2 settings", CUSTOM, BY_SCALE)
"""Its names for them."""
REDRAWS = LINEAR, CHESS, NO_REDRAW = ("Linear", "Chess", "None")
SEAMS = NO_SEAMS, BANDS, HALVES, CROSSINGS = (
    "None",
    "Band pass",
    "Half tile offset pass",
    "Half tile offset pass + intersections",
)
FITTED, RESULT = "fitted", "result"
TILES, ROWS, COLUMNS, CORNERS, UPRIGHT, LEVEL = ("tiles", "rows", "columns", "corners", "upright bands", "level bands")
"""The names of passes."""
GRID = 64
ORIGINAL = 1
"""`inpainting_fill`: what lies under the mask begins as it is."""
WHITE = 255


class UltimateSdUpscale(PictureFlow):
    """Each tile is made anew by inpainting with a margin, so that the tiles around it are seen."""

    title: ClassVar[str] = "Ultimate SD upscale"
    sheet: ClassVar = "none"
    advice: ClassVar[str] = "Works best with a denoising strength of 0.2 to 0.4. Mask and padding are set below."
    places: ClassVar[tuple[str, ...]] = (
        "",
        "tile_width",
        "tile_height",
        "mask_blur",
        "padding",
        "seams_fix_width",
        "seams_fix_denoise",
        "seams_fix_padding",
        "upscaler",
        "save_upscaled_image",
        "redraw_mode",
        "save_seams_fix_image",
        "seams_fix_mask_blur",
        "seams_fix_type",
        "target_size_type",
        "custom_width",
        "custom_height",
        "custom_scale",
    )

    target_size_type: Annotated[
        int, Choice(ui="Target size type", choices=SIZES, by_index=True, ge=0, le=2), by_place(SIZES, OF_EXTENSION)
    ] = 0
    """The size of the result: width and height of the form, a size of its own, or a multiple of the picture's."""
    custom_width: Annotated[int, Slider(ui="Custom width", min=64, max=8192, step=64, ge=64, le=16384)] = 2048
    """With Custom size: the width of the result in pixels."""
    custom_height: Annotated[int, Slider(ui="Custom height", min=64, max=8192, step=64, ge=64, le=16384)] = 2048
    """With Custom size: the height of the result in pixels."""
    custom_scale: Annotated[float, Slider(ui="Scale", min=1, max=16, step=0.01, ge=0.1, le=64)] = 2.0
    """With Scale from image size: how many times larger the picture becomes; rounded up to a multiple of 64 pixels."""
    upscaler: Annotated[str, Choice(ui="Upscaler", source="upscalers")] = NONE
    """What enlarges the picture before it is painted anew. None resizes it with Lanczos."""
    redraw_mode: Annotated[
        int, Choice(ui="Redraw type", choices=REDRAWS, by_index=True, ge=0, le=2), by_place(REDRAWS)
    ] = 0
    """Linear paints tile after tile, row by row; Chess every second one first; None none of them."""
    tile_width: Annotated[int, Slider(ui="Tile width", min=0, max=2048, step=64, ge=0, le=8192)] = 512
    """In pixels; 0: as the height."""
    tile_height: Annotated[int, Slider(ui="Tile height", min=0, max=2048, step=64, ge=0, le=8192)] = 0
    """In pixels; 0: as the width."""
    mask_blur: Annotated[int, Slider(ui="Mask blur", min=0, max=64, step=1, ge=0, le=512)] = 8
    """How far a tile goes over into its neighbors, in pixels."""
    padding: Annotated[int, Slider(ui="Padding", min=0, max=512, step=1, ge=0, le=4096)] = 32
    """How much around a tile the model sees, in pixels."""
    seams_fix_type: Annotated[
        int, Choice(ui="Seams fix type", choices=SEAMS, by_index=True, ge=0, le=3), by_place(SEAMS)
    ] = 0
    """What is painted once more afterwards: bands along the seams, or tiles that lie across them."""
    seams_fix_denoise: Annotated[float, Slider(ui="Seams fix denoise", min=0, max=1, step=0.01, ge=0, le=1)] = 0.35
    """The denoising strength at the seams."""
    seams_fix_width: Annotated[int, Slider(ui="Seams fix width", min=0, max=128, step=1, ge=1, le=2048)] = 64
    """With Band pass: how wide a band is, in pixels."""
    seams_fix_mask_blur: Annotated[int, Slider(ui="Seams fix mask blur", min=0, max=64, step=1, ge=0, le=512)] = 4
    """How far what is painted at the seams goes over into the rest, in pixels."""
    seams_fix_padding: Annotated[int, Slider(ui="Seams fix padding", min=0, max=128, step=1, ge=0, le=4096)] = 16
    """How much around it the model sees, in pixels."""
    save_upscaled_image: Annotated[bool, Toggle(ui="Save upscaled")] = True
    """Saves the picture before its seams are painted."""
    save_seams_fix_image: Annotated[bool, Toggle(ui="Save seams fix")] = False
    """Saves the picture with its seams painted."""

    @property
    def tile(self) -> tuple[int, int]:
        """(width, height) in pixels. Raises UserError: it has none."""
        tile = self.tile_width or self.tile_height, self.tile_height or self.tile_width
        if not all(tile):
            raise UserError("Tiles must have a width or a height.", field="tile_width")
        return tile

    def target(self, size: tuple[int, int], request: Generation) -> tuple[int, int]:
        """Of the result: (width, height). size: of the picture."""
        match SIZES[self.target_size_type]:
            case "Custom size":
                return self.custom_width, self.custom_height
            case "Scale from image size":
                width, height = (math.ceil(side * self.custom_scale / GRID) * GRID for side in size)
                return width, height
            case _:
                return request.width, request.height

    def course(self, request: Generation, names: FlowNames, /, *, is_fixed: bool) -> UltimateCourse:  # noqa: ARG002
        given, name = picture_of(request), upscaler_named(self.upscaler, names)
        size = names.picture_size(given)
        target = self.target(size, request)
        return UltimateCourse(self, given, name, target, factors(math.ceil(max(target) / max(size))))

    def passes(self, target: tuple[int, int]) -> tuple[tuple[RepaintPass, ...], tuple[RepaintPass, ...]]:
        """Those that paint the tiles, and those that paint the seams."""
        canvas = TiledCanvas(target, self.tile, self.seams_fix_width)
        seams, band = self._seams(), {"mask_blur": 0, "padding": self.seams_fix_padding}
        drawn = (RepaintPass(TILES, canvas.rows * canvas.columns, self._redrawn()),) if self.redraws else ()
        wide = self.seams_fix_width + 2 * self.seams_fix_padding
        across = {**seams, **_changes(size=(wide, target[1]), **band)}
        down = {**seams, **_changes(size=(target[0], wide), **band)}
        corners = {**seams, "inpaint_full_res_padding": 0}
        rows, columns = canvas.rows - 1, canvas.columns - 1
        halves = (
            RepaintPass(ROWS, rows * canvas.columns, seams),
            RepaintPass(COLUMNS, canvas.rows * columns, seams),
        )
        found = {
            NO_SEAMS: (),
            BANDS: (RepaintPass(UPRIGHT, columns, across), RepaintPass(LEVEL, rows, down)),
            HALVES: halves,
            CROSSINGS: (*halves, RepaintPass(CORNERS, rows * columns, corners)),
        }[SEAMS[self.seams_fix_type]]
        return drawn, tuple(each for each in found if each.count)

    @property
    def redraws(self) -> bool:
        return REDRAWS[self.redraw_mode] != NO_REDRAW

    def _redrawn(self) -> dict[str, object]:
        """What the request for a tile is like."""
        width, height = (math.ceil((side + self.padding) / GRID) * GRID for side in self.tile)
        return _changes(size=(width, height), mask_blur=self.mask_blur, padding=self.padding)

    def _seams(self) -> dict[str, object]:
        """What the request for a seam is like."""
        found = _changes(size=self.tile, mask_blur=self.seams_fix_mask_blur, padding=self.seams_fix_padding)
        return {**found, "denoising_strength": self.seams_fix_denoise}

    def composed(
        self, step: str, numbers: tuple[int, ...], pictures: Sequence[Image.Image], _request: Img2Img, /
    ) -> Iterable[Image.Image]:
        width, height = numbers
        if step == FITTED:
            return [pictures[0].resize((width, height), Image.Resampling.LANCZOS)]
        if step == RESULT:
            return pictures
        is_chess = REDRAWS[self.redraw_mode] == CHESS
        return TiledCanvas((width, height), self.tile, self.seams_fix_width).masks(step, is_chess=is_chess)


def _changes(*, size: tuple[int, int], mask_blur: int, padding: int) -> dict[str, object]:
    return {
        "width": size[0],
        "height": size[1],
        "mask_blur_x": mask_blur,
        "mask_blur_y": mask_blur,
        "inpaint_full_res_padding": padding,
    }


def factors(scale: int) -> tuple[int, ...]:
    """By how much a picture is enlarged in turn, until it is `scale` times as large: by 4, 3 or 2 at a time."""
    found: list[int] = []
    while math.prod(found) < scale:
        left = scale // math.prod(found)
        # The extension gives up over 5 and 7.
        found.append(next((each for each in (4, 3, 2) if left % each == 0), 4 if left > 4 else 2))
    return tuple(found)


@dataclass(frozen=True)
class RepaintPass:
    """Parts of a picture that are painted one after the other, each with a mask of its own."""

    name: str
    count: int
    changes: Mapping[str, object] = field(default_factory=dict)
    """What the request for a part is like."""


@dataclass(frozen=True)
class TiledCanvas:
    """A picture in tiles that do not overlap. Sizes are (width, height) in pixels."""

    size: tuple[int, int]
    tile: tuple[int, int]
    band: int
    """The width of a band along a seam."""

    @property
    def columns(self) -> int:
        return math.ceil(self.size[0] / self.tile[0])

    @property
    def rows(self) -> int:
        return math.ceil(self.size[1] / self.tile[1])

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """(column, row) of each tile, in reading order."""
        return tuple((column, row) for row in range(self.rows) for column in range(self.columns))

    def masks(self, name: str, *, is_chess: bool) -> Iterator[Image.Image]:
        """Of a pass: white where the picture is painted, with soft edges at seams."""
        wide, high = self.tile
        if name == TILES:
            order = sorted(self.cells, key=lambda cell: sum(cell) % 2) if is_chess else self.cells
            return (self._tile_mask(*cell) for cell in order)
        down, across = range(self.rows - 1), range(self.columns - 1)
        if name == ROWS:
            ridge = _ridge(wide, high, is_upright=False)
            places = [(x * wide, y * high + high // 2) for y in down for x in range(self.columns)]
        elif name == COLUMNS:
            ridge = _ridge(wide, high, is_upright=True)
            places = [(x * wide + wide // 2, y * high) for y in range(self.rows) for x in across]
        elif name == CORNERS:
            ridge = ImageOps.invert(Image.radial_gradient("L").resize((wide, high), Image.Resampling.BICUBIC))
            places = [(x * wide + wide // 2, y * high + high // 2) for y in down for x in across]
        elif name == UPRIGHT:
            ridge = _band(self.band, self.size[1], is_upright=True)
            places = [((x + 1) * wide - self.band // 2, 0) for x in across]
        else:
            ridge = _band(self.band, self.size[0], is_upright=False)
            places = [(0, (y + 1) * high - self.band // 2) for y in down]
        return (self._with(ridge, place) for place in places)

    def _tile_mask(self, column: int, row: int) -> Image.Image:
        mask, (wide, high) = Image.new("L", self.size), self.tile
        left, top = column * wide, row * high
        # A1111's extension: a pixel of the next tile is in it.
        ImageDraw.Draw(mask).rectangle((left, top, left + wide, top + high), fill=WHITE)
        return mask

    def _with(self, ridge: Image.Image, place: tuple[int, int]) -> Image.Image:
        mask = Image.new("L", self.size)
        mask.paste(ridge, place)
        return mask


def _ridge(width: int, height: int, *, is_upright: bool) -> Image.Image:
    """White along the middle, black at two sides: to the left and right where it is upright, else above and below."""
    found, rising = Image.new("L", (width, height)), Image.linear_gradient("L")
    if is_upright:
        half = (width // 2, height)
        pair = (rising.rotate(90), (0, 0)), (rising.rotate(270), (width // 2, 0))
    else:
        half = (width, height // 2)
        pair = (rising, (0, 0)), (rising.rotate(180), (0, height // 2))
    for gradient, place in pair:
        found.paste(gradient.resize(half, Image.Resampling.BICUBIC), place)
    return found


def _band(width: int, length: int, *, is_upright: bool) -> Image.Image:
    """The same along the whole picture, `width` pixels wide."""
    ridge = _ridge(256, 256, is_upright=False)
    if is_upright:
        return ridge.rotate(90).resize((width, length), Image.Resampling.BICUBIC)
    return ridge.resize((length, width), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class UltimateCourse:
    """The picture enlarged, at its size; then for tiles and for seams: masks, each part painted, a result."""

    script: UltimateSdUpscale
    given: str
    upscaler: str
    target: tuple[int, int]
    factors: tuple[int, ...]

    @property
    def groups(self) -> tuple[tuple[RepaintPass, ...], ...]:
        """Of passes; a result comes of each."""
        drawn, seams = self.script.passes(self.target)
        return (drawn, seams) if self.script.seams_fix_type else (drawn,)

    @property
    def enlargements(self) -> tuple[int, ...]:
        return self.factors if self.upscaler != NONE else ()

    def picture_count(self, _request: Generation, /) -> int:
        return len(self.groups)

    def steps(self, _request: Generation, /) -> int:
        painted = sum(1 + each.count for group in self.groups for each in group)
        return len(self.enlargements) + 1 + painted + len(self.groups)

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        fields = {CUSTOM: "custom_width", BY_SCALE: "custom_scale"}
        return (megapixels(*self.target, limits, fields.get(SIZES[self.script.target_size_type], "width")),)

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        request, left, picture = img2img(request), iter(made), self.given
        compose = Compose(asked=request, numbers=self.target)
        for factor in self.enlargements:
            one = next(left, None)
            if one is None:
                return enlarging(picture, self.upscaler, factor)
            picture = _after(one, picture)
        fitted = next(left, None)
        if fitted is None:
            return Next(compose.changed(step=FITTED, pictures=(picture,)))
        picture = _after(fitted, picture)
        told, facts = alone(request).changed(mask=""), tuple[tuple[str, str], ...]()
        saves = (self.script.save_upscaled_image, self.script.save_seams_fix_image)
        for group, is_saved in zip(self.groups, saves, strict=False):
            for one_pass in group:
                masks = next(left, None)
                if masks is None:
                    return Next(compose.changed(step=one_pass.name, pictures=(), count=one_pass.count))
                for mask in masks.pictures:
                    told = self._part(request, picture, mask, one_pass.changes)
                    painted = next(left, None)
                    if painted is None:
                        return Next(told)
                    picture, facts = _after(painted, picture), facts or painted.facts
            if next(left, None) is None:
                return self._result(compose, picture, told, facts, is_saved=is_saved)
        return None

    def _part(self, request: Img2Img, picture: str, mask: str, changes: Mapping[str, object]) -> Img2Img:
        return alone(request).changed(
            init_images=(picture,),
            mask=mask,
            inpaint_full_res=True,
            inpainting_fill=ORIGINAL,
            inpainting_mask_invert=0,
            **changes,
        )

    def _result(
        self,
        compose: Compose,
        picture: str,
        told: Img2Img,
        facts: tuple[tuple[str, str], ...],
        *,
        is_saved: bool,
    ) -> Next:
        script, (wide, high) = self.script, self.script.tile
        labels = {
            "upscaler": self.upscaler,
            "tile_width": wide,
            "tile_height": high,
            "mask_blur": script.mask_blur,
            "padding": script.padding,
        }
        width, height = self.target
        settings = told.override_settings if is_saved else {**told.override_settings, "samples_save": False}
        told = told.changed(width=width, height=height, override_settings=settings)
        result = compose.changed(step=RESULT, pictures=(picture,), told=told)
        texts = tuple((f"{script.title} {name}", str(value)) for name, value in labels.items())
        return Next(result, is_result=True, labels=(*facts, *texts))


def _after(made: Made, before: str) -> str:
    """The picture that has come of a step; where it was skipped, the one before it."""
    return made.pictures[0] if made.pictures else before
