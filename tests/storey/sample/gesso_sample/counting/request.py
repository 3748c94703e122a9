"""A kind of job: numbers, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Number, Slider


class Counting(JobRequest):
    """What is added up."""

    kind: ClassVar[str] = "sample_sum"

    most: Annotated[int, Slider(ui="Most", min=1, max=100, ge=1, le=1000)] = 10
    """The last number."""
    pause: Annotated[float, Number(ui="Pause", ge=0, le=10)] = 0.0
    """Seconds before each of them."""

    @property
    def title(self) -> str:
        return f"Count to {self.most}"


@dataclass(frozen=True, kw_only=True)
class CountingPlan(UndividedPlan):
    """Everything that the sum depends on."""

    kind: ClassVar[str] = "sample_sum"
    most: int
    pause: float = 0.0


Request = Counting
