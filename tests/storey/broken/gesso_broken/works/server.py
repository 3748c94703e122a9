"""Plans well, and cannot put the job away."""

from __future__ import annotations

from typing import Any

from gesso_broken.raising import raises
from gesso_broken.works.request import Works, WorksPlan
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer


class Server(JobServer[Works, WorksPlan]):
    def plan(self, _request: Works, _settings: Settings, /) -> WorksPlan:
        return WorksPlan()

    def aside(self, request: Works, _settings: Settings, /) -> Any:
        if request.how == "server raises":
            raises()
        return 1 if request.how == "server gives" else WorksPlan(how=request.how)

    def over(self, _work: Any, /) -> None:
        raises()

    def clean_up(self) -> None:
        raises()
