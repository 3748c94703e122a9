"""Fails when the job's turn has come."""

from __future__ import annotations

from typing import Any

from gesso_broken.plans.request import Plans, PlansPlan
from gesso_broken.raising import raises
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work


class Server(JobServer[Plans, PlansPlan]):
    def plan(self, _request: Plans, _settings: Settings, /) -> PlansPlan:
        return PlansPlan()

    def prepared(self, *_given: Any) -> Work:
        raises()
