"""The queue: jobs as rows, worked off by one engine or several, each finished picture kept at once.

One thread decides: it hears the engines, gives them work when they are ready for it, saves pictures, publishes.
Everybody else writes a row and wakes it. An engine may die at any moment: the job goes on with the first picture that
is missing.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from webui.base.errors import Busy, NotFound
from webui.catalog.catalog import Catalog
from webui.catalog.settings_store import SettingsStore
from webui.request.jobs import JobRequest
from webui.request.live_settings import live_settings
from webui.request.messages import Interrupt, Skip
from webui.server.jobs.asides import Asides
from webui.server.jobs.dispatcher import Dispatcher
from webui.server.jobs.engine_client import Engine, EngineState
from webui.server.jobs.engines import Engines
from webui.server.jobs.events import Hub
from webui.server.jobs.flows import Flows
from webui.server.jobs.job import Job
from webui.server.jobs.limits import within
from webui.server.jobs.repeats import Repeats
from webui.server.jobs.results import Results
from webui.server.jobs.runs import PreviewImage, Runs
from webui.server.jobs.scheduler import Scheduler
from webui.server.jobs.servers import JobServers
from webui.server.jobs.work import Work
from webui.server.jobs.worker import ModelState

log = logging.getLogger(__name__)


class JobQueue:
    """The jobs of an installation. Any thread may call any method.

    Whose turn it is, is the `Scheduler`'s; what is in work the `Runs`'; what has come of it the `Results`'.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: SettingsStore,
        engines: Sequence[Engine],
        version: str,
        *,
        more: Callable[[int], Sequence[Engine]] | None = None,
    ) -> None:
        """`more`: asked once how many devices the first engine sees; gives the engines for the others."""
        self._table = catalog.jobs
        self._settings = settings
        self.version = version
        self._works: dict[str, Work] = {}
        self._servers = JobServers(catalog, settings, version)
        self._flows = Flows(self._servers, catalog.job_folders)
        self.hub = Hub(self.snapshot, lambda: self._engines.watch())
        repeats = Repeats(catalog.jobs, self.hub, self.submit, lambda job_id: self._results.job(job_id).ended)
        results = Results(catalog, self.hub, self._works, repeats.go_round)
        self._results = results
        self._engines = Engines(catalog, settings, self.hub, engines, more)
        self._runs = Runs(catalog, settings, self.hub, self._servers, self._flows, self._engines, results, self._works)
        self._scheduler = Scheduler(
            catalog, self._servers, self._flows, self._engines, results, self._runs, self._works
        )
        self.asides = Asides(self._engines, self._servers, settings)
        """What is asked of the engines beside the jobs."""
        self._dispatcher = Dispatcher(
            self.hub, self._engines, results, self._runs, self._scheduler, self.asides, self._works
        )
        self._closing = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.again, self.forever, self.repeated = repeats.again, repeats.forever, repeats.repeated
        self.job, self.jobs, self.ended = results.job, results.jobs, results.ended
        self.unload = self._engines.unload

    def start(self, *, preload: bool = True) -> None:
        """Begin to work; go on with what an earlier run of the program left unfinished, if the settings say so.

        `preload`: load the checkpoint of the settings at once.
        """
        for job_id in self._table.drop_unheard():
            log.info(
                "The job %s was dropped: the call that was waiting for its answer ended with the last run.", job_id
            )
        again, failed = self._table.recover(
            resume=self._settings.current.system.resume_jobs_at_start, progressed=self._results.progressed()
        )
        if again or failed:
            log.info("From the last run: %d jobs continue, %d were interrupted.", again, failed)
        self._servers.clean_up()
        self._results.clean_up()
        self._unsubscribe = self._settings.subscribe(self._dispatcher.put)
        self._engines.start(lambda worker, heard: self._dispatcher.put((worker, heard)))
        if preload:
            self._dispatcher.put(self._settings.current)
        self._dispatcher.thread.start()

    @property
    def started(self) -> bool:
        """Whether it works, or has worked."""
        return self._dispatcher.thread.ident is not None

    def close(self) -> None:
        """Stop, however far `start` came; the job in work goes on at the next start."""
        if self._closing:
            return
        self._closing = self._scheduler.closing = True
        self._unsubscribe()
        self._dispatcher.wake()
        closing = [threading.Thread(target=worker.engine.close, name="closing") for worker in self._engines.workers]
        for thread in closing:
            thread.start()
        for thread in (*closing, *((self._dispatcher.thread,) if self.started else ())):
            thread.join(30.0)
        self._runs.close()

    def submit(
        self,
        request: JobRequest,
        owner: str = "",
        *,
        settings: Mapping[str, object] | None = None,
        called: bool = False,
    ) -> str:
        """Put a job at the end of the queue -> its id. Seeds of -1 are fixed now.

        `settings` hold for this job alone, by A1111's names; the checkpoint and all others are those of this moment.
        `called`: an API call waits for its end; it gets what is half done when the job is stopped, and where nothing
        else would be left of it, the job ends with the program.

        Raises:
            NotFound: a name in the request is nothing's: refused now rather than when its turn comes.
            UserError: a value that can be checked now is wrong.
            Busy: the engine does not start.
        """
        current = self._settings.current.with_options(settings or {}, strict=False)
        within(request, self._settings.current.limits)
        engines = self._engines.state
        if engines.state == "failed":
            raise Busy(engines.text, hint="See the log for details. It will be retried automatically.")
        # Resolved now only to complain at once; what disk and settings say then decides when the turn comes.
        checked = self._servers.of(request.kind).checked(request, current)
        asked = Job(
            "", request.kind, owner, "queued", request, checked.pictures, seed=checked.seed, subseed=checked.subseed
        )
        self._flows.check(asked, request, current)
        row = self._table.submit(
            request.kind,
            owner,
            request.model_dump_json(exclude_defaults=True),
            settings=json.dumps(current.changed_options()),
            seed=checked.seed,
            subseed=checked.subseed,
            pictures=checked.pictures,
            model=checked.model,
            called=called,
        )
        self._results.publish(self._results.of_row(row))
        self._dispatcher.wake()
        return row.id

    def cancel(self, job_id: str) -> None:
        """Give a job up, waiting or running; its finished pictures stay.

        Raises:
            NotFound: there is no such job.
        """
        self._table.get(job_id)
        with self._scheduler.claiming:
            work = self._works.get(job_id)
            cancelled = work is None and self._table.cancel(job_id)
            if work is not None:
                work.cancelled = True
        if work is not None:
            self._engines.tell_those_at(job_id, Interrupt(job_id))
            self._dispatcher.wake()
        elif cancelled:
            self._results.over(job_id)
            self._results.publish_waiting()

    def cancel_all(self, owner: str) -> int:
        """Give up all jobs of one owner -> how many waited."""
        waiting = [row.id for row in self._table.list(owner=owner, states=("queued",), limit=100_000)]
        count = self._table.cancel_waiting(owner)
        for job_id in waiting:
            self._results.over(job_id)
        for job in self._runs.in_work:
            if job.owner == owner:
                self.cancel(job.id)
        self._results.publish_waiting()
        return count

    def interrupt(self, job_id: str, *, at_once: bool = False) -> None:
        """Stop a running job and keep what is finished; a waiting one is given up.

        The first interrupt lets the picture in work be finished, where the settings say so and more than one was
        asked for; the second one, or `at_once`, does not.
        """
        with self._scheduler.claiming:
            work = self._works.get(job_id)
            if work is not None:
                work.interrupts += 1
        if work is None:
            self.cancel(job_id)
            return
        gently = self._settings.current.ui.interrupt_after_current and work.job.count > 1
        after_current = gently and work.interrupts == 1 and not at_once
        self._engines.tell_those_at(job_id, Interrupt(job_id, after_current=after_current))
        self._dispatcher.wake()

    def skip(self, job_id: str) -> None:
        """Go on with the next batch of the running job."""
        self._engines.tell_those_at(job_id, Skip(job_id))

    def picture_saved(self, job_id: str) -> None:
        """Tell the page that a picture of this job has been saved, or given up."""
        try:
            self._results.publish(self._results.job(job_id))
        except NotFound:
            log.debug("The job %s was deleted.", job_id)

    def reorder(self, job_ids: list[str]) -> None:
        """Put these waiting jobs into this order. Raises Busy when one of them does not wait any more."""
        self._table.reorder(job_ids)
        self._results.publish_waiting()

    def pause(self, paused: bool = True) -> None:
        """Start no further job until `pause(False)`; the one in work goes on."""
        self._scheduler.paused = paused
        self.hub.publish("queue", {"type": "queue", "paused": paused})
        self._dispatcher.wake()

    @property
    def paused(self) -> bool:
        return self._scheduler.paused

    def preload(self) -> None:
        """Load the checkpoint of the settings, even if that was asked for before."""
        self._engines.forget_choice()
        self._dispatcher.put(self._settings.current)

    @property
    def in_work(self) -> tuple[Job, ...]:
        """The jobs in work, the first begun first; where there are several engines, more than one."""
        return self._runs.in_work

    @property
    def running(self) -> Job | None:
        """The job in work; of several the one that was begun first."""
        return next(iter(self._runs.in_work), None)

    def is_stopping(self, job_id: str) -> bool:
        """Whether somebody has asked the running job to end."""
        work = self._works.get(job_id)
        return work is not None and bool(work.interrupts or work.cancelled)

    @property
    def engine_state(self) -> EngineState:
        """How the engines are, in one."""
        return self._engines.state

    @property
    def models(self) -> ModelState:
        """What the engines have in memory, in one."""
        return self._engines.models

    @property
    def checkpoint_in_use(self) -> str:
        """The title of the checkpoint that an engine used last; "" is none."""
        return self._engines.checkpoint_in_use

    @property
    def preview(self) -> PreviewImage | None:
        """The latest look at the job in work."""
        return next((self._runs.previews[job.id] for job in self._runs.in_work if job.id in self._runs.previews), None)

    def preview_of(self, job_id: str) -> PreviewImage | None:
        """The latest look at a job; None when it is not in work, or nothing is to be seen yet."""
        return self._runs.previews.get(job_id)

    def waiting(self) -> int:
        """How many jobs wait."""
        return self._table.waiting()

    def snapshot(self, viewer: str) -> dict[str, object]:
        """The whole state as one message of the stream."""
        own = (self.preview_of(job.id) for job in self._runs.in_work if job.owner == viewer)
        engines, settings = self._engines.state, self._settings.current
        return {
            "type": "state",
            "jobs": [job.message(mine=job.owner == viewer) for job in self._results.jobs(viewer)],
            "engine": {"state": engines.state, "text": engines.text},
            "models": self._engines.models.shown,
            "previews": [preview.message for preview in own if preview is not None],
            "paused": self._scheduler.paused,
            "forever": self.repeated(viewer),
            "page": live_settings(settings),
        }

    def look(self) -> PreviewImage | None:
        """The latest preview; whoever asks for it counts as watching for a while."""
        self._engines.polled = time.monotonic()
        self._engines.watch()
        return self.preview
