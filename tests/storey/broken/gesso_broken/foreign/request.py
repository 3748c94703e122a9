"""A kind of job."""

from __future__ import annotations

from typing import ClassVar

from webui.request.jobs import JobRequest


class Foreign(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_foreign"

    @property
    def title(self) -> str:
        return "Broken foreign"


Request = Foreign
