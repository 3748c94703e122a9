"""What is counted, and the plan of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Number


class Request(JobRequest):
    kind: ClassVar[str] = "counting"

    upto: Annotated[int, Number(ui="Count up to", ge=1, le=1000)] = 5
    """The last number."""
    pause: Annotated[float, Number(ui="Pause", ge=0, le=10)] = 0.0
    """Seconds before each of them."""

    @property
    def title(self) -> str:
        return f"Count up to {self.upto}"


@dataclass(frozen=True, kw_only=True)
class CountingPlan(UndividedPlan):
    kind: ClassVar[str] = "counting"
    upto: int
    pause: float
