"""A kind of job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from webui.request.jobs import JobRequest, UndividedPlan


class Plans(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_plans"

    @property
    def title(self) -> str:
        return "Broken plans"


@dataclass(frozen=True, kw_only=True)
class PlansPlan(UndividedPlan):
    """Nothing."""

    kind: ClassVar[str] = "broken_plans"


Request = Plans
