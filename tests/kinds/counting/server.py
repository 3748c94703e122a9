"""What the server does around counting: nothing but the plan."""

from __future__ import annotations

from tests.kinds.counting.request import CountingPlan, Request
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer


class Server(JobServer[Request, CountingPlan]):
    def plan(self, request: Request, _settings: Settings, /) -> CountingPlan:
        return CountingPlan(upto=request.upto, pause=request.pause)
