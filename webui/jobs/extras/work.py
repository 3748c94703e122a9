"""The Extras tab's job: finished pictures made larger, cut, mirrored. No checkpoint is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from PIL import Image, ImageOps

from webui.base.errors import UserError
from webui.engine.house import House
from webui.engine.inpaint import flattened
from webui.engine.start import opened
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.upscalers.resize import Enlarge, enlarged
from webui.engine.watch import Skipped, Watch
from webui.jobs.extras.request import MOST_PARTS, NONE, OBJECTIVES, RESIZE_TO, Extras, ExtrasPlan, Retouch
from webui.request.messages import Pictured

BACKGROUND = "#ffffff"
SMALLEST_SIDE = 8
GRID = 64
"""Auto-sized crop goes in steps of so many pixels."""


@dataclass(frozen=True, eq=False)
class Worked:
    """A picture and what was done to it, as the infotext says it."""

    picture: Image.Image
    facts: Mapping[str, str] = field(default_factory=dict)

    def to(self, picture: Image.Image) -> Worked:
        """Another picture with the same history."""
        return replace(self, picture=picture)


def work(plan: ExtrasPlan, house: House) -> Iterator[Pictured]:
    """Every picture of the plan, as soon as it is finished."""
    return retouched(plan, house.upscalers, house.watch)


def retouched(plan: ExtrasPlan, shelf: UpscalerShelf, watch: Watch) -> Iterator[Pictured]:
    """Every picture of the plan, as soon as it is finished.

    Raises:
        Interrupted: the user stopped the job; what was finished has been given out.
        WebuiError: it cannot be done; the text is for the person.
    """
    for number, batch in enumerate(plan.batches):
        for one in batch:
            if watch.cancel.ends_now:
                watch.cancel.check()
                return
            watch.begin_batch(number)
            watch.enter("upscaling", 0.0, 1.0)
            try:
                results = _results(one, plan, shelf, watch)
            except Skipped:
                continue
            for rank, result in enumerate(results[:MOST_PARTS]):
                yield _pictured(result, one.position + rank, watch)


def _results(one: Retouch, plan: ExtrasPlan, shelf: UpscalerShelf, watch: Watch) -> list[Worked]:
    """What becomes of one picture."""
    request = one.request
    given = flattened(opened(plan.images[one.image]), BACKGROUND)
    tiles = _Tiles(watch, 2 if _second(request) else 1, plan.most_pixels)
    enlargers = shelf.enlargers(plan.upscalers, plan.tile, plan.tile_overlap, tiles)
    names = {name: ref.name for name, ref in plan.upscalers.items()}
    worked = [_upscaled(Worked(given), request, enlargers, names, tiles)]
    if request.split_oversized:
        worked = [part for each in worked for part in _split(each, request, _target(given, request))]
    if request.autosized_crop:
        worked = [_cropped(each, request, watch) for each in worked]
    return [copy for each in worked for copy in _with_flips(each, request)]


@dataclass
class _Tiles:
    """Tells the job how far it is: each upscaler has an equal share."""

    watch: Watch
    upscalers: int
    most_pixels: int
    finished: int = 0

    def __call__(self, done: int, of: int) -> None:
        self.watch.check()
        self.watch.step(self.finished * of + done, self.upscalers * of)


def _pictured(worked: Worked, position: int, watch: Watch) -> Pictured:
    picture = worked.picture.convert("RGB")
    return Pictured(
        watch.job_id,
        position,
        width=picture.width,
        height=picture.height,
        rgb=picture.tobytes(),
        facts=tuple(worked.facts.items()),
        comments=tuple(watch.comments),
    )


# --- upscaling ----------------------------------------------------------------------------------------------------


def _second(request: Extras) -> bool:
    return request.upscaler_2 not in ("", NONE) and request.extras_upscaler_2_visibility > 0


def _upscaled(
    worked: Worked, request: Extras, enlargers: Mapping[str, Enlarge], names: Mapping[str, str], tiles: _Tiles
) -> Worked:
    """Enlarged by the first upscaler, the second one's picture mixed in."""
    if request.upscaler_1 in ("", NONE):
        return worked
    facts = dict(worked.facts)
    _refuse_beyond(worked.picture, request, tiles.most_pixels)
    large = _enlarged(worked.picture, request, request.upscaler_1, enlargers, facts)
    facts["Postprocess upscaler"] = names[request.upscaler_1]
    if _second(request):
        tiles.finished += 1
        other = _enlarged(worked.picture, request, request.upscaler_2, enlargers, facts)
        large = Image.blend(large, other, request.extras_upscaler_2_visibility)
        facts["Postprocess upscaler 2"] = names[request.upscaler_2]
    return Worked(large, facts)


