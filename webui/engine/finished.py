"""What is done with a picture after it was decoded, and how it leaves the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from webui.base.errors import Interrupted
from webui.engine.batch import Batch, Services
from webui.engine.feature import FinishedPicture
from webui.engine.levels import rows_of
from webui.engine.passes import Features
from webui.engine.start import Beginning
from webui.engine.watch import HALFWAY, Skipped
from webui.entry_points import expected
from webui.request.messages import Pictured
from webui.request.plan import Picture


class DecodedPicture(NamedTuple):
    """A picture of a batch as its model has made it."""

    picture: Image.Image
    latent: Tensor
    """(c, h, w), what it was decoded from; empty where a pipeline has run the model as a whole."""
    beginning: Beginning | None
    """What img2img began with."""
    whole: bool = True
    """Not when it was stopped halfway."""


def finish(
    features: Features, finished: FinishedPicture, *, whole: bool = True, stopped: bool = False
) -> tuple[FinishedPicture, bool]:
    """What the features make of a picture, and whether nothing of it is missing. Where somebody stops it and wants what
    is half done, the picture is as the features before have left it.

    whole: nothing of it is missing yet. stopped: the batch was stopped before, so that no more pictures are made within
    pictures.

    Raises:
        Interrupted, Skipped: somebody stopped it and does not want what is half done.
    """
    watch = finished.watch
    for feature in features:
        if feature.borrows and (stopped or not whole or watch.cancel.gives_half_done):
            whole = False
            continue
        try:
            finished = expected(feature.finish(finished), FinishedPicture, feature, "finish")
        except (Interrupted, Skipped) as wish:
            if not watch.cancel.taken(wish):
                raise
            watch.remark(HALFWAY)
            whole = False
    return finished, whole


def begun(made: DecodedPicture, index: int, batch: Batch, services: Services) -> FinishedPicture:
    """The picture at this place of the batch before any feature."""
    finished = FinishedPicture(made.picture, made.picture, index, batch, services, made.latent)
    if made.beginning is None:
        return finished
    given = made.beginning.givens[index]
    return replace(
        finished,
        start=made.beginning.start,
        given=given,
        overlay=given.overlay if batch.render.overlay_inpaint else None,
        mask=given.mask,
    )


def pictured(picture: Picture, finished: FinishedPicture, *, half_done: bool = False) -> Pictured:
    """The finished picture as the engine gives it out."""
    result = finished.picture
    rgb, alpha = rows_of(result)
    return Pictured(
        finished.watch.job_id,
        picture.position,
        width=result.width,
        height=result.height,
        rgb=rgb,
        alpha=alpha,
        facts=tuple(finished.batch.facts.noted.items()),
        comments=tuple(finished.watch.comments),
        extras=finished.extras,
        half_done=half_done,
    )
