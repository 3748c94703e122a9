"""Answers, or gives out what nobody expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gesso_broken.flows.request import FlowsPlan
from gesso_broken.raising import seven
from webui.engine.house import House
from webui.request.messages import Answered, Pictured


def work(plan: FlowsPlan, house: House) -> Any:
    """What the plan says."""
    return seven() if plan.how == "work returns" else _given_out(plan, house)


def _given_out(plan: FlowsPlan, house: House) -> Iterator[Any]:
    if plan.how == "work makes pictures":
        yield Pictured(house.watch.job_id, 0, 1, 1, bytes(3), ())
    yield seven() if plan.how == "work gives" else Answered(house.watch.job_id, "one of two")
