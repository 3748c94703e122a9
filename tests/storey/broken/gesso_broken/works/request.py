"""A kind of job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Text


class Works(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_works"

    how: Annotated[str, Text(ui="How")] = ""
    """Where its preview is to fail."""

    @property
    def title(self) -> str:
        return "Broken works"


@dataclass(frozen=True, kw_only=True)
class WorksPlan(UndividedPlan):
    """Nothing."""

    kind: ClassVar[str] = "broken_works"
    how: str = ""


Request = Works
