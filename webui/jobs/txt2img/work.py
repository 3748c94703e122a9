"""How the engine makes pictures: once more with less, when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from webui.base.errors import OutOfMemory
from webui.engine.generate import pictures, tools_of
from webui.engine.house import House
from webui.engine.memory import is_out_of_memory
from webui.request.messages import Pictured
from webui.request.plan import Plan

log = logging.getLogger(__name__)

LEAN = "Low memory"
"""The infotext's label of a picture that did not fit at first: its last bits may differ from those of a better day."""
LEAN_REMARK = "Out of memory: the picture was generated again in a way that needs less."


def work(plan: Plan, house: House) -> Iterator[Pictured]:
    """The pictures of a plan; when memory runs out, those that are missing once more, in the leanest way."""
    if house.lean:
        yield from _lean(plan, house)
        return
    done: set[int] = set()
    try:
        for picture in pictures(plan, tools_of(house)):
            done.add(picture.position)
            yield picture
        return
    except Exception as error:
        no_room = isinstance(error, OutOfMemory) and house.profile.device.type != "cpu"
        if not (no_room or is_out_of_memory(error)):
            raise
        log.warning("Out of memory: %s. Trying again with less.", error)
    # Beyond the handler, so that nothing holds on to what the failed attempt had in its hands.
    house.clear()
    yield from _lean(plan.without(frozenset(done)), house)


def _lean(plan: Plan, house: House) -> Iterator[Pictured]:
    """The pictures, one by one and in the way that needs the least memory; they say so."""
    rest = leaner(plan)
    house.watch.batches = len(rest.batches)
    models = house.models
    models.profile = models.profile.leaner(models.ran.offload)
    try:
        for picture in pictures(rest, tools_of(house)):
            facts = (*picture.facts, (LEAN, "True"))
            yield replace(picture, facts=facts, comments=(*picture.comments, LEAN_REMARK))
    finally:
        models.unload()
        models.profile = house.profile


def leaner(plan: Plan) -> Plan:
    """The same pictures one by one, with prompt and negative prompt after one another instead of together."""
    return replace(
        plan,
        batches=tuple(
            (replace(picture, render=picture.render.changed(batch_cond_uncond=False)),)
            for batch in plan.batches
            for picture in batch
        ),
    )
