"""The Extras tab's job: finished pictures made larger, cut, cut out, mirrored. A checkpoint is needed
only to paint things in them anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from PIL import Image, ImageOps

from webui.base.errors import ModelError, UserError
from webui.engine.describers.described import described
from webui.engine.detectors.cut_out import cut_out
from webui.engine.detectors.detectors import Detectors
from webui.engine.focal_point import Box, FocalWeights, crop_around, focal_point
from webui.engine.generate import made_within, tools_of
from webui.engine.house import House
from webui.engine.levels import rows_of
from webui.engine.residents import Residents
from webui.engine.restorers.faces import Faces
from webui.engine.start import opened
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.upscalers.resize import enlarged
from webui.engine.upscalers.transparency import apart
from webui.engine.watch import Skipped, Watch
from webui.jobs.extras.request import MOST_PARTS, NONE, OBJECTIVES, RESIZE_TO, Extras, ExtrasPlan, Retouch, restorers_of
from webui.request.captions import KEEP
from webui.request.cutting import Cutting
from webui.request.interrogators import Way
from webui.request.messages import Pictured
from webui.request.plan import Plan

SMALLEST_SIDE = 8
UPSCALING = 0.5
"""The share of the work that upscaling is taken for, where things are painted anew as well."""
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


Within = Callable[[Plan, Image.Image], Image.Image]
"""Carries out a plan with a picture, RGB or RGBA -> the picture that comes of it."""


def work(plan: ExtrasPlan, house: House) -> Iterator[Pictured]:
    """Every picture of the plan, as soon as it is finished."""
    tools = tools_of(house)
    return retouched(
        plan,
        house.upscalers,
        house.watch,
        lambda one, picture: made_within(tools, one, picture, None, one.batches[0][0].seed),
    )


def _nothing_within(_plan: Plan, _picture: Image.Image) -> Image.Image:
    raise UserError("Pictures cannot be painted here.")


def retouched(
    plan: ExtrasPlan, shelf: UpscalerShelf, watch: Watch, within: Within = _nothing_within
) -> Iterator[Pictured]:
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
            watch.enter("upscaling", 0.0, UPSCALING if one.request.details else 1.0)
            try:
                results = _of_plan(one, plan, shelf, watch, within)
            except Skipped:
                continue
            for rank, result in enumerate(results[:MOST_PARTS]):
                caption = _caption(result, one, plan.captioning, shelf.residents, watch)
                yield _pictured(result, one.position + rank, watch, caption)


def _of_plan(one: Retouch, plan: ExtrasPlan, shelf: UpscalerShelf, watch: Watch, within: Within) -> list[Worked]:
    """What becomes of one picture."""
    given = begun(as_given(opened(plan.images[one.image])), plan.cutting, shelf.residents)
    tiles = _Tiles(watch, 2 if has_second(one.request) else 1)
    enlargers = shelf.enlargers(plan.upscalers, plan.tiles, tiles)

    def enlarge(worked: Worked, upscaler: str, factor: float) -> Worked:
        rgb, alpha = apart(worked.picture)
        large = enlarged(rgb, factor, upscaler, enlargers)
        if alpha is not None:  # A model sees colours alone.
            large.putalpha(enlarged(alpha, factor, upscaler if upscaler == "Nearest" else "Lanczos"))
        tiles.finished += 1
        return worked.to(large, large.size)

    def detail(worked: Worked) -> Worked:
        if (inner := plan.details.get(one.image)) is None:
            return worked
        facts = {
            **worked.facts,
            "Postprocess detailer": one.request.detail_model,
            "Postprocess detailer strength": f"{one.request.detail_strength:g}",
        }
        if one.request.detail_prompt:
            facts["Postprocess detailer prompt"] = one.request.detail_prompt
        return replace(worked, picture=within(inner.moved(one.position), worked.picture), facts=facts)

    def restore(worked: Worked, name: str) -> Worked:
        def on_face(_done: int, _of: int) -> None:
            watch.check()

        made = Faces(shelf.residents, plan.restorers[name], one.request.codeformer_weight).restored(
            worked.picture, on_face
        )
        if not made.faces:
            watch.remark("Faces were not restored: none was found that is large enough.")
        return worked.to(made.picture, worked.size)

    names = {name: ref.name for name, ref in plan.upscalers.items()}
    faces = faces_by(shelf.residents, watch.remark)
    return results_of(given, one.request, enlarge, names, plan.most_pixels, watch.remark, detail, restore, faces)


def begun(picture: Image.Image, cutting: Cutting | None, residents: Residents) -> Worked:
    """What enlarging begins with: the picture, without its background if that is not wanted.

    Raises:
        ModelError: the network that finds it was not fetched, or cannot be opened.
    """
    if cutting is None:
        return Worked(picture, picture.size)
    facts = {"Postprocess background": "removed"}
    if cutting.network.path:
        facts["Background model"] = cutting.network.title
    if cutting.edge is not None:
        facts["Alpha matting"] = "True"
    return Worked(cut_out(picture, cutting, residents), picture.size, facts)


def as_given(picture: Image.Image) -> Image.Image:
    """RGBA where it is transparent somewhere, else RGB."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    return rgba if rgba.getchannel("A").getextrema()[0] != 255 else rgba.convert("RGB")


