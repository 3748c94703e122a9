"""What the server does around such a job."""

from __future__ import annotations

from gesso_sample.counting.request import Counting, CountingPlan
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer


class Server(JobServer[Counting, CountingPlan]):
    def plan(self, request: Counting, _settings: Settings, /) -> CountingPlan:
        return CountingPlan(most=request.most, pause=request.pause)

    def aside(self, request: Counting, settings: Settings, /) -> CountingPlan:
        return self.plan(request, settings)
