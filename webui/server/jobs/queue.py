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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from PIL import Image

from webui.base.errors import (
    Busy,
    DatabaseError,
    EngineCrashed,
    NotFound,
    StorageError,
    UserError,
    WebuiError,
)
from webui.base.log import tell
from webui.catalog.catalog import Catalog
from webui.catalog.job_table import ENDED, JobRow, State
from webui.catalog.pictures import NotSaved
from webui.catalog.settings_store import SettingsStore
from webui.request.jobs import JobRequest, request_classes
from webui.request.messages import (
    Answered,
    Beat,
    Command,
    Configure,
    Failed,
    Finished,
    Interrupt,
    Loading,
    Pictured,
    Prefetch,
    Preload,
    Preloaded,
    Preview,
    Progress,
    Ready,
    Run,
    Skip,
    Unload,
    Watch,
)
from webui.request.plan import chosen_models
from webui.request.settings import Settings
from webui.server.jobs.engine_client import Engine, EngineState, Heard, Lost
from webui.server.jobs.estimate import Pace
from webui.server.jobs.events import Hub
from webui.server.jobs.job import PHASES, Job, JobError, JobPicture, Progressed
from webui.server.jobs.kind import JobServers
from webui.server.jobs.limits import within
from webui.server.jobs.seat import ModelState, Seat, models_of, state_of
from webui.server.jobs.work import Unit, Work

log = logging.getLogger(__name__)

CRASHES_ALLOWED = 1
"""How often the engine may die over the same picture."""
SHOWN_ENDED = 20
"""So many of a viewer's latest jobs are shown besides the waiting ones."""
SHOWN_WAITING = 200
GONE_SECONDS = 900.0
"""Who has not been seen for so long does not want pictures for ever any more."""
LOOKED_AHEAD = 50
"""So many waiting jobs are looked at for one whose model an engine has."""
POLLED_SECONDS = 10.0
"""Who asked for a preview so long ago counts as watching."""
RETRY_SECONDS = 2.0
"""After so long it is tried again to write what a full or locked disk has refused."""
AFFINITY_SECONDS = 20.0
"""So long a job waits for an engine that has its model, while another one would have to load it."""


@dataclass(frozen=True)
class PreviewImage:
    """The latest look at the job in work."""

    job_id: str
    number: int
    jpeg: bytes

    @property
    def message(self) -> dict[str, Any]:
        """What the event stream says of it."""
        with Image.open(BytesIO(self.jpeg)) as image:
            width, height = image.size
        url = f"internal/preview/{self.job_id}/{self.number}.jpg"
        return {"job_id": self.job_id, "number": self.number, "width": width, "height": height, "url": url}