def _enlarged(
    picture: Image.Image, request: Extras, upscaler: str, enlargers: Mapping[str, Enlarge], facts: dict[str, str]
) -> Image.Image:
    wide, high, by = request.upscaling_resize_w, request.upscaling_resize_h, _factor(picture, request)
    crop = False
    if request.resize_mode == RESIZE_TO:
        crop = request.upscaling_crop
        facts["Postprocess upscale to"] = f"{wide}x{high}"
    else:
        facts["Postprocess upscale by"] = str(request.upscaling_resize)
        if by < request.upscaling_resize:
            facts["Max side length"] = str(request.max_side_length)
    large = enlarged(picture, by, upscaler, enlargers)
    if not crop:
        return large
    frame = Image.new("RGB", (wide, high))
    frame.paste(large, (wide // 2 - large.width // 2, high // 2 - large.height // 2))
    facts["Postprocess crop to"] = f"{wide}x{high}"
    return frame


def _factor(picture: Image.Image, request: Extras) -> float:
    """How many times larger each side gets."""
    if request.resize_mode == RESIZE_TO:
        return max(request.upscaling_resize_w / picture.width, request.upscaling_resize_h / picture.height)
    most = request.max_side_length
    return min(request.upscaling_resize, most / max(picture.size)) if most else request.upscaling_resize


def _refuse_beyond(picture: Image.Image, request: Extras, most_pixels: int) -> None:
    by = _factor(picture, request)
    wide, high = int(picture.width * by), int(picture.height * by)
    if wide * high > most_pixels or min(wide, high) < SMALLEST_SIDE:
        raise UserError(
            f"The picture of {picture.width}x{picture.height} would become {wide}x{high}.",
            hint=f"At most {most_pixels / 1e6:g} megapixels are made (Settings, Limits), at least {SMALLEST_SIDE} "
            "pixels a side.",
        )


def _target(given: Image.Image, request: Extras) -> tuple[int, int]:
    """The size that the upscaling goes for, which is that of the parts of a split picture."""
    if request.resize_mode == RESIZE_TO:
        return request.upscaling_resize_w, request.upscaling_resize_h
    return int(given.width * request.upscaling_resize), int(given.height * request.upscaling_resize)


# --- cutting and mirroring ----------------------------------------------------------------------------------------


def _split(worked: Worked, request: Extras, target: tuple[int, int]) -> list[Worked]:
    """Parts of the target's size along the longer side, or the picture where its shape is near the target's."""
    picture, (width, height) = worked.picture, target
    upright = picture.height > picture.width
    if upright:
        ratio = picture.width * height / (picture.height * width)
    else:
        ratio = picture.height * width / (picture.width * height)
    if ratio >= 1.0 or ratio > request.split_threshold:
        return [worked]
    across, along = (width, height) if upright else (height, width)
    length = picture.height * width // picture.width if upright else picture.width * height // picture.height
    fitted = picture.resize((across, length) if upright else (length, across), Image.Resampling.LANCZOS)
    count = math.ceil((length - along * request.split_overlap) / (along * (1.0 - request.split_overlap)))
    begins = [int((length - along) / max(count - 1, 1) * number) for number in range(count)]
    boxes = [(0, at, across, at + along) if upright else (at, 0, at + along, across) for at in begins]
    return [worked.to(fitted.crop(box)) for box in boxes]


def _cropped(worked: Worked, request: Extras, watch: Watch) -> Worked:
    """Cut in the middle to the best of the sizes that are allowed."""
    picture = worked.picture
    sides = range(request.crop_min_side, request.crop_max_side + 1, GRID)
    sizes = [
        (wide, high)
        for wide, high in product(sides, sides)
        if request.crop_min_area <= wide * high <= request.crop_max_area
        and _misfit(picture, wide, high) <= request.crop_threshold
    ]
    if not sizes:
        watch.remark("Auto-sized crop: no size within the bounds fits this picture; it is left as it is.")
        return worked
    by_area = request.crop_objective == OBJECTIVES[0]

    def rank(size: tuple[int, int]) -> tuple[float, float]:
        area, fit = float(size[0] * size[1]), -_misfit(picture, *size)
        return (area, fit) if by_area else (fit, area)

    return worked.to(ImageOps.fit(picture, max(sizes, key=rank), Image.Resampling.LANCZOS))


def _misfit(picture: Image.Image, wide: int, high: int) -> float:
    """0: of the same shape."""
    shape = picture.width / picture.height / (wide / high)
    return 1.0 - min(shape, 1.0 / shape)


def _with_flips(worked: Worked, request: Extras) -> list[Worked]:
    picture = worked.picture
    copies = [worked]
    if request.flip_horizontal:
        copies.append(worked.to(ImageOps.mirror(picture)))
    if request.flip_vertical:
        copies.append(worked.to(ImageOps.flip(picture)))
    if request.flip_both:
        copies.append(worked.to(ImageOps.flip(ImageOps.mirror(picture))))
    return copies
