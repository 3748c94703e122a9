"""What is done to a finished picture: it is enlarged, gets other faces, or is cut. Which pixels do what is named in
`webui.request.postprocessing`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np
from PIL import Image, ImageOps

from webui.base.errors import ModelError, UserError
from webui.engine.detectors.detectors import Detectors
from webui.engine.focal_point import Box, FocalWeights, crop_around, focal_point
from webui.engine.residents import Residents
from webui.request.postprocessing import (
    AUTOSIZED,
    CODEFORMER,
    FOCAL,
    GFPGAN,
    NONE,
    OBJECTIVES,
    RESIZE_TO,
    UPSCALE,
    Operations,
    restorers_of,
)

SMALLEST_SIDE = 8
GRID = 64
"""Auto-sized crop goes in steps of so many pixels."""
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Worked:
    """A picture and what was done to it, as the infotext says it.

    A preview's picture has fewer pixels than the one that it stands for, whose sizes decide all the same.
    """

    picture: Image.Image
    """RGB or RGBA."""
    size: Size
    """What it stands for, in pixels; its own, but for a preview."""
    facts: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    """What it shows, in words, where that was asked for."""
    most: int = 0
    """Pixels on the longer side of a preview; 0: it is none."""

    def to(self, picture: Image.Image, size: Size) -> Worked:
        """Another picture with the same history."""
        return replace(self, picture=picture, size=size)

    def shown(self, size: Size) -> Size:
        """How many pixels a picture has that stands for one of this size."""
        scale = min(self.most / max(size), 1.0) if self.most else 1.0
        return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)

    def resized(self, size: Size, method: Image.Resampling = Image.Resampling.LANCZOS) -> Worked:
        shown = self.shown(size)
        return self.to(self.picture if shown == self.picture.size else self.picture.resize(shown, method), size)

    def cropped(self, left: int, top: int, width: int, height: int) -> Worked:
        """The part that begins there; beyond the picture nothing is."""
        across, down = self.picture.width / self.size[0], self.picture.height / self.size[1]
        left, top, right, bottom = (
            round(side * scale)
            for side, scale in zip((left, top, left + width, top + height), (across, down) * 2, strict=True)
        )
        part = self.picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        return self.to(part, (width, height))

    def fitted(self, size: Size) -> Worked:
        """Cut in the middle to these proportions, and resized."""
        return self.to(ImageOps.fit(self.picture, self.shown(size), Image.Resampling.LANCZOS), size)


Enlarger = Callable[[Worked, str, float], Worked]
"""(picture, upscaler's name, factor) -> about so many times larger: `enlarged_size`."""
Restorer = Callable[[Worked, str], Worked]
"""(picture, restorer's name) -> with other faces."""
FaceFinder = Callable[[Image.Image], list[Box]]
"""picture -> where faces are."""
Operation = Callable[["Worked"], list["Worked"]]
"""picture -> what becomes of it."""


def unchanged(worked: Worked, _name: str = "") -> Worked:
    """For `OperationTools`."""
    return worked


def no_faces(_picture: Image.Image) -> list[Box]:
    """For `OperationTools`."""
    return []


def faces_by(residents: Residents, remark: Callable[[str], None]) -> FaceFinder:
    """Looks for faces; where that network was not fetched, that is remarked."""

    def find(picture: Image.Image) -> list[Box]:
        wide, high = picture.size
        try:
            found = Detectors(residents).faces(np.array(picture.convert("RGB")))
        except ModelError as error:
            remark(f"Faces were not looked for: {error.message} {error.hint}".strip())
            return []
        boxes = (face.box for face in found)
        return [(left / wide, top / high, right / wide, bottom / high) for left, top, right, bottom in boxes]

    return find


@dataclass(frozen=True)
class OperationTools:
    """What the operations work with."""

    enlarge: Enlarger
    names: Mapping[str, str]
    """Of upscalers, in words, by those in the request."""
    most_pixels: int
    """A result may have no more."""
    remark: Callable[[str], None]
    restore: Restorer = unchanged
    faces: FaceFinder = no_faces


def operations_of(request: Operations, given: Size, tools: OperationTools) -> dict[str, Operation]:
    """Those that leave one picture one, by their names; what is not asked for changes nothing.

    given: the size of the picture before any of them, from which the target of cuts follows.

    Raises (when they act):
        UserError: the picture would become too large, or too small.
    """
    target = target_of(given, request)
    one: dict[str, Callable[[Worked], Worked]] = {
        UPSCALE: partial(_upscaled, request=request, tools=tools),
        GFPGAN: partial(_with_faces, name=GFPGAN, request=request, restore=tools.restore),
        CODEFORMER: partial(_with_faces, name=CODEFORMER, request=request, restore=tools.restore),
        FOCAL: partial(_focused, request=request, target=target, faces=tools.faces),
        AUTOSIZED: partial(_cropped, request=request, remark=tools.remark),
    }
    return {name: partial(_alone, act) for name, act in one.items()}


def applied(given: Worked, operations: Iterable[Operation]) -> list[Worked]:
    """What becomes of a picture by these, one after the other."""
    worked = [given]
    for act in operations:
        worked = [result for each in worked for result in act(each)]
    return worked


def _alone(act: Callable[[Worked], Worked], worked: Worked) -> list[Worked]:
    return [act(worked)]


def _upscaled(worked: Worked, request: Operations, tools: OperationTools) -> Worked:
    """Enlarged by the first upscaler, the second one's picture mixed in."""
    if request.upscaler_1 in ("", NONE):
        return worked
    facts = dict(worked.facts)
    _refuse_beyond(worked.size, request, tools.most_pixels)
    large = _enlarged(worked, request, request.upscaler_1, tools.enlarge, facts)
    facts["Postprocess upscaler"] = tools.names[request.upscaler_1]
    if request.blends:
        other = _enlarged(worked, request, request.upscaler_2, tools.enlarge, facts)
        mixed = Image.blend(large.picture, other.picture, request.extras_upscaler_2_visibility)
        large = large.to(mixed, large.size)
        facts["Postprocess upscaler 2"] = tools.names[request.upscaler_2]
    return replace(large, facts=facts)


def _with_faces(worked: Worked, name: str, request: Operations, restore: Restorer) -> Worked:
    """With the faces that a restorer makes, as visible as is asked for."""
    visibility = restorers_of(request).get(name, 0.0)
    if not visibility:
        return worked
    seen = restore(worked, name).picture
    if seen is worked.picture:
        return worked  # no face was found
    if visibility < 1:
        seen = Image.blend(worked.picture, seen, visibility)
    facts = {**worked.facts, f"{name} visibility": f"{visibility:g}"}
    if name == CODEFORMER:
        facts["CodeFormer weight"] = f"{request.codeformer_weight:g}"
    return replace(worked, picture=seen, facts=facts)


def _enlarged(worked: Worked, request: Operations, upscaler: str, enlarge: Enlarger, facts: dict[str, str]) -> Worked:
    wide, high, by = request.upscaling_resize_w, request.upscaling_resize_h, _factor(worked.size, request)
    crop = False
    if request.resize_mode == RESIZE_TO:
        crop = request.upscaling_crop
        facts["Postprocess upscale to"] = f"{wide}x{high}"
    else:
        facts["Postprocess upscale by"] = str(request.upscaling_resize)
        if by < request.upscaling_resize:
            facts["Max side length"] = str(request.max_side_length)
    large = enlarge(worked, upscaler, by)
    if not crop:
        return large
    facts["Postprocess crop to"] = f"{wide}x{high}"
    width, height = large.size
    return large.cropped(width // 2 - wide // 2, height // 2 - high // 2, wide, high)


def _factor(size: Size, request: Operations) -> float:
    """How many times larger each side gets."""
    if request.resize_mode == RESIZE_TO:
        return max(request.upscaling_resize_w / size[0], request.upscaling_resize_h / size[1])
    most = request.max_side_length
    return min(request.upscaling_resize, most / max(size)) if most else request.upscaling_resize


def _refuse_beyond(size: Size, request: Operations, most_pixels: int) -> None:
    by = _factor(size, request)
    wide, high = int(size[0] * by), int(size[1] * by)
    if wide * high > most_pixels or min(wide, high) < SMALLEST_SIDE:
        raise UserError(
            f"The picture of {size[0]}x{size[1]} would become {wide}x{high}.",
            hint=f"At most {most_pixels / 1e6:g} megapixels are allowed (Settings, Limits), and at least "
            f"{SMALLEST_SIDE} pixels per side.",
        )


def target_of(given: Size, request: Operations) -> Size:
    """The size that the upscaling goes for, which is that of the parts of a split picture."""
    if request.resize_mode == RESIZE_TO:
        return request.upscaling_resize_w, request.upscaling_resize_h
    return int(given[0] * request.upscaling_resize), int(given[1] * request.upscaling_resize)


def _focused(worked: Worked, request: Operations, target: Size, faces: FaceFinder) -> Worked:
    """Cut to the target's shape around what the picture is about, and resized to the target."""
    if not request.focal_crop:
        return worked
    weights = FocalWeights(request.focal_face_weight, request.focal_entropy_weight, request.focal_edges_weight)
    seen = faces(worked.picture) if weights.faces else []
    part = crop_around(worked.size, target, focal_point(worked.picture, target, weights, seen))
    return worked.cropped(*part).resized(target)


def _cropped(worked: Worked, request: Operations, remark: Callable[[str], None]) -> Worked:
    """Cut in the middle to the best of the sizes that are allowed."""
    if not request.autosized_crop:
        return worked
    sides = range(request.crop_min_side, request.crop_max_side + 1, GRID)
    sizes = [
        (wide, high)
        for wide, high in product(sides, sides)
        if request.crop_min_area <= wide * high <= request.crop_max_area
        and _misfit(worked.size, wide, high) <= request.crop_threshold
    ]
    if not sizes:
        remark("Auto-sized crop: no size within the bounds fits this picture, so it was left unchanged.")
        return worked
    by_area = request.crop_objective == OBJECTIVES[0]

    def rank(size: Size) -> tuple[float, float]:
        area, fit = float(size[0] * size[1]), -_misfit(worked.size, *size)
        return (area, fit) if by_area else (fit, area)

    return worked.fitted(max(sizes, key=rank))


def _misfit(size: Size, wide: int, high: int) -> float:
    """0: of the same shape."""
    shape = size[0] / size[1] / (wide / high)
    return 1.0 - min(shape, 1.0 / shape)
