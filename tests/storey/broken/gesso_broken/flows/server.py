"""Fails where it is told to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gesso_broken.flows.request import FLOW, Flows, FlowsPlan
from gesso_broken.raising import raises, seven
from webui.request.settings import Settings
from webui.scripts.flow import Made, Next
from webui.server.jobs.job import Job
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work


class Server(JobServer[Flows, FlowsPlan]):
    def plan(self, request: Flows, _settings: Settings, /) -> FlowsPlan:
        return seven() if request.how == "plan gives" else FlowsPlan(how=request.how)

    def prepared(self, job: Job, request: Flows, settings: Settings) -> Work:
        if request.how == "prepared exits":
            sys.exit(3)
        return seven() if request.how == "prepared gives" else super().prepared(job, request, settings)

    def steps(self, _request: Flows, /) -> int:
        return 2

    def follow(self, _job: Job, request: Flows, made: Sequence[Made], /) -> Any:
        if request.how not in FLOW:
            return None
        if not made:
            return Next(request)
        failing = {"follow raises": raises, "follow gives": seven, "follow gives a request": lambda: Next(seven())}
        return failing[request.how]()

    def over(self, work: Work, /) -> None:
        if work.job.request.title.endswith("over exits"):
            sys.exit(3)
