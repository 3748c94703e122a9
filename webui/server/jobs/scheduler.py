"""Whose turn it is: which job is begun next, and which engine gets which piece of it."""

from __future__ import annotations

import json
import threading
import time

from webui import registry
from webui.base.errors import DatabaseError, WebuiError
from webui.catalog.catalog import Catalog
from webui.catalog.job_table import JobRow
from webui.entry_points import blamed
from webui.request.jobs import request_class
from webui.request.messages import Interrupt, Others, Prefetch, Run
from webui.request.settings import Settings
from webui.server.jobs.engines import Engines
from webui.server.jobs.flows import Flows
from webui.server.jobs.job import PHASES, Progressed
from webui.server.jobs.results import Results
from webui.server.jobs.runs import Runs
from webui.server.jobs.servers import JobServers
from webui.server.jobs.work import Work
from webui.server.jobs.worker import Worker

LOOKED_AHEAD = 50
"""So many waiting jobs are looked at for one whose model an engine has."""
AFFINITY_SECONDS = 20.0
"""So long a job waits for an engine that has its model, while another one would have to load it."""
LONG_TURN = 900.0
"""Seconds that a long job of one owner has the device before it makes way for a long one of another."""


class Scheduler:
    """Belongs to the queue's thread, but for `paused`, `closing` and `claiming`, which any may take."""

    def __init__(
        self,
        catalog: Catalog,
        servers: JobServers,
        flows: Flows,
        engines: Engines,
        results: Results,
        runs: Runs,
        works: dict[str, Work],
    ) -> None:
        self._table = catalog.jobs
        self._folders = catalog.job_folders
        self._servers = servers
        self._flows = flows
        self._engines = engines
        self._results = results
        self._runs = runs
        self._works = works
        self.claiming = threading.Lock()
        """Held while a job that waited comes into work, or is cancelled."""
        self.paused = False
        self.closing = False
        self.put_back: JobRow | None = None
        """A job whose turn has come, though the database has refused to let it begin."""
        self._passed_over: dict[str, float] = {}
        self._read_ahead = ""

    def hand_out(self) -> None:
        """Give every engine that has nothing to do its next piece of work."""
        self._results.write_later()
        for work in list(self._works.values()):
            self._runs.conclude(work)
        for worker in self._engines.workers:
            while worker.idle and not self.closing:
                laid_out = next((work for work in list(self._works.values()) if work.waiting), None)
                if laid_out is not None:
                    self._give(worker, laid_out)
                elif self.paused or not self._begin_next(worker):
                    break
        if not self._works:
            self._engines.watch()
        self._prefetch()
        self._tell_of_others()

    def _tell_of_others(self) -> None:
        """Long jobs hear whether others wait."""
        for worker in self._engines.workers:
            work = self._works.get(worker.job_id)
            if work is None or not registry.job_kind(work.job.kind).long:
                continue
            had_its_turn = time.monotonic() - worker.since >= LONG_TURN
            owner = work.job.owner if had_its_turn else None
            long = [kind.name for kind in registry.job_kinds() if kind.long]
            waiting = not self.paused and self._table.others_wait(long, owner=owner)
            if waiting != worker.others_wait:
                worker.others_wait = waiting
                worker.engine.send(Others(waiting))

    def take_back(self, worker: Worker) -> None:
        """A long job has made way: it waits again, behind its owner's others."""
        work, chunk = self._works.get(worker.job_id), worker.chunk
        worker.job_id, worker.chunk = "", None
        if work is None or chunk is None:
            return
        if (left := chunk.without(work.done)).batches:
            work.waiting.appendleft(left)
        with self.claiming:
            if work.cancelled or work.interrupts or not work.waiting or not self._table.put_behind(work.job.id):
                return  # `hand_out` concludes it.
            self._works.pop(work.job.id)
        self._runs.previews.pop(work.job.id, None)
        self._results.publish(self._results.job(work.job.id))
        self._results.publish_waiting()

    def _prefetch(self) -> None:
        """An engine at work reads the model of the next job ahead."""
        worker = next((worker for worker in self._engines.workers if worker.job_id), None)
        following = self._table.first_waiting() if worker is not None else None
        if worker is None or following is None or following.model in ("", self._read_ahead):
            return
        if all(other.checkpoint != following.model for other in self._engines.workers):
            self._read_ahead = following.model
            worker.engine.send(Prefetch(following.model))

    def _begin_next(self, worker: Worker) -> bool:
        """Take up the next job -> False when there is none for this engine now."""
        row = self.put_back or self._claim(worker)
        if row is None:
            return False
        self.put_back = row  # Should the database refuse in between, this one is taken up again.
        try:
            work = self._prepared(row)
        except DatabaseError:
            raise
        except WebuiError as error:
            self._table.fail(row.id, error.code, error.message, error.hint)
            self.put_back = None
            self._results.over(row.id)
            return True
        # What a long job goes on from is one thing, and so is who goes on from it.
        work.divide(1 if registry.job_kind(row.kind).long else len(self._engines.workers))
        with self.claiming:
            running = self._table.get(row.id).state == "running"
            self.put_back = None
            if not running:
                return True  # Cancelled meanwhile.
            self._works[row.id] = work
        eta = self._runs.pace.left(work.plan.model, work.size, 0.0, 0.0)
        self._results.change(work, progress=Progressed(work.fraction(()), PHASES["waiting"], eta_seconds=eta))
        self._results.publish_waiting()
        self._engines.watch()
        self._runs.conclude(work)
        return True

    def give_up(self, error: Exception) -> None:
        """The edge: the job that was about to begin cannot, and the queue goes on."""
        row, self.put_back = self.put_back, None
        if row is None or row.id in self._works:
            return
        told = blamed(error) or WebuiError(f"An unexpected error occurred: {error}.", hint="See the log for details.")
        self._table.fail(row.id, told.code, told.message, told.hint)
        self._results.over(row.id)

    def _claim(self, worker: Worker) -> JobRow | None:
        """The next job for this engine. Of several engines, one that has a job's model is waited for, for a while."""
        if len(self._engines.workers) == 1:
            return self._table.claim()
        first = self._table.first_waiting()
        if first is None:
            return None
        having = [other for other in self._engines.workers if other.checkpoint == first.model]
        if worker in having or not having or not worker.checkpoint:
            return self._claimed(first)
        if time.monotonic() - self._passed_over.setdefault(first.id, time.monotonic()) > AFFINITY_SECONDS:
            return self._claimed(first)
        soon = self._table.list(states=("queued",), limit=LOOKED_AHEAD)
        return next((self._claimed(row) for row in soon if row.model == worker.checkpoint), None)

    def _claimed(self, row: JobRow) -> JobRow | None:
        self._passed_over.pop(row.id, None)
        return self._table.claim(row.id)

    def _give(self, worker: Worker, work: Work) -> None:
        chunk = work.waiting.popleft()
        worker.job_id, worker.chunk, worker.since, worker.others_wait = work.job.id, chunk, time.monotonic(), False
        points = self._folders.points(work.job.id)
        chunk.begun_at = points.reached
        plan = work.plan.only(chunk.positions)
        worker.checkpoint = plan.model or worker.checkpoint
        half_done = work.job.called or work.settings.save.save_incomplete_images
        worker.engine.send(Run(work.job.id, plan, chunk.lean, half_done, str(points.folder)))
        if work.cancelled or work.interrupts:
            worker.engine.send(Interrupt(work.job.id))  # The wish came while this was handed out.

    def _prepared(self, row: JobRow) -> Work:
        request = request_class(row.kind).made(**json.loads(row.request))
        settings = Settings().with_options(json.loads(row.settings), strict=False)
        job = self._results.of_row(row)
        return self._flows.begun(job, request, settings) or self._servers.of(row.kind).prepared(job, request, settings)
