"""Counting: what comes of it depends on every number, each counted once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

from tests.kinds.counting.request import CountingPlan
from webui.engine.house import House
from webui.request.messages import Answered, Saved


def work(plan: CountingPlan, house: House) -> Iterator[Saved | Answered]:
    last = house.state.newest
    number, chain = json.loads(last.read_text()) if last is not None else (0, "")
    house.watch.enter("working", 0.0, 1.0)
    while number < plan.upto:
        time.sleep(plan.pause)
        house.watch.check()
        number, chain = number + 1, chained(chain, number + 1)
        content = json.dumps([number, chain])
        yield house.saved(lambda path, content=content: path.write_text(content))  # type: ignore[misc]
    yield Answered(house.watch.job_id, chain)


def chained(chain: str, number: int) -> str:
    """What the numbers up to this one come to."""
    return hashlib.sha256(f"{chain}{number}".encode()).hexdigest()


def counted(upto: int) -> str:
    """The answer of such a job."""
    chain = ""
    for number in range(1, upto + 1):
        chain = chained(chain, number)
    return chain
