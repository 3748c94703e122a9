"""What the server does around such a job: nothing but to find the picture and the model."""

from __future__ import annotations

from webui.jobs.interrogate.request import Interrogate, InterrogatePlan, resolve_interrogate
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer


class Server(JobServer[Interrogate, InterrogatePlan]):
    def plan(self, request: Interrogate, settings: Settings, /) -> InterrogatePlan:
        return resolve_interrogate(request, settings, self.catalog, self.catalog.paths.models)