def unchanged(worked: Worked, _name: str = "") -> Worked:
    """For `results_of`."""
    return worked


def no_faces(_picture: Image.Image) -> list[Box]:
    """For `results_of`."""
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


def results_of(
    given: Worked,
    request: Extras,
    enlarge: Enlarger,
    names: Mapping[str, str],
    most_pixels: int,
    remark: Callable[[str], None],
    detail: Callable[[Worked], Worked] = unchanged,
    restore: Restorer = unchanged,
    faces: FaceFinder = no_faces,
) -> list[Worked]:
    """What becomes of one picture.

    names: of upscalers, in words, by those in the request; detail: paints things anew; restore: other faces, by name.

    Raises:
        UserError: it would become too large, or too small.
    """
    worked = [detail(_with_faces(_upscaled(given, request, enlarge, names, most_pixels), request, restore))]
    if request.split_oversized:
        worked = [part for each in worked for part in _split(each, request, _target(given, request))]
    if request.focal_crop:
        worked = [_focused(each, request, _target(given, request), faces) for each in worked]
    if request.autosized_crop:
        worked = [_cropped(each, request, remark) for each in worked]
    return [copy for each in worked for copy in _with_flips(each, request)]


@dataclass
class _Tiles:
    """Tells the job how far it is: each upscaler has an equal share."""

    watch: Watch
    upscalers: int
    finished: int = 0

    def __call__(self, done: int, of: int) -> None:
        self.watch.check()
        self.watch.step(self.finished * of + done, self.upscalers * of)


def _caption(worked: Worked, one: Retouch, way: Way | None, residents: Residents, watch: Watch) -> str:
    """What a result shows, in words, where that is asked for. Raises as `described`."""
    if way is None or (one.caption and one.request.existing_caption == KEEP):
        return ""
    with watch.within():
        return described(worked.picture, way, residents, watch)


def _pictured(worked: Worked, position: int, watch: Watch, caption: str = "") -> Pictured:
    rgb, alpha = rows_of(worked.picture)
    return Pictured(
        watch.job_id,
        position,
        width=worked.picture.width,
        height=worked.picture.height,
        rgb=rgb,
        alpha=alpha,
        facts=tuple(worked.facts.items()),
        comments=tuple(watch.comments),
        caption=caption,
    )


# --- upscaling ----------------------------------------------------------------------------------------------------


def has_second(request: Extras) -> bool:
    """Whether a second upscaler's picture is mixed in."""
    return request.upscaler_2 not in ("", NONE) and request.extras_upscaler_2_visibility > 0


def _upscaled(worked: Worked, request: Extras, enlarge: Enlarger, names: Mapping[str, str], most_pixels: int) -> Worked:
    """Enlarged by the first upscaler, the second one's picture mixed in."""
    if request.upscaler_1 in ("", NONE):
        return worked
    facts = dict(worked.facts)
    _refuse_beyond(worked.size, request, most_pixels)
    large = _enlarged(worked, request, request.upscaler_1, enlarge, facts)
    facts["Postprocess upscaler"] = names[request.upscaler_1]
    if has_second(request):
        other = _enlarged(worked, request, request.upscaler_2, enlarge, facts)
        mixed = Image.blend(large.picture, other.picture, request.extras_upscaler_2_visibility)
        large = large.to(mixed, large.size)
        facts["Postprocess upscaler 2"] = names[request.upscaler_2]
    return replace(large, facts=facts)


