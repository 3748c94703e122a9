"""Jobs that are submitted once more: by hand, or for ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from webui.base.errors import WebuiError
from webui.catalog.job_table import JobTable
from webui.request.jobs import JobRequest, request_class
from webui.server.jobs.events import Hub
from webui.server.jobs.job import Job

log = logging.getLogger(__name__)

GONE_SECONDS = 900.0
"""Who has not been seen for so long does not want pictures for ever any more."""


class Submit(Protocol):
    """`JobQueue.submit`."""

    def __call__(
        self, request: JobRequest, owner: str = "", *, settings: Mapping[str, object] | None = None
    ) -> str: ...


class Repeats:
    """Any thread may call any method."""

    def __init__(self, table: JobTable, hub: Hub, submit: Submit, has_ended: Callable[[str], bool]) -> None:
        """`has_ended`: whether the job of this id is over. Raises NotFound."""
        self._has_ended = has_ended
        self._table = table
        self._hub = hub
        self._submit = submit
        self._forever: dict[str, str] = {}

    def again(self, job_id: str, owner: str, changes: Mapping[str, object] | None = None) -> str:
        """Submit a job once more, with other values of some fields -> the new job's id.

        A seed of -1 is another one this time; `changes` may hold the seed that it had.

        Raises:
            NotFound: there is no such job.
            UserError: a value does not fit.
            Busy: the engine does not start.
        """
        row = self._table.get(job_id)
        request = request_class(row.kind).made(**{**json.loads(row.request), **(changes or {})})
        return self._submit(request, owner, settings=json.loads(row.settings))

    def forever(self, owner: str, job_id: str = "") -> None:
        """When this job is done, submit it again, and so on; "" ends that.

        It ends by itself with a job that fails or is cancelled, when this owner has not been seen for a while, and
        with the program.

        Raises:
            NotFound: there is no such job.
        """
        if not job_id:
            self._repeat(owner, "")
        elif self._has_ended(job_id):
            self._repeat(owner, self.again(job_id, owner))
        else:
            self._repeat(owner, job_id)

    def repeated(self, owner: str) -> str:
        """The id of the job that this owner wants again and again; "" is none."""
        return self._forever.get(owner, "")

    def _repeat(self, owner: str, job_id: str) -> None:
        if job_id:
            self._forever[owner] = job_id
        else:
            self._forever.pop(owner, None)
        self._hub.publish(f"forever/{owner}", {"type": "forever", "job_id": job_id}, owner=owner)

    def go_round(self, ended: Job) -> None:
        """A job is over that is wanted again and again."""
        if self._forever.get(ended.owner) != ended.id:
            return
        following = ""
        if ended.state == "done" and self._hub.is_there(ended.owner, GONE_SECONDS):
            try:
                following = self.again(ended.id, ended.owner)
            except WebuiError as error:
                log.warning("Generating forever ends: %s", error)
        self._repeat(ended.owner, following)
