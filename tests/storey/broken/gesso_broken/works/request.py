"""A kind of job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from webui.request.jobs import JobRequest, UndividedPlan


class Works(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_works"

    @property
    def title(self) -> str:
        return "Broken works"


@dataclass(frozen=True, kw_only=True)
class WorksPlan(UndividedPlan):
    """Nothing."""

    kind: ClassVar[str] = "broken_works"


Request = Works
