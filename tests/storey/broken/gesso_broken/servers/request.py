"""A kind of job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from webui.request.jobs import JobRequest, UndividedPlan


class Servers(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_servers"

    @property
    def title(self) -> str:
        return "Broken servers"


@dataclass(frozen=True, kw_only=True)
class ServersPlan(UndividedPlan):
    """Nothing."""

    kind: ClassVar[str] = "broken_servers"


Request = Servers