class JobQueue:
    """The jobs of an installation. Any thread may call any method."""

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
        self._catalog = catalog
        self._table = catalog.jobs
        self._settings = settings
        self.version = version
        self._servers = JobServers(catalog, settings, version)
        self._pace = Pace()
        self._inbox: SimpleQueue[tuple[Seat, Heard] | Settings | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._seats = tuple(Seat(engine) for engine in engines)
        self._more = more
        self._works: dict[str, Work] = {}
        self._unwritten: dict[str, Job] = {}
        self._put_back: JobRow | None = None
        self._trouble = ""
        self._passed_over: dict[str, float] = {}
        self._read_ahead = ""
        self._previews: dict[str, PreviewImage] = {}
        self._forever: dict[str, str] = {}
        self._paused = False
        self._closing = False
        self._polled = 0.0
        self._idle_since: float | None = time.monotonic()
        self._watching = False
        self._told: tuple[str, str] | None = None
        self._asked = ("", "")
        self._loaded: tuple[str, str] | None = None
        self._fallen_back = ""
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._aside = ThreadPoolExecutor(1, "aside")
        self.hub = Hub(self.snapshot, self._watch)

    def start(self, *, preload: bool = True) -> None:
        """Begin to work; go on with what an earlier run of the program left unfinished, if the settings say so.

        `preload`: load the checkpoint of the settings at once.
        """
        for job_id in self._table.drop_unheard():
            log.info("The job %s is dropped: the call that waited for its answer ended with the last run.", job_id)
        again, failed = self._table.recover(resume=self._settings.current.system.resume_jobs_at_start)
        if again or failed:
            log.info("From the last run: %d jobs go on, %d were cut off.", again, failed)
        self._servers.clean_up()
        self._unsubscribe = self._settings.subscribe(self._inbox.put)
        self._loaded = _choice(self._settings.current)
        self._configure(self._settings.current)
        for seat in self._seats:
            self._begin(seat)
        if preload:
            self._inbox.put(self._settings.current)
        self._thread.start()

    def _begin(self, seat: Seat) -> None:
        seat.engine.start(lambda heard: self._inbox.put((seat, heard)))

    @property
    def started(self) -> bool:
        """Whether it works, or has worked."""
        return self._thread.ident is not None

    def close(self) -> None:
        """Stop, however far `start` came; the job in work goes on at the next start."""
        if self._closing:
            return
        self._closing = True
        self._unsubscribe()
        self._inbox.put(None)
        closing = [threading.Thread(target=seat.engine.close, name="closing") for seat in self._seats]
        for thread in closing:
            thread.start()
        for thread in (*closing, *((self._thread,) if self.started else ())):
            thread.join(30.0)
        self._aside.shutdown()

    # --- what people ask for ----------------------------------------------------------------------------------------

    def submit(
        self,
        request: JobRequest,
        owner: str = "",
        *,
        settings: Mapping[str, Any] | None = None,
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
        engines = self.engine_state
        if engines.state == "failed":
            raise Busy(engines.text, hint="The log says more. It is tried again by itself.")
        # Resolved now only to complain at once; what disk and settings say then decides when the turn comes.
        checked = self._servers.of(request.kind).checked(request, current)
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
        self._publish(self._job(row))
        self._inbox.put(None)
        return row.id

    def cancel(self, job_id: str) -> None:
        """Give a job up, waiting or running; its finished pictures stay.

        Raises:
            NotFound: there is no such job.
        """
        self._table.get(job_id)
        with self._claiming:
            work = self._works.get(job_id)
            cancelled = work is None and self._table.cancel(job_id)
        if work is not None:
            work.cancelled = True
            self._send_to_those_at(job_id, Interrupt(job_id))
            self._inbox.put(None)
        elif cancelled:
            self._ended(job_id)
            self._publish_waiting()

    def cancel_all(self, owner: str) -> int:
        """Give up all jobs of one owner -> how many waited."""
        waiting = [row.id for row in self._table.list(owner=owner, states=("queued",), limit=100_000)]
        count = self._table.cancel_waiting(owner)
        for job_id in waiting:
            self._ended(job_id)
        for job in self.in_work:
            if job.owner == owner:
                self.cancel(job.id)
        self._publish_waiting()
        return count

    def interrupt(self, job_id: str, *, at_once: bool = False) -> None:
        """Stop a running job and keep what is finished; a waiting one is given up.

        The first interrupt lets the picture in work be finished, where the settings say so and more than one was
        asked for; the second one, or `at_once`, does not.
        """
        work = self._works.get(job_id)
        if work is None:
            self.cancel(job_id)
            return
        work.interrupts += 1
        gently = self._settings.current.ui.interrupt_after_current and work.job.count > 1
        after_current = gently and work.interrupts == 1 and not at_once
        self._send_to_those_at(job_id, Interrupt(job_id, after_current=after_current))
        self._inbox.put(None)

    def skip(self, job_id: str) -> None:
        """Go on with the next batch of the running job."""
        self._send_to_those_at(job_id, Skip(job_id))

    def again(self, job_id: str, owner: str, changes: Mapping[str, Any] | None = None) -> str:
        """Submit a job once more, with other values of some fields -> the new job's id.

        A seed of -1 is another one this time; `changes` may hold the seed that it had.

        Raises:
            NotFound: there is no such job.
            UserError: a value does not fit.
            Busy: the engine does not start.
        """
        row = self._table.get(job_id)
        request = request_classes()[row.kind].made(**{**json.loads(row.request), **(changes or {})})
        return self.submit(request, owner, settings=json.loads(row.settings))

    def forever(self, owner: str, job_id: str = "") -> None:
        """When this job is done, submit it again, and so on; "" ends that.

        It ends by itself with a job that fails or is cancelled, when this owner has not been seen for a while, and
        with the program.

        Raises:
            NotFound: there is no such job.
        """
        if not job_id:
            self._repeat(owner, "")
        elif self.job(job_id).ended:
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
        self.hub.publish(f"forever/{owner}", {"type": "forever", "job_id": job_id}, owner=owner)

    def _go_round(self, ended: Job) -> None:
        """A job is over that is wanted again and again."""
        if self._forever.get(ended.owner) != ended.id:
            return
        following = ""
        if ended.state == "done" and self.hub.is_there(ended.owner, GONE_SECONDS):
            try:
                following = self.again(ended.id, ended.owner)
            except WebuiError as error:
                log.warning("Generating forever ends: %s", error)
        self._repeat(ended.owner, following)

    def picture_saved(self, job_id: str) -> None:
        """Tell the page that a picture of this job has been saved, or given up."""
        try:
            self._publish(self.job(job_id))
        except NotFound:
            log.debug("The job %s is forgotten.", job_id)

    def reorder(self, job_ids: list[str]) -> None:
        """Put these waiting jobs into this order. Raises Busy when one of them does not wait any more."""
        self._table.reorder(job_ids)
        self._publish_waiting()

    def pause(self, paused: bool = True) -> None:
        """Start no further job until `pause(False)`; the one in work goes on."""
        self._paused = paused
        self.hub.publish("queue", {"type": "queue", "paused": paused})
        self._inbox.put(None)

    @property
    def paused(self) -> bool:
        return self._paused

    def unload(self) -> None:
        """Let the engines put all models away."""
        self._send_to_all(Unload())

    def preload(self) -> None:
        """Load the checkpoint of the settings, even if that was asked for before."""
        self._told = None
        self._inbox.put(self._settings.current)

    def _send_to_all(self, command: Command) -> None:
        for seat in self._seats:
            seat.engine.send(command)

    def _send_to_those_at(self, job_id: str, command: Command) -> None:
        for seat in self._seats:
            if seat.job_id == job_id:
                seat.engine.send(command)

    # --- what people see --------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """A job at this moment.

        Raises:
            NotFound: there is no such job.
        """
        work = self._works.get(job_id)
        if work is not None:
            return work.job
        return self._unwritten.get(job_id) or self._job(self._table.get(job_id))

    @property
    def in_work(self) -> tuple[Job, ...]:
        """The jobs in work, the first begun first; where there are several engines, more than one."""
        return tuple(work.job for work in list(self._works.values()))

    @property
    def running(self) -> Job | None:
        """The job in work; of several the one that was begun first."""
        return next(iter(self.in_work), None)

    def is_stopping(self, job_id: str) -> bool:
        """Whether somebody has asked the running job to end."""
        work = self._works.get(job_id)
        return work is not None and bool(work.interrupts or work.cancelled)

    @property
    def engine_state(self) -> EngineState:
        """How the engines are, in one."""
        return state_of(self._seats)

    @property
    def models(self) -> ModelState:
        """What the engines have in memory, in one."""
        found = models_of(self._seats)
        return replace(found, message=f"The jobs wait. {self._trouble}") if self._trouble else found

    @property
    def checkpoint_in_use(self) -> str:
        """The title of the checkpoint that an engine used last; "" is none."""
        paths = {seat.checkpoint for seat in self._seats if seat.checkpoint}
        known = self._catalog.checkpoints.scan() if paths else ()
        return next((checkpoint.title for checkpoint in known if str(checkpoint.path) in paths), "")

    @property
    def preview(self) -> PreviewImage | None:
        """The latest look at the job in work."""
        return next((self._previews[job.id] for job in self.in_work if job.id in self._previews), None)

    def preview_of(self, job_id: str) -> PreviewImage | None:
        """The latest look at a job; None when it is not in work, or nothing is to be seen yet."""
        return self._previews.get(job_id)

    def waiting(self) -> int:
        """How many jobs wait."""
        return self._table.waiting()

    def jobs(self, owner: str) -> list[Job]:
        """What a viewer's page shows: all running and waiting jobs, and this owner's latest that have ended."""
        rows = self._table.list(states=("running", "queued"), limit=SHOWN_WAITING)
        jobs = [self._job(row) for row in rows]
        places = iter(range(1, len(jobs) + 1))
        jobs = [replace(job, position=next(places)) if job.state == "queued" else job for job in jobs]
        ended = self._table.list(owner=owner, states=ENDED, limit=SHOWN_ENDED, newest_first=True)
        return [*(self._job(row) for row in reversed(ended)), *jobs]

    def snapshot(self, viewer: str) -> dict[str, Any]:
        """The whole state as one message of the stream."""
        own = (self.preview_of(job.id) for job in self.in_work if job.owner == viewer)
        engines = self.engine_state
        return {
            "type": "state",
            "jobs": [job.message(mine=job.owner == viewer) for job in self.jobs(viewer)],
            "engine": {"state": engines.state, "text": engines.text},
            "models": self.models.shown,
            "previews": [preview.message for preview in own if preview is not None],
            "paused": self._paused,
            "forever": self.repeated(viewer),
            "page": self._settings.current.ui.live,
        }

    def ended(self, job_id: str) -> Future[Job]:
        """The job when it is over, whatever came of it.

        Raises:
            NotFound: there is no such job.
        """
        future: Future[Job] = Future()
        with self._lock:
            self._waiters.setdefault(job_id, []).append(future)
        if self.job(job_id).ended and not future.done():
            self._ended(job_id)
        return future

    def look(self) -> PreviewImage | None:
        """The latest preview; whoever asks for it counts as watching for a while."""
        self._polled = time.monotonic()
        self._watch()
        return self.preview

    # --- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closing:
            item = self._next_word()
            seat = item[0] if isinstance(item, tuple) else None
            try:
                self._hear(item)
            except Exception as error:  # noqa: BLE001 - the edge: the queue outlives every job
                self._give_up(seat, error)
            trouble = ""
            try:
                self._hand_out()
            except DatabaseError as error:
                trouble = str(error)
            except WebuiError as error:
                log.error("%s", error)
            except Exception:
                self._put_back = None
                log.exception("Something unforeseen happened.")
            self._note_trouble(trouble)

    def _next_word(self) -> tuple[Seat, Heard] | Settings | None:
        """What somebody says; None also when what the disk refused shall be tried again."""
        try:
            return self._inbox.get(timeout=RETRY_SECONDS if self._trouble or self._unwritten else None)
        except Empty:
            return None

    def _note_trouble(self, trouble: str) -> None:
        """No job can be begun, and why; "": all is well. Said once, on the page as well."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            log.error("The jobs wait. %s", trouble)
        else:
            log.info("The jobs go on.")
        self.hub.publish("models", {"type": "models", **self.models.shown})

    def _hear(self, item: tuple[Seat, Heard] | Settings | None) -> None:
        match item:
            case Settings():
                self.hub.publish("page", {"type": "page", **item.ui.live})
                self._configure(item)
                self._preload(item)
            case (seat, heard):
                self._hear_of(seat, heard)
            case None:
                pass

    def _hear_of(self, seat: Seat, heard: Heard) -> None:
        match heard:
            case EngineState():
                self._note_engine(seat, heard)
            case Ready():
                self._set_models(seat, device=heard.info, message="")
                self._take_in_more(heard.info.devices)
            case Lost():
                self._set_models(seat, loading="", beat=Beat())
                self._survive(seat, heard)
            case Beat():
                self._unload_when_idle()
                changed = heard.loaded != seat.models.beat.loaded
                seat.models = replace(seat.models, beat=heard)
                if changed:
                    self._set_models(seat)
            case Loading():
                self._set_models(seat, loading=heard.title)
            case Preloaded():
                self._note_choice(seat, heard)
            case Progress() | Preview() | Pictured() | Answered() | Finished() | Failed() if (
                heard.job_id == seat.job_id
            ):
                self._hear_of_job(seat, self._works.get(heard.job_id), heard)
            case _:
                pass

    def _hear_of_job(
        self, seat: Seat, work: Work | None, heard: Progress | Preview | Pictured | Answered | Finished | Failed
    ) -> None:
        """`work` is None when the job was given up while this engine was at it."""
        match heard:
            case Finished():
                self._rise(seat, work, heard)
            case Failed():
                unit, seat.job_id, seat.unit = seat.unit, "", None
                error = JobError(heard.code, heard.message, heard.hint)
                if work is not None and work.table is not None and unit is not None:
                    self._leave_out(work, unit, error)
                elif work is not None and not self._begun_anew(work, error):
                    self._fail(work, error)
            case Progress() if work is not None:
                self._note_progress(seat, work, heard)
            case Preview() if work is not None:
                self._note_preview(work, heard)
            case Pictured() if work is not None:
                self._keep(seat, work, heard)
            case Answered() if work is not None:
                self._change(work, answer=heard.text)
                self._servers.of(work.job.kind).answered(work)
            case _:
                pass

    def _begun_anew(self, work: Work, error: JobError) -> bool:
        """Whether the job begins again, since what it failed over has been replaced."""
        if not self._servers.of(work.job.kind).mended(work, error):
            return False
        self._send_to_those_at(work.job.id, Interrupt(work.job.id))
        self._works.pop(work.job.id)
        self._table.requeue(work.job.id)
        self._publish(self.job(work.job.id))
        return True

    def _unload_when_idle(self) -> None:
        """Nobody has made pictures for the time that the settings say: the models go."""
        minutes = self._settings.current.system.unload_after_minutes
        if self._works or not minutes or self._idle_since is None:
            return
        if time.monotonic() - self._idle_since > minutes * 60 and self.models.beat.resident:
            self._idle_since = None  # Once; the next job begins the time anew.
            self.unload()

    def _take_in_more(self, devices: int) -> None:
        """The first engine has said how many devices there are: engines for the others, when they are wished for."""
        if self._more is None or devices < 2:
            return
        more, self._more = tuple(Seat(engine) for engine in self._more(devices)), None
        self._seats += more
        self._configure(self._settings.current, more)
        for seat in more:
            self._begin(seat)

    # --- handing out ------------------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give every engine that has nothing to do its next piece of work."""
        self._write_later()
        for work in list(self._works.values()):
            self._conclude(work)
        for seat in self._seats:
            while seat.idle and not self._closing:
                laid_out = next((work for work in list(self._works.values()) if work.waiting), None)
                if laid_out is not None:
                    self._give(seat, laid_out)
                elif self._paused or not self._begin_next(seat):
                    break
        if not self._works:
            self._watch()
        self._prefetch()

    def _prefetch(self) -> None:
        """An engine at work reads the model of the next job ahead."""
        seat = next((seat for seat in self._seats if seat.job_id), None)
        following = self._table.first_waiting() if seat is not None else None
        if seat is None or following is None or following.model in ("", self._read_ahead):
            return
        if all(other.checkpoint != following.model for other in self._seats):
            self._read_ahead = following.model
            seat.engine.send(Prefetch(following.model))

    def _begin_next(self, seat: Seat) -> bool:
        """Take up the next job -> False when there is none for this engine now."""
        row = self._put_back or self._claim(seat)
        if row is None:
            return False
        self._put_back = row  # Should the database refuse in between, this one is taken up again.
        try:
            work = self._prepared(row)
        except DatabaseError:
            raise
        except WebuiError as error:
            self._table.fail(row.id, error.code, error.message, error.hint)
            self._put_back = None
            self._ended(row.id)
            return True
        work.divide(len(self._seats))
        with self._claiming:
            running = self._table.get(row.id).state == "running"
            self._put_back = None
            if not running:
                return True  # Cancelled meanwhile.
            self._works[row.id] = work
        eta = self._pace.left(work.plan.model, work.size, 0.0, 0.0)
        self._change(work, progress=Progressed(work.fraction(()), PHASES["waiting"], eta_seconds=eta))
        self._publish_waiting()
        self._watch()
        self._conclude(work)
        return True

    def _claim(self, seat: Seat) -> JobRow | None:
        """The next job for this engine. Of several engines, one that has a job's model is waited for, for a while."""
        if len(self._seats) == 1:
            return self._table.claim()
        first = self._table.first_waiting()
        if first is None:
            return None
        having = [other for other in self._seats if other.checkpoint == first.model]
        if seat in having or not having or not seat.checkpoint:
            return self._claimed(first)
        if time.monotonic() - self._passed_over.setdefault(first.id, time.monotonic()) > AFFINITY_SECONDS:
            return self._claimed(first)
        soon = self._table.list(states=("queued",), limit=LOOKED_AHEAD)
        return next((self._claimed(row) for row in soon if row.model == seat.checkpoint), None)

    def _claimed(self, row: JobRow) -> JobRow | None:
        self._passed_over.pop(row.id, None)
        return self._table.claim(row.id)

    def _give(self, seat: Seat, work: Work) -> None:
        unit = work.waiting.popleft()
        seat.job_id, seat.unit = work.job.id, unit
        plan = work.plan.only(unit.positions)
        seat.checkpoint = plan.model or seat.checkpoint
        half_done = work.job.called or work.settings.save.save_incomplete_images
        seat.engine.send(Run(work.job.id, plan, unit.lean, half_done))
        if work.cancelled or work.interrupts:
            seat.engine.send(Interrupt(work.job.id))  # The wish came while this was handed out.

    def _prepared(self, row: JobRow) -> Work:
        request = request_classes()[row.kind].made(**json.loads(row.request))
        settings = Settings().with_options(json.loads(row.settings), strict=False)
        return self._servers.of(row.kind).prepared(self._job(row), request, settings)

    # --- what engines say of jobs -----------------------------------------------------------------------------------

    def _note_progress(self, seat: Seat, work: Work, heard: Progress) -> None:
        now = time.monotonic()
        if work.sampling_since is None and heard.phase in ("sampling", "hires", "decoding", "upscaling"):
            work.sampling_since = now
        if seat.unit is not None:
            seat.unit.fraction = min(max(heard.fraction, 0.0), 1.0)
        fraction = work.fraction(self._units_of(work))
        seconds = now - work.sampling_since if work.sampling_since is not None else 0.0
        eta = None if work.resumed else self._pace.left(work.plan.model, work.size, fraction, seconds)
        text = PHASES[heard.phase]
        if heard.phase in ("sampling", "hires"):
            text = f"{text} {heard.step}/{heard.steps}"
        batch, batches = heard.batch, heard.batches
        several = len(self._seats) > 1 or work.table is not None
        if several:
            batch, batches = min(len(work.job.pictures), work.job.count - 1), work.job.count
        if batches > 1:
            text = f"{text}, {'picture' if several else 'batch'} {batch + 1} of {batches}"
        progress = Progressed(fraction, text, heard.step, heard.steps, batch, batches, eta)
        self._change(work, progress=progress)

    def _units_of(self, work: Work) -> list[Unit]:
        return [seat.unit for seat in self._seats if seat.unit is not None and seat.job_id == work.job.id]

    def _note_preview(self, work: Work, heard: Preview) -> None:
        preview = PreviewImage(heard.job_id, heard.number, heard.jpeg)
        self._previews[heard.job_id] = preview
        self.hub.publish("preview", {"type": "preview", **preview.message}, owner=work.job.owner)

    def _keep(self, seat: Seat, running: Work, heard: Pictured) -> None:
        """Save a finished picture; one that is there already came twice because its batch was made again."""
        job = running.job
        if any(picture.position == heard.position for picture in job.pictures):
            return
        comments = [comment for comment in heard.comments if comment not in running.comments]
        try:
            saved = self._servers.of(job.kind).keep(running, heard)
        except NotSaved as error:
            saved = error.picture
            comments.append(str(error))
        running.comments += comments
        if seat.unit is not None:
            seat.unit.crashes = 0
        if self._settings.current.system.samples_log_stdout:
            tell(saved.infotext)
        subseed = running.plan.at(heard.position).subseed
        made = JobPicture(
            saved.id,
            heard.position,
            saved.width,
            saved.height,
            saved.seed,
            subseed,
            saved.infotext,
            bool(saved.path),
            self._catalog.pictures.extras.names(saved.id),
        )
        pictures = tuple(sorted((*job.pictures, made), key=lambda picture: picture.position))
        self._change(running, pictures=pictures, comments=tuple(running.comments))

    def _rise(self, seat: Seat, work: Work | None, heard: Finished) -> None:
        """An engine is through with its piece."""
        unit, seat.unit, seat.job_id = seat.unit, None, ""
        if work is None or unit is None:
            return
        work.settled += unit.count
        work.stopped = work.stopped or heard.interrupted
        self._conclude(work)

    def _conclude(self, work: Work) -> None:
        """The job is over when nothing of it waits and no engine is at it."""
        if work.cancelled or work.interrupts:
            work.stopped = work.stopped or bool(work.waiting)
            work.waiting.clear()
        if work.waiting or self._units_of(work):
            return
        job = work.job
        if not work.stopped and work.sampling_since is not None and not work.resumed:
            seconds = time.monotonic() - work.sampling_since
            self._pace.learn(work.plan.model, work.size, seconds)
        if work.stopped and len(job.pictures) < job.count:
            work.comments.append(f"Stopped after {len(job.pictures)} of {job.count} pictures.")
        if work.failure is not None and not job.pictures:
            self._fail(work, work.failure)
            return
        nothing = not job.pictures and not job.answer
        self._put_down(work, "cancelled" if work.cancelled or (work.stopped and nothing) else "done")

    def _leave_out(self, work: Work, unit: Unit, error: JobError) -> None:
        """A cell of a table cannot be made; the others can."""
        work.failure = error
        work.comments.append(error.message)
        work.settled += unit.count
        self._change(work, comments=tuple(work.comments))
        self._conclude(work)

    def _fail(self, work: Work, error: JobError) -> None:
        self._send_to_those_at(work.job.id, Interrupt(work.job.id))
        self._put_down(work, "failed", error)

    def _put_down(self, work: Work, state: State, error: JobError | None = None) -> None:
        """The job is over: write it down, or, where the disk does not let us, remember it until it does."""
        self._previews.pop(work.job.id, None)
        server = self._servers.of(work.job.kind)
        server.over(work)
        ended = replace(
            work.job, state=state, error=error, comments=tuple(work.comments), finished=time.time(), position=0
        )
        try:
            self._write_down(ended)
        except StorageError as failure:
            log.error("The end of the job %s is not written down yet: %s", ended.id, failure)
            self._unwritten[ended.id] = ended
        self._works.pop(ended.id, None)
        self._idle_since = time.monotonic()
        if state == "done" and server.lays_out:
            sheet = self._aside.submit(self._lay_out, work, ended)
            sheet.add_done_callback(_note_failure)
        else:
            self._ended(ended.id)

    def _lay_out(self, work: Work, ended: Job) -> None:
        """Make the sheets of a job's pictures, beside the queue's own thread, and only then call it over."""
        try:
            self._servers.of(ended.kind).lay_out(work, ended)
        except WebuiError as error:
            log.error("There is no grid of the job %s: %s", ended.id, error)
        finally:
            self._ended(ended.id)

    def _write_down(self, ended: Job) -> None:
        if ended.state == "done":
            self._table.finish(ended.id, ended.comments, ended.answer)
        elif ended.error is not None:
            self._table.fail(ended.id, ended.error.code, ended.error.message, ended.error.hint)
        else:
            self._table.cancel(ended.id)

    def _write_later(self) -> None:
        """Try again to write down what a full or locked disk had refused."""
        for ended in list(self._unwritten.values()):
            try:
                for picture in ended.pictures:
                    self._table.add_result(
                        ended.id, picture.position, picture.id, picture.seed, picture.subseed, picture.infotext
                    )
                self._write_down(ended)
            except StorageError:
                return
            del self._unwritten[ended.id]

    def _survive(self, seat: Seat, lost: Lost) -> None:
        """An engine is gone; its piece goes to the next one that is ready, unless it has killed two in a row."""
        reason = lost.reason
        unit, work = seat.unit, self._works.get(seat.job_id)
        seat.unit, seat.job_id, seat.checkpoint = None, "", ""
        seat.state = EngineState("restarting", reason)  # Nothing is given to it until it says otherwise.
        if work is None or unit is None:
            return
        work.resumed = True
        left = unit.without(work.done)
        work.settled += unit.count - left.count
        if work.cancelled or work.interrupts:
            work.stopped = True
            self._conclude(work)
            return
        left.crashes += 1
        left.lean = left.lean or lost.out_of_memory
        if left.crashes > CRASHES_ALLOWED:
            hint = "Try a smaller picture, or start with --medvram."
            what = "picture" if work.job.count else "job"
            self._fail(work, JobError(EngineCrashed.code, f"{reason} It did so twice over the same {what}.", hint))
            return
        if left.batches:
            work.waiting.appendleft(left)
        fraction = work.fraction(self._units_of(work))
        told = "Memory ran out; a new engine goes on with less" if left.lean else "The engine ended; a new one goes on"
        self._change(work, progress=Progressed(fraction, told))

    def _note_engine(self, seat: Seat, state: EngineState) -> None:
        seat.state = state
        told = self.engine_state
        self.hub.publish("engine", {"type": "engine", "state": told.state, "text": told.text})
        if told.state != "failed":
            return
        error = JobError(EngineCrashed.code, told.text, "The log says more.")
        for work in list(self._works.values()):
            self._fail(work, error)
        with self._lock:
            waited_for = list(self._waiters)
        for job_id in waited_for:
            if self._table.fail(job_id, error.code, error.message, error.hint):
                self._ended(job_id)

    def _give_up(self, seat: Seat | None, error: Exception) -> None:
        """The edge: whatever went wrong ends the job in work, never the queue."""
        if isinstance(error, WebuiError):
            log.error("%s", error)
            told = error
        else:
            log.error("Something unforeseen happened.", exc_info=error)
            told = WebuiError(f"Something unforeseen happened: {error}.", hint="The log says more.")
        work = self._works.get(seat.job_id) if seat is not None else None
        if work is not None:
            self._fail(work, JobError(told.code, told.message, told.hint))

    # --- what the engine is told besides jobs -----------------------------------------------------------------------

    def _configure(self, settings: Settings, seats: Sequence[Seat] | None = None) -> None:
        budget = int(settings.system.model_memory_budget * 2**30)
        for seat in self._seats if seats is None else seats:
            seat.engine.send(Configure(settings.system.sd_checkpoints_limit, budget, settings.system.offload))
        self._watch(settings)

    def _preload(self, settings: Settings) -> None:
        """Load the checkpoint of the settings, if it is another one than before."""
        wanted = _choice(settings)
        if wanted == self._told:
            return
        self._told = wanted
        remarks: list[str] = []
        # What somebody has just chosen and is not there is taken back; what was chosen long ago may have gone since.
        anew = ("sd_model_checkpoint",) if self._loaded not in (None, wanted) else ()
        try:
            checkpoint, vae = chosen_models(settings.render, self._catalog, remarks.append, asked=anew)
        except NotFound as error:
            self._refuse(self._seats[0], str(error))
            return
        self._fallen_back = " ".join(remarks)
        self._asked = (checkpoint.path, vae.path if vae else "")
        for seat in self._seats:
            seat.checkpoint = checkpoint.path
            seat.engine.send(Preload(checkpoint, vae))

    def _note_choice(self, seat: Seat, heard: Preloaded) -> None:
        """An engine has loaded the checkpoint of the settings, or cannot."""
        if (heard.checkpoint, heard.vae) != self._asked:
            return  # Something else has been chosen meanwhile.
        if heard.failure and self._unchosen_and_replaced(heard):
            self._told = None
            self._preload(self._settings.current)
        elif heard.failure:
            self._refuse(seat, heard.failure)
        else:
            self._loaded = self._told
            self._set_models(seat, message=self._fallen_back)

    def _unchosen_and_replaced(self, heard: Preloaded) -> bool:
        """Nobody has chosen the checkpoint that cannot be loaded: whether the next one of the list takes its place."""
        unchosen = not self._settings.current.render.sd_model_checkpoint and not heard.vae
        return unchosen and self._catalog.checkpoints.doubt(Path(heard.checkpoint), heard.failure)

    def _refuse(self, seat: Seat, why: str) -> None:
        """The choice cannot be loaded: the one before holds again; where there is none, it stands, with the reason."""
        before = self._loaded
        if before is None or before == self._told:
            self._loaded = None
            self._set_models(seat, message=why)
        elif _choice(self._settings.current) == self._told:
            names = ("sd_model_checkpoint", "sd_vae")
            try:
                self._settings.change(
                    dict(zip(names, before, strict=True)), only_if=dict(zip(names, self._told, strict=True))
                )
            except StorageError as error:
                self._set_models(seat, message=f"{why} {error}")
                return
            # A message of its own: the models' next one, soon to come, would take its place for a slow reader.
            self.hub.publish("refused", {"type": "refused", "message": why})

    def _watch(self, settings: Settings | None = None) -> None:
        """Tell the engines whether anybody looks."""
        chosen = settings or self._settings.current
        watched = self.hub.watched or time.monotonic() - self._polled < POLLED_SECONDS
        watched = watched and chosen.ui.live_previews_enable
        if watched != self._watching or settings is not None:
            self._watching = watched
            period = chosen.ui.live_preview_refresh_period / 1000
            self._send_to_all(Watch(watched, period, chosen.ui.show_progress_type))

    # --- telling ----------------------------------------------------------------------------------------------------

    def _change(self, work: Work, **changes: Any) -> None:
        work.job = replace(work.job, **changes)
        self._publish(work.job)

    def _publish(self, job: Job) -> None:
        self.hub.publish(
            f"job/{job.id}",
            {"type": "job", "job": job.message(mine=True)},
            owner=job.owner,
            others={"type": "job", "job": job.message(mine=False)},
        )

    def _publish_waiting(self) -> None:
        """The places of the waiting jobs have changed."""
        for place, row in enumerate(self._table.list(states=("queued",), limit=SHOWN_WAITING), 1):
            self._publish(replace(self._job(row), position=place))

    def _ended(self, job_id: str) -> None:
        """A job is over: tell the page, and those who wait for it."""
        job = self.job(job_id)
        self._publish(job)
        self._go_round(job)
        with self._lock:
            futures = self._waiters.pop(job_id, [])
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(job)

    def _set_models(self, seat: Seat, **changes: Any) -> None:
        seat.models = replace(seat.models, **changes)
        self.hub.publish("models", {"type": "models", **self.models.shown})

    def _job(self, row: JobRow) -> Job:
        """A row and its results as a job."""
        work = self._works.get(row.id)
        if work is not None and row.state == "running":
            return work.job
        if row.id in self._unwritten:
            return self._unwritten[row.id]
        pictures = []
        for result in self._table.results(row.id):
            try:
                picture = self._catalog.pictures.get(result.picture_id)
            except NotFound:
                continue  # Deleted since.
            pictures.append(
                JobPicture(
                    picture.id,
                    result.position,
                    picture.width,
                    picture.height,
                    result.seed,
                    result.subseed,
                    result.infotext,
                    bool(picture.path),
                    self._catalog.pictures.extras.names(picture.id),
                )
            )
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
        )


def _choice(settings: Settings) -> tuple[str, str]:
    """The checkpoint and the VAE that are chosen."""
    return settings.render.sd_model_checkpoint, settings.render.sd_vae


def _request_of(row: JobRow) -> JobRequest:
    """What was asked for; of a job whose request an older version took and this one does not, what can be said."""
    try:
        return request_classes()[row.kind].made(**json.loads(row.request))
    except UserError as error:
        log.warning("The request of the job %s cannot be read: %s", row.id, error)
        return request_classes()[row.kind]()


def _note_failure(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.error("Something beside the queue failed", exc_info=error)
