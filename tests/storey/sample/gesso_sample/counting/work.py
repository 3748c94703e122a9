"""How the engine adds up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gesso_sample.counting.request import CountingPlan
from webui.engine.house import House
from webui.request.messages import Answered, Saved


def work(plan: CountingPlan, house: House) -> Iterator[Saved | Answered]:
    """The sum of all numbers from 1, with a resume point after each."""
    last = house.state.newest
    number, total = json.loads(last.read_text()) if last is not None else (0, 0)
    house.watch.enter("working", 0.0, 1.0)
    while number < plan.most:
        time.sleep(plan.pause)
        house.watch.check()
        number, total = number + 1, total + number + 1
        yield house.saved(partial(_write, json.dumps([number, total])))
    yield Answered(house.watch.job_id, str(total))


def _write(text: str, path: Path) -> None:
    path.write_text(text)
