"""What is done with a picture after it was decoded, and how it leaves the engine."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from webui.engine.batch import Batch
from webui.engine.feature import Finished
from webui.engine.passes import Features
from webui.engine.start import Beginning
from webui.engine.watch import Watch
from webui.request.messages import Pictured
from webui.request.plan import Picture


def finish(
    features: Features,
    made: Image.Image,
    index: int,
    batch: Batch,
    watch: Watch,
    latent: Tensor,
    beginning: Beginning | None,
) -> Finished:
    """What the features make of the decoded picture at this place of the batch. latent: what it was decoded from."""
    finished = Finished(made, made, index, batch, watch, latent)
    if beginning is not None:
        given = beginning.givens[index]
        finished = Finished(
            made,
            made,
            index,
            batch,
            watch,
            latent,
            start=beginning.start,
            given=given,
            overlay=given.overlay if batch.render.overlay_inpaint else None,
            mask=given.mask,
        )
    for feature in features:
        finished = feature.finish(finished)
    return finished


def pictured(picture: Picture, finished: Finished, *, half_done: bool = False) -> Pictured:
    """The finished picture as the engine gives it out."""
    result = finished.picture
    return Pictured(
        finished.watch.job_id,
        picture.position,
        width=result.width,
        height=result.height,
        rgb=result.tobytes(),
        facts=tuple(finished.batch.facts.noted.items()),
        comments=tuple(finished.watch.comments),
        extras=finished.extras,
        half_done=half_done,
    )
