"""What is done with a picture after it was decoded, and how it leaves the engine."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image
from torch import Tensor

from webui.engine.batch import Batch, Services
from webui.engine.feature import FinishedPicture
from webui.engine.levels import rows_of
from webui.engine.passes import Features
from webui.engine.start import Beginning
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


def finish(features: Features, made: DecodedPicture, index: int, batch: Batch, services: Services) -> FinishedPicture:
    """What the features make of the decoded picture at this place of the batch."""
    finished = FinishedPicture(made.picture, made.picture, index, batch, services, made.latent)
    if made.beginning is not None:
        given = made.beginning.givens[index]
        finished = FinishedPicture(
            made.picture,
            made.picture,
            index,
            batch,
            services,
            made.latent,
            start=made.beginning.start,
            given=given,
            overlay=given.overlay if batch.render.overlay_inpaint else None,
            mask=given.mask,
        )
    for feature in features:
        finished = expected(feature.finish(finished), FinishedPicture, feature, "finish")
    return finished


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
