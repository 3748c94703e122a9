"""A picture described: a sentence by BLIP, or the tags that a tagger sees."""

from __future__ import annotations

from collections.abc import Iterator

from webui.engine.describers.described import described, scored
from webui.engine.house import House
from webui.engine.start import opened
from webui.jobs.interrogate.request import InterrogatePlan
from webui.request.interrogators import Tagging
from webui.request.messages import Answered


def work(plan: InterrogatePlan, house: House) -> Iterator[Answered]:
    """The words, or the scores as JSON.

    Raises:
        Interrupted: the user stopped it.
        ModelError: the model's files are broken, or another model's.
    """
    house.watch.begin_batch(0)
    picture = opened(plan.image)
    if plan.as_scores and isinstance(plan.way, Tagging):
        said = plan.way.scores(scored(picture, plan.way, house.residents, house.watch))
    else:
        said = described(picture, plan.way, house.residents, house.watch)
    yield Answered(house.watch.job_id, said)
