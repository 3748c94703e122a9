"""How the engine carries out a step of a script: the script does it, with the pictures opened."""

from __future__ import annotations

from collections.abc import Iterator

from webui.base.errors import UserError
from webui.engine.house import House
from webui.engine.inpaint import flattened
from webui.engine.levels import rows_of
from webui.engine.start import opened
from webui.jobs.compose.request import ComposePlan
from webui.request.messages import Pictured
from webui.scripts.flow import PictureFlow
from webui.scripts.script import chosen


def work(plan: ComposePlan, house: House) -> Iterator[Pictured]:
    """The pictures of the step.

    Raises:
        Interrupted: somebody stopped it.
        NotFound, UserError: the script cannot do it.
    """
    watch = house.watch
    watch.begin_batch(0)
    watch.enter("working", 0.0, 1.0)
    script, _ = chosen(plan.asked)
    if not isinstance(script, PictureFlow):
        raise UserError(f"{script.title} does nothing with pictures by itself.", field="script")
    (pieces,) = plan.batches
    given = [flattened(opened(plan.images[name]), plan.background) for name in plan.pictures]
    made = script.composed(plan.step, plan.numbers, given, plan.asked)
    for number, (piece, picture) in enumerate(zip(pieces, made, strict=True)):
        watch.check()
        rgb, alpha = rows_of(picture.convert("RGB"))
        yield Pictured(watch.job_id, piece.position, picture.width, picture.height, rgb, alpha=alpha)
        watch.step(number + 1, len(pieces))
