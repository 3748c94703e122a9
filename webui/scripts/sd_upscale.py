"""SD upscale: the picture is enlarged, and its tiles are made anew by img2img, one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from PIL import Image

from webui.base.errors import UserError, did_you_mean
from webui.jobs.compose.request import Compose
from webui.jobs.extras.request import Extras
from webui.request.enlarged import enlarged_size
from webui.request.fields import Generation, Img2Img
from webui.request.jobs import Demand
from webui.request.params import Choice, Slider
from webui.request.postprocessing import NONE
from webui.request.settings import LimitSettings
from webui.scripts.flow import FlowNames, Made, Next, PictureFlow
from webui.scripts.tiles import TileGrid

TILES, JOINED = "tiles", "joined"


class SdUpscale(PictureFlow):
    """Width and height of the form are those of a tile. Each of several batches is a result."""

    title: ClassVar[str] = "SD upscale"
    sheet: ClassVar = "none"
    advice: ClassVar[str] = "Width and height set the size of the tiles in which the enlarged picture is made anew."
    places: ClassVar[tuple[str, ...]] = ("", "overlap", "upscaler", "scale_factor")

    overlap: Annotated[int, Slider(ui="Tile overlap", min=0, max=256, step=16, ge=0, le=4096)] = 64
    """How far neighboring tiles overlap, in pixels. Width and height of the form are the size of a tile."""
    scale_factor: Annotated[float, Slider(ui="Scale Factor", min=1, max=4, step=0.05, ge=1, le=16)] = 2.0
    """How many times larger the picture becomes on each side."""
    upscaler: Annotated[str, Choice(ui="Upscaler", source="upscalers")] = NONE
    """What enlarges the picture before its tiles are made anew. None leaves its size as it is."""

    def course(self, request: Generation, names: FlowNames, /, *, is_fixed: bool) -> UpscaleCourse:  # noqa: ARG002
        given, name = picture_of(request), upscaler_named(self.upscaler, names)
        size = names.picture_size(given)
        if name != NONE:
            size = enlarged_size(size, self.scale_factor)
        if not all(size):
            raise UserError("The picture is too small.", field="init_images")
        return UpscaleCourse(self, given, name, self._grid(size, request))

    def _grid(self, size: tuple[int, int], request: Generation) -> TileGrid:
        return TileGrid.over(size, (request.width, request.height), self.overlap, field="overlap")

    def composed(
        self, step: str, numbers: tuple[int, ...], pictures: Sequence[Image.Image], request: Img2Img, /
    ) -> Iterable[Image.Image]:
        if step == TILES:
            return self._grid(pictures[0].size, request).cut(pictures[0])
        width, height = numbers
        return [self._grid((width, height), request).joined(pictures)]


@dataclass(frozen=True)
class UpscaleCourse:
    """The picture enlarged; its tiles; for each batch, the tiles made anew and put together."""

    script: SdUpscale
    given: str
    upscaler: str
    grid: TileGrid

    def picture_count(self, request: Generation, /) -> int:
        return request.n_iter

    def steps(self, request: Generation, /) -> int:
        together = math.ceil(self.grid.count / request.batch_size)
        return (self.upscaler != NONE) + 1 + request.n_iter * (together + 1)

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        return (megapixels(self.grid.width, self.grid.height, limits, "scale_factor"),)

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        request, left, given = img2img(request), iter(made), self.given
        if self.upscaler != NONE:
            large = next(left, None)
            if large is None:
                return enlarging(given, self.upscaler, self.script.scale_factor)
            if not large.pictures:
                return None  # It was skipped: there is nothing to go on with.
            given = large.pictures[0]
        cut = next(left, None)
        if cut is None:
            return Next(Compose(asked=request, step=TILES, pictures=(given,), count=self.grid.count))
        for batch in range(request.n_iter):
            tiles: list[str] = []
            first = one = None
            for number, begin in enumerate(range(0, len(cut.pictures), request.batch_size)):
                chunk = cut.pictures[begin : begin + request.batch_size]
                asked = self._tile(request, chunk, request.seed + batch + number)
                first, one = first or asked, next(left, None)
                if one is None:
                    return Next(asked)
                tiles += one.pictures if len(one.pictures) == len(chunk) else chunk  # It was skipped: as it was.
            done = next(left, None)
            if done is None and first is not None and one is not None:
                return self._joined(request, tiles, first.changed(batch_size=1), one.facts)
        return None

    def _tile(self, request: Img2Img, pictures: tuple[str, ...], seed: int) -> Img2Img:
        """Some tiles, which are made together. A1111: seeds count on by one from batch to batch."""
        return alone(request).changed(init_images=pictures, batch_size=len(pictures), mask="", seed=seed)

    def _joined(
        self, request: Img2Img, tiles: Sequence[str], told: Img2Img, facts: tuple[tuple[str, str], ...]
    ) -> Next:
        labels = (
            ("SD upscale overlap", str(self.script.overlap)),
            ("SD upscale upscaler", self.upscaler),
        )
        numbers = (self.grid.width, self.grid.height)
        joined = Compose(asked=request, step=JOINED, numbers=numbers, pictures=tuple(tiles), told=told)
        return Next(joined, is_result=True, labels=(*facts, *labels))


def img2img(request: Generation) -> Img2Img:
    """It, where it begins with pictures. Raises UserError: it does not."""
    given = request.from_picture
    if given is None or not given.init_images:
        raise UserError("There is no picture to start from.", hint="Add one on the img2img tab.", field="init_images")
    return given


def picture_of(request: Generation) -> str:
    """The name of the picture that a script begins with. Raises UserError: there is none."""
    return img2img(request).init_images[0]


def alone(request: Img2Img) -> Img2Img:
    """The request for one picture, without its script."""
    return request.changed(script="", script_values={}, n_iter=1, batch_size=1)


def enlarging(picture: str, upscaler: str, factor: float) -> Next:
    """The picture enlarged as on the Extras tab."""
    return Next(Extras(images=(picture,), upscaler_1=upscaler, upscaling_resize=factor))


def upscaler_named(name: str, names: FlowNames) -> str:
    """The upscaler that is meant: by its name in any letters, or by its place in the list, as A1111's clients say it.

    Raises:
        UserError: there is none.
    """
    known = names.choices("upscalers")
    found = next((each for each in known if each.casefold() == name.strip().casefold()), None)
    if found is None and name.isdecimal() and len(name) < 9 and int(name) < len(known):
        found = known[int(name)]
    if found is None:
        raise UserError(f"There is no upscaler {name!r}.", hint=did_you_mean(name, known), field="upscaler")
    return found


def megapixels(width: int, height: int, limits: LimitSettings, field: str) -> Demand:
    """How large the finished picture is."""
    return Demand(round(width * height / 1e6, 2), limits.most_megapixels, "megapixels in one picture", field)
