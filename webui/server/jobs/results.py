"""What has come of the jobs: their rows, their pictures, and what people are told of them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from webui.base.errors import NotFound, StorageError, UserError
from webui.base.text import path_named
from webui.catalog.catalog import Catalog
from webui.catalog.job_table import ENDED, JobRow
from webui.catalog.pictures import SavedPicture
from webui.request.fields import Txt2Img
from webui.request.jobs import Gone, JobRequest, request_class, request_classes
from webui.request.messages import MemoryUse
from webui.server.jobs.events import Hub
from webui.server.jobs.job import Job, JobError, JobPicture
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)

SHOWN_ENDED = 20
"""So many of a viewer's latest jobs are shown besides the waiting ones."""
SHOWN_WAITING = 200
MEMORIES = 200
"""Of so many jobs it is known what they took of a device's memory."""


class Results:
    """Any thread may call any method, but for `write_later`."""

    def __init__(self, catalog: Catalog, hub: Hub, works: Mapping[str, Work], follow: Callable[[Job], None]) -> None:
        """`works`: the jobs in work. `follow` is called with each job that is over, when its row says so."""
        self._catalog = catalog
        self._table = catalog.jobs
        self._hub = hub
        self._works = works
        self._follow = follow
        self._lock = threading.Lock()
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._memory: dict[str, MemoryUse] = {}
        self.unwritten: dict[str, Job] = {}
        """Jobs that are over, though a full or locked disk does not let us write it down."""

    def job(self, job_id: str) -> Job:
        """A job at this moment.

        Raises:
            NotFound: there is no such job.
        """
        work = self._works.get(job_id)
        if work is not None:
            return work.job
        return self.unwritten.get(job_id) or self.of_row(self._table.get(job_id))

    def jobs(self, owner: str) -> list[Job]:
        """What a viewer's page shows: all running and waiting jobs, and this owner's latest that have ended."""
        rows = self._table.list(states=("running", "queued"), limit=SHOWN_WAITING)
        jobs = [self.of_row(row) for row in rows]
        places = iter(range(1, len(jobs) + 1))
        jobs = [replace(job, position=next(places)) if job.state == "queued" else job for job in jobs]
        ended = self._table.list(owner=owner, states=ENDED, limit=SHOWN_ENDED, newest_first=True)
        return [*(self.of_row(row) for row in reversed(ended)), *jobs]

    def ended(self, job_id: str) -> Future[Job]:
        """The job when it is over, whatever came of it.

        Raises:
            NotFound: there is no such job.
        """
        future: Future[Job] = Future()
        with self._lock:
            self._waiters.setdefault(job_id, []).append(future)
        if self.job(job_id).ended and not future.done():
            self.over(job_id)
        return future

    @property
    def waited_for(self) -> list[str]:
        """Ids of the jobs whose end somebody waits for."""
        with self._lock:
            return list(self._waiters)

    def over(self, job_id: str) -> None:
        """A job is over: tell the page, and those who wait for it.

        Its row says so already: were its folder to go first, a kill in between would begin it from nothing. What a
        kill leaves of the folder goes at the next start.
        """
        job = self.job(job_id)
        self._catalog.job_folders.forget(job_id)
        self.publish(job)
        self._follow(job)
        with self._lock:
            futures = self._waiters.pop(job_id, [])
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(job)

    def progressed(self) -> list[str]:
        """At start: the jobs that kept something of their own since the last run began them."""
        folders = self._catalog.job_folders
        running = self._table.list(states=("running",), limit=SHOWN_WAITING)
        return [row.id for row in running if row.started and folders.has_changed_since(row.id, row.started)]

    def clean_up(self) -> None:
        """At start: what jobs kept that are over goes."""
        for job_id in self._catalog.job_folders.all():
            try:
                over = self._table.get(job_id).state in ENDED
            except NotFound:
                over = True
            if over:
                self._catalog.job_folders.forget(job_id)

    def note_memory(self, job_id: str, use: MemoryUse) -> None:
        """What an engine took for a job, or for a piece of it; it is known until the program ends."""
        before = self._memory.pop(job_id, use)
        while len(self._memory) >= MEMORIES:
            del self._memory[next(iter(self._memory))]
        self._memory[job_id] = max(before, use, key=lambda each: each.active)

    def write_down(self, ended: Job) -> None:
        """The end of a job. Raises StorageError."""
        if ended.state == "done":
            self._table.finish(ended.id, ended.comments, ended.answer)
        elif ended.error is not None:
            self._table.fail(ended.id, ended.error.code, ended.error.message, ended.error.hint)
        else:
            self._table.cancel(ended.id)

    def write_later(self) -> None:
        """Try again to write down what a full or locked disk had refused."""
        for ended in list(self.unwritten.values()):
            try:
                for picture in ended.pictures:
                    self._table.add_result(
                        ended.id, picture.position, picture.id, picture.seed, picture.subseed, picture.infotext
                    )
                self.write_down(ended)
            except StorageError:
                return
            del self.unwritten[ended.id]

    def change(self, work: Work, **changes: Any) -> None:
        """Something about a job in work is different now."""
        work.job = replace(work.job, **changes)
        self.publish(work.job)

    def publish(self, job: Job) -> None:
        """Tell the page how it is."""
        self._hub.publish(
            f"job/{job.id}",
            {"type": "job", "job": job.message(mine=True)},
            owner=job.owner,
            others={"type": "job", "job": job.message(mine=False)},
        )

    def publish_waiting(self) -> None:
        """The places of the waiting jobs have changed."""
        for place, row in enumerate(self._table.list(states=("queued",), limit=SHOWN_WAITING), 1):
            self.publish(replace(self.of_row(row), position=place))

    def of_row(self, row: JobRow) -> Job:
        """A row and its results as a job."""
        work = self._works.get(row.id)
        if work is not None and row.state == "running":
            return work.job
        if row.id in self.unwritten:
            return self.unwritten[row.id]
        pictures = []
        for result in self._table.results(row.id):
            try:
                picture = self._catalog.pictures.get(result.picture_id)
            except NotFound:
                continue  # Deleted since.
            made = as_result(picture, result.position, result.seed, result.subseed, self._catalog)
            gone = made.saved and not path_named(picture.path).is_file()
            pictures.append(replace(made, infotext=result.infotext, gone=gone))
        return Job(
            id=row.id,
            kind=row.kind,
            owner=row.owner,
            state=row.state,
            request=_request_of(row),
            count=row.pictures,
            pictures=tuple(pictures),
            error=JobError(row.code, row.message, row.hint) if row.state == "failed" else None,
            comments=row.comments,
            answer=row.answer,
            seed=row.seed,
            subseed=row.subseed,
            called=row.called,
            created=row.created,
            started=row.started,
            finished=row.finished,
            memory=self._memory.get(row.id),
        )


def as_result(saved: SavedPicture, position: int, seed: int, subseed: int, catalog: Catalog) -> JobPicture:
    """A saved picture as a result of its job."""
    return JobPicture(
        saved.id,
        position,
        saved.width,
        saved.height,
        seed,
        subseed,
        saved.infotext,
        bool(saved.path),
        catalog.pictures.extras.names(saved.id),
        replaces=saved.parent if saved.kind == Txt2Img.kind else "",
    )


def _request_of(row: JobRow) -> JobRequest:
    """What was asked for; of a job whose request an older version took and this one does not, what can be said."""
    try:
        return request_class(row.kind).restored(json.loads(row.request))
    except UserError as error:
        log.warning("The request of the job %s cannot be read: %s", row.id, error)
        return request_classes().get(row.kind, Gone)()
