"""The Extras tab's job: finished pictures made larger, cut, cut out, mirrored. A checkpoint is needed
only to paint things in them anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image, ImageOps

from webui.base.errors import UserError
from webui.engine.describers.described import described
from webui.engine.detectors.cut_out import cut_out
from webui.engine.generate import made_within, tools_of
from webui.engine.house import House
from webui.engine.levels import rows_of
from webui.engine.postprocessing import (
    Operation,
    OperationTools,
    Size,
    Worked,
    applied,
    faces_by,
    operations_of,
    target_of,
)
from webui.engine.residents import Residents
from webui.engine.restorers.faces import Faces
from webui.engine.start import opened
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.upscalers.transparency import enlarged_with_alpha
from webui.engine.watch import Skipped, Watch
from webui.jobs.extras.request import MOST_PARTS, Extras, ExtrasPlan, Retouch
from webui.request.captions import KEEP
from webui.request.cutting import Cutting
from webui.request.interrogators import Way
from webui.request.messages import Pictured
from webui.request.plan import Plan
from webui.request.postprocessing import BACKGROUND, CAPTION, DETAIL, FLIPS, SPLIT

UPSCALING = 0.5
"""The share of the work that upscaling is taken for, where things are painted anew as well."""
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
                yield _pictured(result, one.position + rank, watch)


def _of_plan(one: Retouch, plan: ExtrasPlan, shelf: UpscalerShelf, watch: Watch, within: Within) -> list[Worked]:
    """What becomes of one picture."""
    request, residents = one.request, shelf.residents
    picture = as_given(opened(plan.images[one.image]))
    tiles = _Tiles(watch, 2 if request.blends else 1)
    enlargers = shelf.enlargers(plan.upscalers, plan.tiles, tiles)

    def enlarge(worked: Worked, upscaler: str, factor: float) -> Worked:
        large = enlarged_with_alpha(worked.picture, factor, upscaler, enlargers)
        tiles.finished += 1
        return worked.to(large, large.size)

    def detail(worked: Worked) -> Worked:
        if (inner := plan.details.get(one.image)) is None:
            return worked
        made = within(inner.moved(one.position), worked.picture)
        if rows_of(made) == rows_of(worked.picture) and made.size == worked.picture.size:
            return worked  # nothing was found, or nobody could look; a remark says which
        facts = {
            **worked.facts,
            "Postprocess detailer": request.detail_model,
            "Postprocess detailer strength": f"{request.detail_strength:g}",
        }
        if request.detail_prompt:
            facts["Postprocess detailer prompt"] = request.detail_prompt
        return replace(worked, picture=made, facts=facts)

    def restore(worked: Worked, name: str) -> Worked:
        def on_face(_done: int, _of: int) -> None:
            watch.check()

        made = Faces(residents, plan.restorers[name], request.codeformer_weight).restored(worked.picture, on_face)
        if not made.faces:
            watch.remark("Faces were not restored: none was found that is large enough.")
            return worked
        return worked.to(made.picture, worked.size)

    def describe(worked: Worked) -> Worked:
        return replace(worked, caption=_caption(worked, one, plan.captioning, residents, watch))

    names = {name: ref.name for name, ref in plan.upscalers.items()}
    faces = faces_by(residents, watch.remark)
    tools = OperationTools(enlarge, names, plan.most_pixels, watch.remark, restore, faces)
    cut = partial(without_background, cutting=plan.cutting, residents=residents)
    return results_of(Worked(picture, picture.size), request, tools, plan.order, (cut, detail, describe))


def without_background(worked: Worked, cutting: Cutting | None, residents: Residents) -> Worked:
    """
    Raises:
        ModelError: the network that finds the background was not fetched, or cannot be opened.
    """
    if cutting is None:
        return worked
    facts = {**worked.facts, "Postprocess background": "removed"}
    if cutting.network.path:
        facts["Background model"] = cutting.network.title
    if cutting.edge is not None:
        facts["Alpha matting"] = "True"
    return replace(worked, picture=cut_out(worked.picture, cutting, residents), facts=facts)


def results_of(
    given: Worked,
    request: Extras,
    tools: OperationTools,
    order: Iterable[str],
    own: tuple[Callable[[Worked], Worked], Callable[[Worked], Worked], Callable[[Worked], Worked]],
) -> list[Worked]:
    """What becomes of one picture. own: what removes the background, paints things anew, and describes.

    Raises:
        UserError: it would become too large, or too small.
    """
    cut, detail, describe = own
    target = target_of(given.size, request)
    operations: dict[str, Operation] = {
        **operations_of(request, given.size, tools),
        BACKGROUND: lambda worked: [cut(worked)],
        DETAIL: lambda worked: [detail(worked)],
        SPLIT: lambda worked: _split(worked, request, target),
        FLIPS: lambda worked: _with_flips(worked, request),
        CAPTION: lambda worked: [describe(worked)],
    }
    return applied(given, (operations[name] for name in order))


def as_given(picture: Image.Image) -> Image.Image:
    """RGBA where it is transparent somewhere, else RGB."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    return rgba if rgba.getchannel("A").getextrema()[0] != 255 else rgba.convert("RGB")


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


def _pictured(worked: Worked, position: int, watch: Watch) -> Pictured:
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
        caption=worked.caption,
    )


# --- cutting and mirroring ----------------------------------------------------------------------------------------


def _split(worked: Worked, request: Extras, target: Size) -> list[Worked]:
    """Parts of the target's size along the longer side, or the picture where its shape is near the target's."""
    if not request.split_oversized:
        return [worked]
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
