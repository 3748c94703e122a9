"""A kind of job that fails at the place that is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Choice

FLOW = ("follow raises", "follow gives", "follow gives a request")
WORK = ("work gives", "work returns", "work makes pictures")
PLAN = ("plan gives", "prepared gives", "prepared exits", "over exits")


class Flows(JobRequest):
    """Where it fails."""

    kind: ClassVar[str] = "broken_flows"

    how: Annotated[str, Choice(ui="How", choices=(*FLOW, *WORK, *PLAN))] = FLOW[0]
    """Where, and how."""

    @property
    def title(self) -> str:
        return f"Broken: {self.how}"


@dataclass(frozen=True, kw_only=True)
class FlowsPlan(UndividedPlan):
    """All that there is."""

    kind: ClassVar[str] = "broken_flows"
    how: str


Request = Flows
