"""A kind of job."""

from __future__ import annotations

from typing import ClassVar

from webui.request.jobs import JobRequest


class Lacking(JobRequest):
    """Nothing."""

    kind: ClassVar[str] = "broken_lacking"

    @property
    def title(self) -> str:
        return "Broken lacking"


Request = Lacking
