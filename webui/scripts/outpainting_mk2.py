"""Outpainting mk2: the canvas grows side by side, filled with noise that looks like the picture, which img2img then
paints over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from webui.jobs.compose.request import Compose
from webui.request.fields import Generation, Img2Img
from webui.request.jobs import Demand
from webui.request.params import Slider
from webui.request.settings import LimitSettings
from webui.scripts.directions import DOWN, GRID, LEFT, RIGHT, SIDES, UP, Directions, Margins
from webui.scripts.flow import FlowNames, Made, Next, PictureFlow
from webui.scripts.matched_noise import matched_noise
from webui.scripts.sd_upscale import alone, img2img, megapixels, picture_of
from webui.scripts.tiles import Box

EXTENDED, PLACED = "extended", "placed"
ORIGINAL = 1
"""`inpainting_fill`: what lies under the mask begins as it is."""
LATENT = 8
"""Pixels a latent pixel: sizes of passes are multiples of it."""


class OutpaintingMk2(PictureFlow):
    """Width and height of the form are the most that a pass sees in the direction in which the canvas grows."""

    title: ClassVar[str] = "Outpainting mk2"
    sheet: ClassVar = "grid"
    advice: ClassVar[str] = "Works best with 80 to 100 steps of Euler a and a denoising strength of about 0.8."
    places: ClassVar[tuple[str, ...]] = ("", "pixels", "mask_blur", "direction", "noise_q", "color_variation")

    pixels: Annotated[int, Slider(ui="Pixels to expand", min=8, max=256, step=8, ge=1, le=4096)] = 128
    """How much is added on each side, in pixels; the size of the result is rounded up to a multiple of 64."""
    mask_blur: Annotated[int, Slider(ui="Mask blur", min=0, max=64, step=1, ge=0, le=128)] = 8
    """How far the seam is blurred, in pixels: so much of the picture's edge is painted anew."""
    direction: Directions = SIDES
    """On which sides the picture grows, one after the other."""
    noise_q: Annotated[
        float, Slider(ui="Fall-off exponent (lower=higher detail)", min=0, max=4, step=0.01, ge=0, le=16)
    ] = 1.0
    """How fast the noise falls off towards fine details: lower values begin with more detail."""
    color_variation: Annotated[float, Slider(ui="Color variation", min=0, max=1, step=0.01, ge=0, le=1)] = 0.05
    """How colorful the noise is: 0 is grey."""

    def course(self, request: Generation, names: FlowNames, /, *, is_fixed: bool) -> OutpaintingCourse:
        given = picture_of(request)
        size = names.picture_size(given)
        return OutpaintingCourse(self, given, size, Margins.around(size, self.pixels, self.direction), is_fixed)

    def expansions(self, size: tuple[int, int], request: Generation) -> tuple[Expansion, ...]:
        """The sides in turn. size: of the picture, in pixels."""
        margins = Margins.around(size, self.pixels, self.direction)
        found = []
        for side, more in ((LEFT, margins.left), (RIGHT, margins.right), (UP, margins.up), (DOWN, margins.down)):
            if more:
                found.append(Expansion(side, more, size, (request.width, request.height), self.mask_blur))
                size = found[-1].whole
        return tuple(found)

    def composed(
        self, step: str, numbers: tuple[int, ...], pictures: Sequence[Image.Image], request: Img2Img, /
    ) -> Iterable[Image.Image]:
        width, height, place = numbers
        expansion = self.expansions((width, height), request)[place]
        if step == EXTENDED:
            return self._extended(expansion, pictures)
        half = len(pictures) // 2
        return (expansion.placed(*pair) for pair in zip(pictures[:half], pictures[half:], strict=True))

    def _extended(self, expansion: Expansion, pictures: Sequence[Image.Image]) -> Iterator[Image.Image]:
        """The masks of the pass, then for each picture the filled ground, and the part of it that the pass sees."""
        mask = expansion.mask()
        yield mask.crop(expansion.region)
        yield expansion.latent_mask()
        for picture in pictures:
            levels = np.asarray(expansion.ground(picture), np.float64) / 255
            filled = matched_noise(
                levels,
                np.asarray(mask, np.float64) / 255,
                falloff=self.noise_q,
                colour_variation=self.color_variation,
            )
            ground = Image.fromarray((filled * 255).astype(np.uint8))
            yield ground
            yield ground.crop(expansion.region)


