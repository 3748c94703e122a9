"""Regions that were drawn on the page: rectangles, and what a brush has painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from PIL import Image, ImageDraw
from pydantic import model_validator

from webui.base.errors import UserError
from webui.features.regions import PromptedRegion
from webui.prompt.regions import colours
from webui.request.params import Param

LONGER_SIDE = 512
"""Of the picture that the regions are drawn on: finer than any map of the network."""
MOST_NUMBERS = 4000
"""Of the strokes of a region."""
LARGEST = 4.0
WHITE = (255, 255, 255)


class DrawnRegion(PromptedRegion):
    """A part of the picture that follows a prompt of its own instead of the picture's."""

    weight: Annotated[float, Param(ui="Weight", ge=0, le=1)] = 0.8
    """How much the region follows its own prompt; the rest is the picture's."""
    strokes: Annotated[tuple[tuple[float, ...], ...], Param(ui="Strokes", axis=False)] = ()
    """Of a brush, in the place of the rectangle: the brush's radius as a share of the picture's shorter side, below 0
    where it erases; then x, y of each place that it goes through, as shares of width and height."""

    @model_validator(mode="after")
    def _has_a_shape(self) -> Self:
        """Raises UserError: it has none."""
        if sum(map(len, self.strokes)) > MOST_NUMBERS:
            raise UserError(f"More than {MOST_NUMBERS} numbers of strokes are too many.", field="features")
        for stroke in self.strokes:
            if len(stroke) < 3 or len(stroke) % 2 == 0 or max(map(abs, stroke)) > LARGEST:
                hint = "Write the radius, then x and y of each place, from 0 to 1: [0.1, 0.2, 0.2, 0.4, 0.4]."
                raise UserError("One of its strokes is none.", hint=hint, field="features")
        if not self.strokes and not (self.w and self.h):
            raise UserError("It has no width or no height.", hint="Draw it larger, or remove it.", field="features")
        return self


def drawn(regions: Sequence[DrawnRegion], size: tuple[int, int]) -> Image.Image:
    """The regions of a picture of this (width, height) in the colours of a mask, a later one over those before."""
    scale = LONGER_SIDE / max(size)
    width, height = (max(round(side * scale), 1) for side in size)
    canvas = Image.new("RGB", (width, height), WHITE)
    for region, colour in zip(regions, colours(len(regions)), strict=False):
        canvas.paste(colour, mask=_shape(region, width, height))
    return canvas


def _shape(region: DrawnRegion, width: int, height: int) -> Image.Image:
    """White where the region is."""
    shape = Image.new("L", (width, height))
    pen = ImageDraw.Draw(shape)
    if not region.strokes:
        left, top = round(region.x * width), round(region.y * height)
        right, bottom = round((region.x + region.w) * width), round((region.y + region.h) * height)
        if right > left and bottom > top:
            pen.rectangle((left, top, right - 1, bottom - 1), fill=255)
    for signed, *places in region.strokes:
        radius, fill = abs(signed) * min(width, height), 255 if signed > 0 else 0
        points = [(x * width, y * height) for x, y in zip(places[::2], places[1::2], strict=True)]
        pen.line(points, fill=fill, width=max(round(2 * radius), 1))
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return shape
