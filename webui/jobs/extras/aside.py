"""The preview of what Extras would make of a picture: its proportions, parts and copies, small, without any model."""

from __future__ import annotations

import io
from functools import partial

from PIL import Image

from webui.engine.postprocessing import OperationTools, Worked, faces_by, unchanged
from webui.engine.residents import Residents
from webui.engine.start import opened
from webui.jobs.extras.request import ExtrasPreview
from webui.jobs.extras.work import as_given, results_of, without_background
from webui.request.enlarged import enlarged_size
from webui.request.messages import AsidePicture, AsideResult

LARGE, SMALL = 640, 320
"""Pixels of the longer side of a picture that is seen alone, and of one among others."""
SHOWN = 12
"""So many are seen."""


def aside(plan: ExtrasPreview, residents: Residents) -> AsideResult:
    """
    Raises:
        UserError: the picture would become too large, or too small, or a network was not fetched.
    """
    comments = list(plan.comments)
    picture = as_given(opened(plan.picture))
    given = Worked(picture, plan.size, most=max(*picture.size, LARGE))
    tools = OperationTools(
        _resized, plan.names, plan.most_pixels, comments.append, faces=faces_by(residents, comments.append)
    )
    cut = partial(without_background, cutting=plan.cutting, residents=residents)
    results = results_of(given, plan.request, tools, plan.order, (cut, unchanged, unchanged))
    if len(results) > SHOWN:
        comments.append(f"The first {SHOWN} of {len(results)} pictures are shown.")
    side = LARGE if len(results) == 1 else SMALL
    return AsideResult(tuple(_looked_at(result, side) for result in results[:SHOWN]), tuple(comments))


def _resized(worked: Worked, upscaler: str, factor: float) -> Worked:
    """For every upscaler; the pixels of one can be told from those of another at full size alone."""
    method = Image.Resampling.NEAREST if upscaler == "Nearest" else Image.Resampling.LANCZOS
    return worked.resized(enlarged_size(worked.size, factor), method)


def _looked_at(worked: Worked, side: int) -> AsidePicture:
    small = worked.picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=85, method=2)
    return AsidePicture(*worked.size, buffer.getvalue())