@dataclass(frozen=True)
class Expansion:
    """A picture that grows on one side. Sizes are (width, height) in pixels."""

    side: str
    pixels: int
    size: tuple[int, int]
    """Of the picture before."""
    seen: tuple[int, int]
    """The most that a pass sees."""
    blur: int

    @property
    def is_across(self) -> bool:
        return self.side in (LEFT, RIGHT)

    @property
    def whole(self) -> tuple[int, int]:
        """Of the picture afterwards."""
        width, height = self.size
        return (width + self.pixels, height) if self.is_across else (width, height + self.pixels)

    @property
    def padded(self) -> tuple[int, int]:
        """Of the ground: the whole, rounded up to multiples of 64 to the right and below."""
        width, height = (math.ceil(side / GRID) * GRID for side in self.whole)
        return width, height

    @property
    def region(self) -> Box:
        """The part of the ground that the pass sees: the new one, with as much of the picture as there is room for."""
        (width, height), axis = self.padded, 0 if self.is_across else 1
        # A1111 does not round; its result does not fit the ground then.
        room = max(min(self.seen[axis], self.whole[axis]) // LATENT * LATENT, LATENT)
        if self.is_across:
            return (0, 0, room, height) if self.side == LEFT else (width - room, 0, width, height)
        return (0, 0, width, room) if self.side == UP else (0, height - room, width, height)

    @property
    def region_size(self) -> tuple[int, int]:
        left, top, right, bottom = self.region
        return right - left, bottom - top

    def ground(self, picture: Image.Image) -> Image.Image:
        """The picture in its place, and black around it."""
        ground = Image.new("RGB", self.padded)
        at = (self.pixels if self.side == LEFT else 0, self.pixels if self.side == UP else 0)
        ground.paste(picture, at)
        return ground

    def mask(self) -> Image.Image:
        """White on the ground where something is to be painted, a little into the picture."""
        return self._masked(self.padded, self.pixels + self.blur)

    def latent_mask(self) -> Image.Image:
        """White in the part that the pass sees where latents may change: twice as far into the picture."""
        return self._masked(self.region_size, self.pixels + 2 * self.blur)

    def _masked(self, size: tuple[int, int], reach: int) -> Image.Image:
        """White up to `reach` pixels from the side; beyond the whole it is white, too."""
        mask, (width, height) = Image.new("L", size, 255), size
        left, top = (reach if self.side == LEFT else 0), (reach if self.side == UP else 0)
        right = width - reach if self.side == RIGHT else self.whole[0]
        bottom = height - reach if self.side == DOWN else self.whole[1]
        if right >= left and bottom >= top:
            ImageDraw.Draw(mask).rectangle((left, top, right, bottom), fill=0)
        return mask

    def placed(self, ground: Image.Image, made: Image.Image) -> Image.Image:
        """What the pass has made, in its place on the ground, cut to the whole."""
        left = 0 if self.side == LEFT else ground.width - made.width
        top = 0 if self.side == UP else ground.height - made.height
        result = ground.copy()
        result.paste(made, (left, top))
        return result.crop((0, 0, *self.whole))


@dataclass(frozen=True)
class OutpaintingCourse:
    """For each batch and side: the ground, the pass, the pass's result in its place."""

    script: OutpaintingMk2
    given: str
    size: tuple[int, int]
    margins: Margins
    is_fixed: bool

    def picture_count(self, request: Generation, /) -> int:
        return request.n_iter * request.batch_size

    def steps(self, request: Generation, /) -> int:
        return 3 * request.n_iter * len(self.script.expansions(self.size, request))

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        return (megapixels(*self.margins.of(self.size), limits, "pixels"),)

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        request, left = img2img(request), iter(made)
        expansions = self.script.expansions(self.size, request)
        for batch in range(request.n_iter):
            pictures = (self.given,) * request.batch_size
            told: Img2Img | None = None
            facts: tuple[tuple[str, str], ...] = ()
            for place, expansion in enumerate(expansions):
                step = _Step(self, request, place)
                several = tuple(dict.fromkeys(pictures))
                extended = next(left, None)
                if extended is None:
                    return step.composed(EXTENDED, several, 2 + 2 * len(several))
                if not extended.pictures:
                    return None
                mask, latent_mask, *parts = extended.pictures
                ground = dict(zip(several, parts[::2], strict=True))
                seen = dict(zip(several, parts[1::2], strict=True))
                asked = self._pass(request, expansion, batch).changed(
                    init_images=tuple(seen[each] for each in pictures), mask=mask, latent_mask=latent_mask
                )
                painted = next(left, None)
                if painted is None:
                    return Next(asked)
                told, facts = told or asked, facts or painted.facts
                results = painted.pictures or asked.init_images  # It was skipped: the noise stays.
                placed = next(left, None)
                if placed is None:
                    pairs = (*(ground[each] for each in pictures), *results)
                    is_last = place == len(expansions) - 1
                    return step.composed(PLACED, pairs, len(pictures), told=told if is_last else None, facts=facts)
                pictures = placed.pictures
        return None

    def _pass(self, request: Img2Img, expansion: Expansion, batch: int) -> Img2Img:
        """What paints over the noise on one side. A1111: each batch has the seed that was chosen; open ones differ."""
        width, height = expansion.region_size
        across = {LEFT, RIGHT} & set(self.script.direction)
        down = {UP, DOWN} & set(self.script.direction)
        return alone(request).changed(
            batch_size=request.batch_size,
            width=width,
            height=height,
            seed=request.seed + (0 if self.is_fixed else batch * request.batch_size),
            inpaint_full_res=False,
            inpainting_fill=ORIGINAL,
            inpainting_mask_invert=0,
            mask_blur_x=4 * self.script.mask_blur if across else 0,
            mask_blur_y=4 * self.script.mask_blur if down else 0,
        )


@dataclass(frozen=True)
class _Step:
    """Work with the pictures on one side."""

    course: OutpaintingCourse
    request: Img2Img
    place: int
    """Of the side among those that grow."""

    def composed(
        self,
        what: str,
        pictures: tuple[str, ...],
        count: int,
        *,
        told: Img2Img | None = None,
        facts: tuple[tuple[str, str], ...] = (),
    ) -> Next:
        numbers = (*self.course.size, self.place)
        asked = Compose(asked=self.request, step=what, numbers=numbers, pictures=pictures, count=count, told=told)
        return Next(asked, is_result=told is not None, labels=facts if told is not None else ())
