"""What a preprocessor makes of a picture, beside the device: for whoever sets a unit up, and for programs."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from webui.base.errors import UserError
from webui.catalog.image_files import pixels_of
from webui.engine.control.hints import perfect_resolution
from webui.engine.preprocessors.openpose import drawn
from webui.engine.preprocessors.picture import Options, mapped
from webui.engine.residents import Residents
from webui.features.controlnet.parameters import RESIZE_MODES
from webui.features.controlnet.picture import on_white
from webui.request.messages import AsidePicture, AsideResult
from webui.request.preprocessing import INPAINTS, KEEPS, Drawing, Preprocessing
from webui.request.preprocessors import NONE, Preprocessor, preprocessor


def aside(plan: Preprocessing | Drawing, residents: Residents) -> AsideResult:
    """
    Raises:
        NotFound: there is no such preprocessor.
        UserError: it is not in this version.
    """
    if isinstance(plan, Drawing):
        return _told(Image.fromarray(drawn(plan.poses)), 0)
    known = preprocessor(plan.module)
    code = known.code or (NONE.code if known.name in KEEPS else "")
    if not code:
        raise UserError(f"The preprocessor {known.title} is not available in this version.", field="module")
    given = pixels_of(plan.picture)
    if code == NONE.code and known.name not in INPAINTS:
        return _told(given if given.mode == "L" else Image.fromarray(on_white(given)), plan.side)
    picture = np.array(given.convert("RGBA")) if _keeps_alpha(plan, known, given) else on_white(given)
    options = Options(
        _resolution(plan, known, picture.shape[1], picture.shape[0]),
        known.value_of(known.a, plan.a),
        known.value_of(known.b, plan.b),
        residents=residents,
        annotators=plan.annotators,
    )
    made = mapped(code, picture, options)
    seen = Image.fromarray(made.pixels).convert("RGB")
    told = _told(_with_hole(seen, plan.mask) if known.name in INPAINTS else seen, plan.side)
    return replace(told, comments=made.remarks, poses=made.poses)


def _keeps_alpha(plan: Preprocessing, known: Preprocessor, given: Image.Image) -> bool:
    """A1111's route gives Canny all four channels; a unit's picture is laid on white before any preprocessor."""
    return plan.as_given and known.name == "canny" and given.mode == "RGBA"


def _resolution(plan: Preprocessing, known: Preprocessor, width: int, height: int) -> int:
    resolution = int(known.resolution_of(plan.resolution))
    if plan.target is not None:
        mode = next((each for each in RESIZE_MODES if each == plan.resize_mode), RESIZE_MODES[1])
        resolution = perfect_resolution((width, height), plan.target, mode)
    return resolution


def _with_hole(picture: Image.Image, mask: bytes) -> Image.Image:
    """Half transparent where it is to be filled.

    Raises:
        UserError: there is no mask, or it is of another size.
    """
    if not mask:
        raise UserError("Inpainting needs a mask.", hint="White marks what is to be filled.", field="mask")
    hole = pixels_of(mask).convert("RGB").getchannel(0)
    if hole.size != picture.size:
        raise UserError(
            f"The mask has {hole.width}x{hole.height} pixels, but the picture has {picture.width}x{picture.height}.",
            hint="Use a mask of the same size as the picture.",
            field="mask",
        )
    with_hole = picture.copy()
    with_hole.putalpha(hole.point(lambda level: 255 - level // 2))
    return with_hole


def _told(seen: Image.Image, side: int) -> AsideResult:
    width, height = seen.size
    if side:
        seen = seen.copy()
        seen.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    seen.convert("RGBA" if seen.mode == "RGBA" else "RGB").save(
        buffer, "WEBP", lossless=True, quality=0, method=0, exact=True
    )
    return AsideResult((AsidePicture(width, height, buffer.getvalue(), is_grey=seen.mode == "L"),))