def _with_faces(worked: Worked, request: Extras, restore: Restorer) -> Worked:
    """With the faces that restorers make, each as visible as is asked for."""
    for name, visibility in restorers_of(request).items():
        restored = restore(worked, name)
        seen = restored.picture
        if visibility < 1:
            seen = Image.blend(worked.picture, seen, visibility)
        facts = {**worked.facts, f"{name} visibility": f"{visibility:g}"}
        if name == "CodeFormer":
            facts["CodeFormer weight"] = f"{request.codeformer_weight:g}"
        worked = replace(worked, picture=seen, facts=facts)
    return worked


def _enlarged(worked: Worked, request: Extras, upscaler: str, enlarge: Enlarger, facts: dict[str, str]) -> Worked:
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


def _factor(size: Size, request: Extras) -> float:
    """How many times larger each side gets."""
    if request.resize_mode == RESIZE_TO:
        return max(request.upscaling_resize_w / size[0], request.upscaling_resize_h / size[1])
    most = request.max_side_length
    return min(request.upscaling_resize, most / max(size)) if most else request.upscaling_resize


def _refuse_beyond(size: Size, request: Extras, most_pixels: int) -> None:
    by = _factor(size, request)
    wide, high = int(size[0] * by), int(size[1] * by)
    if wide * high > most_pixels or min(wide, high) < SMALLEST_SIDE:
        raise UserError(
            f"The picture of {size[0]}x{size[1]} would become {wide}x{high}.",
            hint=f"At most {most_pixels / 1e6:g} megapixels are allowed (Settings, Limits), and at least "
            f"{SMALLEST_SIDE} pixels per side.",
        )


def _target(given: Worked, request: Extras) -> Size:
    """The size that the upscaling goes for, which is that of the parts of a split picture."""
    if request.resize_mode == RESIZE_TO:
        return request.upscaling_resize_w, request.upscaling_resize_h
    return int(given.size[0] * request.upscaling_resize), int(given.size[1] * request.upscaling_resize)


# --- cutting and mirroring ----------------------------------------------------------------------------------------


def _split(worked: Worked, request: Extras, target: Size) -> list[Worked]:
    """Parts of the target's size along the longer side, or the picture where its shape is near the target's."""
    (wide, high), (width, height) = worked.size, target
    upright = high > wide
    ratio = wide * height / (high * width) if upright else high * width / (wide * height)
    if ratio >= 1.0 or ratio > request.split_threshold:
        return [worked]
    across, along = (width, height) if upright else (height, width)
    length = high * width // wide if upright else wide * height // high
    fitted = worked.resized((across, length) if upright else (length, across))
    count = math.ceil((length - along * request.split_overlap) / (along * (1.0 - request.split_overlap)))
    begins = [int((length - along) / max(count - 1, 1) * number) for number in range(count)]
    return [fitted.cropped(*((0, at) if upright else (at, 0)), width, height) for at in begins]


def _focused(worked: Worked, request: Extras, target: Size, faces: FaceFinder) -> Worked:
    """Cut to the target's shape around what the picture is about, and resized to the target."""
    weights = FocalWeights(request.focal_face_weight, request.focal_entropy_weight, request.focal_edges_weight)
    seen = faces(worked.picture) if weights.faces else []
    part = crop_around(worked.size, target, focal_point(worked.picture, target, weights, seen))
    return worked.cropped(*part).resized(target)


def _cropped(worked: Worked, request: Extras, remark: Callable[[str], None]) -> Worked:
    """Cut in the middle to the best of the sizes that are allowed."""
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


def _with_flips(worked: Worked, request: Extras) -> list[Worked]:
    picture, size = worked.picture, worked.size
    copies = [worked]
    if request.flip_horizontal:
        copies.append(worked.to(ImageOps.mirror(picture), size))
    if request.flip_vertical:
        copies.append(worked.to(ImageOps.flip(picture), size))
    if request.flip_both:
        copies.append(worked.to(ImageOps.flip(ImageOps.mirror(picture)), size))
    return copies
