"""The queue: jobs as rows, worked off one after the other, each finished picture kept at once.

One thread decides: it hears the engine, starts the next job, saves pictures, publishes. Everybody else writes a row
and wakes it. An engine may die at any moment: the job goes on with the first picture that is missing.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from io import BytesIO
from queue import SimpleQueue
from typing import Any, cast

from PIL import Image

from webui.base.errors import Busy, EngineCrashed, NotFound, StorageError, UserError, WebuiError
from webui.catalog.catalog import Catalog
from webui.catalog.job_table import ENDED, JobRow
from webui.catalog.pictures import NotSaved
from webui.catalog.settings_store import SettingsStore
from webui.request.fields import REQUESTS, Generation, Img2Img, Txt2Img, kind_of
from webui.request.messages import (
    Beat,
    Configure,
    DeviceInfo,
    Failed,
    Finished,
    Interrupt,
    Loading,
    Pictured,
    Preload,
    Preview,
    Progress,
    Ready,
    Run,
    Skip,
    Unload,
    Watch,
)
from webui.request.plan import LARGEST_RANDOM_SEED, Plan, resolve
from webui.request.settings import Settings
from webui.server.jobs.engine_client import Engine, EngineState, Heard, Lost
from webui.server.jobs.estimate import Pace
from webui.server.jobs.events import Hub
from webui.server.jobs.job import ANONYMOUS, PHASES, Job, JobError, JobPicture, Progressed

log = logging.getLogger(__name__)

CRASHES_ALLOWED = 1
"""How often the engine may die over the same picture."""
SHOWN_ENDED = 20
"""So many of a viewer's latest jobs are shown besides the waiting ones."""
SHOWN_WAITING = 200
POLLED_SECONDS = 10.0
"""Who asked for a preview so long ago counts as watching."""
MOST_PICTURES = 10_000
"""Of one job."""
LONGEST_PROMPT = 200_000
"""Characters."""


@dataclass
class _Running:
    """The job in work; belongs to the queue's thread, but for `job`, which is replaced as a whole."""

    job: Job
    request: Generation
    settings: Settings
    plan: Plan
    sent: bool = False
    """Whether the engine that lives now has it."""
    crashes: int = 0
    """Since the last finished picture."""
    kept_share: float = 0.0
    """Which share of the job the engine was not asked for, since it is done already."""
    sampling_since: float | None = None
    interrupts: int = 0
    cancelled: bool = False
    comments: list[str] = field(default_factory=list)


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


@dataclass(frozen=True)
class ModelState:
    """What the engine has in memory, for the page and for `/sdapi/v1/memory`."""

    loading: str = ""
    message: str = ""
    beat: Beat = field(default_factory=Beat)
    device: DeviceInfo | None = None

    @property
    def shown(self) -> dict[str, Any]:
        return {"loading": self.loading, "resident": list(self.beat.resident), "message": self.message}


class JobQueue:
    """The jobs of an installation. Any thread may call any method."""

    def __init__(self, catalog: Catalog, settings: SettingsStore, engine: Engine, version: str) -> None:
        self._catalog = catalog
        self._table = catalog.jobs
        self._settings = settings
        self._engine = engine
        self.version = version
        self._pace = Pace()
        self._inbox: SimpleQueue[Heard | Settings | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self._waiters: dict[str, list[Future[Job]]] = {}
        self._running: _Running | None = None
        self._paused = False
        self._closing = False
        self._polled = 0.0
        self._watching = False
        self._told: tuple[str, str] | None = None
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self.engine_state = EngineState("starting", "The engine starts.")
        self.models = ModelState()
        self.preview: PreviewImage | None = None
        self.hub = Hub(self.snapshot, self._watch)

    def start(self, *, preload: bool = True) -> None:
        """Begin to work; go on with what an earlier run of the program left unfinished, if the settings say so.

        `preload`: load the checkpoint of the settings at once.
        """
        again, failed = self._table.recover(resume=self._settings.current.system.resume_jobs_at_start)
        if again or failed:
            log.info("From the last run: %d jobs go on, %d were cut off.", again, failed)
        self._unsubscribe = self._settings.subscribe(self._inbox.put)
        self._configure(self._settings.current)
        self._engine.start(self._inbox.put)
        if preload:
            self._inbox.put(self._settings.current)
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether it works, or has worked."""
        return self._thread.ident is not None

    def close(self) -> None:
        """Stop; the job in work goes on at the next start."""
        if self._closing:
            return
        self._closing = True
        self._unsubscribe()
        self._inbox.put(None)
        self._engine.close()
        self._thread.join(30.0)

    # --- what people ask for ----------------------------------------------------------------------------------------

    def submit(self, request: Generation, owner: str = "", *, settings: Mapping[str, Any] | None = None) -> str:
        """Put a job at the end of the queue -> its id. Seeds of -1 are fixed now.

        `settings` hold for this job alone, by A1111's names; the checkpoint and all others are those of this moment.

        Raises:
            NotFound: a name in the request is nothing's: refused now rather than when its turn comes.
            UserError: a value that can be checked now is wrong.
            Busy: the engine does not start.
        """
        current = self._settings.current.with_options(settings or {}, strict=False)
        if max(len(request.prompt), len(request.negative_prompt)) > LONGEST_PROMPT:
            raise UserError(f"A prompt may have at most {LONGEST_PROMPT} characters.", field="prompt")
        if request.picture_count > MOST_PICTURES:
            raise UserError(
                f"{request.picture_count} pictures in one job are too many.",
                hint=f"Ask for at most {MOST_PICTURES}, as often as you like.",
                field="n_iter",
            )
        if self.engine_state.state == "failed":
            raise Busy(self.engine_state.text, hint="The log says more. It is tried again by itself.")
        # Resolved now only to complain at once; what disk and settings say then decides when the turn comes.
        one = _as_request(request).changed(n_iter=1, batch_size=1)
        plan = resolve(one, current, self._catalog, _random_seed)
        first = plan.batches[0][0]
        row = self._table.submit(
            kind_of(request),
            owner,
            request.model_dump_json(exclude_defaults=True),
            settings=json.dumps(current.changed_options()),
            seed=first.seed,
            subseed=first.subseed,
            pictures=request.picture_count,
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
            running = self._running
            if running is not None and running.job.id == job_id:
                running.cancelled = True
                self._engine.send(Interrupt(job_id))
                return
            cancelled = self._table.cancel(job_id)
        if cancelled:
            self._ended(job_id)
            self._publish_waiting()

    def cancel_all(self, owner: str) -> int:
        """Give up all jobs of one owner -> how many waited."""
        waiting = [row.id for row in self._table.list(owner=owner, states=("queued",), limit=100_000)]
        count = self._table.cancel_waiting(owner)
        for job_id in waiting:
            self._ended(job_id)
        running = self._running
        if running is not None and running.job.owner == owner:
            self.cancel(running.job.id)
        self._publish_waiting()
        return count

    def interrupt(self, job_id: str, *, at_once: bool = False) -> None:
        """Stop a running job and keep what is finished; a waiting one is given up.

        The first interrupt lets the picture in work be finished, where the settings say so and more than one was
        asked for; the second one, or `at_once`, does not.
        """
        running = self._running
        if running is None or running.job.id != job_id:
            self.cancel(job_id)
            return
        running.interrupts += 1
        gently = self._settings.current.ui.interrupt_after_current and running.job.count > 1
        after_current = gently and running.interrupts == 1 and not at_once
        self._engine.send(Interrupt(job_id, after_current=after_current))

    def skip(self, job_id: str) -> None:
        """Go on with the next batch of the running job."""
        self._engine.send(Skip(job_id))

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
        """Let the engine put all models away."""
        self._engine.send(Unload())

    def preload(self) -> None:
        """Load the checkpoint of the settings, even if that was asked for before."""
        self._told = None
        self._inbox.put(self._settings.current)

    def restart_engine(self) -> None:
        """End the engine, whatever it is doing; a new one goes on with the job in work."""
        self._engine.restart()

    # --- what people see --------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """A job at this moment.

        Raises:
            NotFound: there is no such job.
        """
        running = self._running
        return running.job if running is not None and running.job.id == job_id else self._job(self._table.get(job_id))

    @property
    def running(self) -> Job | None:
        """The job in work."""
        running = self._running
        return running.job if running is not None else None

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
        running, preview = self.running, self.preview
        return {
            "type": "state",
            "jobs": [job.message(mine=job.owner == viewer) for job in self.jobs(viewer)],
            "engine": {"state": self.engine_state.state, "text": self.engine_state.text},
            "models": self.models.shown,
            "previews": [preview.message] if preview is not None and running and running.owner == viewer else [],
            "paused": self._paused,
        }

    def ended(self, job_id: str) -> Future[Job]:
        """The job when it is over, whatever came of it.

        Raises:
            NotFound: there is no such job.
        """
        future: Future[Job] = Future()
        with self._lock:
            self._waiters.setdefault(job_id, []).append(future)
        job = self.job(job_id)
        if job.ended and not future.done():
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
            heard = self._inbox.get()
            try:
                self._hear(heard)
                self._start_next()
            except WebuiError as error:
                log.error("%s", error)
                self._give_up(error)
            except Exception as error:
                log.exception("Something unforeseen happened")
                self._give_up(WebuiError(f"Something unforeseen happened: {error}.", hint="The log says more."))

    def _hear(self, heard: Heard | Settings | None) -> None:
        match heard:
            case Settings():
                self._configure(heard)
                self._preload(heard)
            case EngineState():
                self._note_engine(heard)
            case Ready():
                self._set_models(device=heard.info, message="")
                if self._running is not None and not self._running.sent:
                    self._send_rest(self._running)
            case Lost():
                self._set_models(loading="", beat=Beat())
                self._survive(heard.reason)
            case Beat():
                changed = heard.resident != self.models.beat.resident
                self.models = replace(self.models, beat=heard)
                if changed:
                    self._set_models()
            case Loading():
                self._set_models(loading=heard.title, message=heard.failure)
            case None:
                pass
            case Progress() | Preview() | Pictured() | Finished() | Failed():
                running = self._running
                if running is not None and running.job.id == heard.job_id:
                    self._hear_of_job(running, heard)

    def _hear_of_job(self, running: _Running, heard: Progress | Preview | Pictured | Finished | Failed) -> None:
        match heard:
            case Progress():
                self._note_progress(running, heard)
            case Preview():
                self._note_preview(running, heard)
            case Pictured():
                self._keep(running, heard)
            case Finished():
                self._finish(running, heard)
            case Failed():
                self._fail(running, JobError(heard.code, heard.message, heard.hint))

    def _start_next(self) -> None:
        """Give the engine its next job, when it has none and is ready."""
        while self._running is None and not self._paused and not self._closing and self.engine_state.state == "ready":
            row = self._table.claim()
            if row is None:
                self._watch()
                return
            try:
                prepared = self._prepared(row)
            except WebuiError as error:
                self._table.fail(row.id, error.code, error.message, error.hint)
                self._ended(row.id)
                continue
            with self._claiming:
                if self._table.get(row.id).state != "running":
                    continue  # Cancelled meanwhile.
                self._running = prepared
            self._publish_waiting()
            self._watch()
            self._send_rest(prepared)

    def _prepared(self, row: JobRow) -> _Running:
        request = REQUESTS[row.kind].made(**json.loads(row.request))
        settings = Settings().with_options(json.loads(row.settings), strict=False)
        fixed = _as_request(request).changed(seed=row.seed, subseed=row.subseed)
        folders = tuple(str(folder) for folder in self._catalog.paths.embeddings)
        plan = resolve(fixed, settings, self._catalog, _random_seed, folders)
        settings = settings.with_options(request.override_settings, strict=False)
        return _Running(job=self._job(row), request=request, settings=settings, plan=plan)

    def _send_rest(self, running: _Running) -> None:
        """Ask the engine for what is missing. A batch that is partly there is made again as a whole, since a picture's
        last bits may depend on its neighbours."""
        done = {picture.position for picture in running.job.pictures}
        whole = {p.position for batch in running.plan.batches for p in batch if all(q.position in done for q in batch)}
        rest = running.plan.without(frozenset(whole))
        if not rest.batches:
            self._finish(running, Finished(running.job.id))
            return
        eta = self._pace.left(running.plan.checkpoint.path, running.request, 0.0, 0.0)
        running.sampling_since = None
        running.kept_share = len(whole) / running.plan.count
        progress = Progressed(running.kept_share, PHASES["waiting"], eta_seconds=eta)
        self._change(running, progress=progress)
        running.sent = True
        self._engine.send(Run(running.job.id, rest))
        if running.cancelled or running.interrupts:
            self._engine.send(Interrupt(running.job.id))

    def _note_progress(self, running: _Running, heard: Progress) -> None:
        now = time.monotonic()
        if running.sampling_since is None and heard.phase in ("sampling", "hires", "decoding"):
            running.sampling_since = now
        kept = running.kept_share
        fraction = kept + (1 - kept) * min(max(heard.fraction, 0.0), 1.0)
        seconds = now - running.sampling_since if running.sampling_since is not None else 0.0
        eta = self._pace.left(running.plan.checkpoint.path, running.request, fraction, seconds) if not kept else None
        text = PHASES[heard.phase]
        if heard.phase in ("sampling", "hires"):
            text = f"{text} {heard.step}/{heard.steps}"
        if heard.batches > 1:
            text = f"{text}, batch {heard.batch + 1} of {heard.batches}"
        progress = Progressed(fraction, text, heard.step, heard.steps, heard.batch, heard.batches, eta)
        self._change(running, progress=progress)

    def _note_preview(self, running: _Running, heard: Preview) -> None:
        self.preview = PreviewImage(heard.job_id, heard.number, heard.jpeg)
        self.hub.publish("preview", {"type": "preview", **self.preview.message}, owner=running.job.owner)

    def _keep(self, running: _Running, heard: Pictured) -> None:
        """Save a finished picture; one that is there already came twice because its batch was made again."""
        job = running.job
        if any(picture.position == heard.position for picture in job.pictures):
            return
        comments = [comment for comment in heard.comments if comment not in running.comments]
        try:
            saved = self._catalog.keep(
                heard,
                running.plan,
                running.settings,
                owner=job.owner,
                version=self.version,
                user=user_name(job.owner),
                request=running.request,
                started=job.started,
            )
        except NotSaved as error:
            saved = error.picture
            comments.append(str(error))
        running.comments += comments
        running.crashes = 0
        subseed = _subseed(running.plan, heard.position)
        made = JobPicture(saved.id, heard.position, saved.width, saved.height, saved.seed, subseed, saved.infotext)
        pictures = tuple(sorted((*job.pictures, made), key=lambda picture: picture.position))
        self._change(running, pictures=pictures, comments=tuple(running.comments))

    def _finish(self, running: _Running, heard: Finished) -> None:
        job = running.job
        if not heard.interrupted and running.sampling_since is not None and not running.kept_share:
            seconds = time.monotonic() - running.sampling_since
            self._pace.learn(running.plan.checkpoint.path, running.request, seconds)
        if heard.interrupted and len(job.pictures) < job.count:
            running.comments.append(f"Stopped after {len(job.pictures)} of {job.count} pictures.")
        if running.cancelled or (heard.interrupted and not job.pictures):
            self._table.cancel(job.id)
        else:
            self._table.finish(job.id, running.comments)
        self._put_down(running)

    def _fail(self, running: _Running, error: JobError) -> None:
        self._table.fail(running.job.id, error.code, error.message, error.hint)
        self._put_down(running)

    def _put_down(self, running: _Running) -> None:
        self._running = None
        self.preview = None
        self._ended(running.job.id)

    def _survive(self, reason: str) -> None:
        """The engine is gone; the job in work goes on when the next one is ready, unless it killed two in a row."""
        running = self._running
        if running is None:
            return
        if running.cancelled or running.interrupts:
            self._finish(running, Finished(running.job.id, interrupted=True))
            return
        running.sent = False
        running.crashes += 1
        if running.crashes > CRASHES_ALLOWED:
            hint = "Try a smaller picture, or start with --medvram."
            self._fail(running, JobError(EngineCrashed.code, f"{reason} It did so twice over the same picture.", hint))
            return
        self._change(running, progress=Progressed(text="The engine ended; a new one goes on"))

    def _note_engine(self, state: EngineState) -> None:
        self.engine_state = state
        self.hub.publish("engine", {"type": "engine", "state": state.state, "text": state.text})
        if state.state != "failed":
            return
        if self._running is not None:
            self._fail(self._running, JobError(EngineCrashed.code, state.text, "The log says more."))
        with self._lock:
            waited_for = list(self._waiters)
        for job_id in waited_for:
            if self._table.fail(job_id, EngineCrashed.code, state.text, "The log says more."):
                self._ended(job_id)

    def _give_up(self, error: WebuiError) -> None:
        """The edge: whatever went wrong ends the job in work, never the queue."""
        running = self._running
        if running is None:
            return
        self._engine.send(Interrupt(running.job.id))
        try:
            self._fail(running, JobError(error.code, error.message, error.hint))
        except StorageError as failure:
            log.error("%s", failure)
            self._running = None

    # --- what the engine is told besides jobs -----------------------------------------------------------------------

    def _configure(self, settings: Settings) -> None:
        budget = int(settings.system.model_memory_budget * 2**30)
        self._engine.send(Configure(settings.system.sd_checkpoints_limit, budget))
        self._watch(settings)

    def _preload(self, settings: Settings) -> None:
        """Load the checkpoint of the settings, if it is another one than before."""
        wanted = (settings.render.sd_model_checkpoint, settings.render.sd_vae)
        if wanted == self._told:
            return
        self._told = wanted
        try:
            checkpoint = self._catalog.checkpoint(wanted[0])
            self._engine.send(Preload(checkpoint, self._catalog.vae(wanted[1], checkpoint)))
        except NotFound as error:
            self._set_models(message=str(error))

    def _watch(self, settings: Settings | None = None) -> None:
        """Tell the engine whether anybody looks."""
        chosen = settings or self._settings.current
        watched = self.hub.watched or time.monotonic() - self._polled < POLLED_SECONDS
        watched = watched and chosen.ui.live_previews_enable
        if watched != self._watching or settings is not None:
            self._watching = watched
            period = chosen.ui.live_preview_refresh_period / 1000
            self._engine.send(Watch(watched, period, chosen.ui.show_progress_type))

    # --- telling ----------------------------------------------------------------------------------------------------

    def _change(self, running: _Running, **changes: Any) -> None:
        running.job = replace(running.job, **changes)
        self._publish(running.job)

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
        job = self._job(self._table.get(job_id))
        self._publish(job)
        with self._lock:
            futures = self._waiters.pop(job_id, [])
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(job)

    def _set_models(self, **changes: Any) -> None:
        self.models = replace(self.models, **changes)
        self.hub.publish("models", {"type": "models", **self.models.shown})

    def _job(self, row: JobRow) -> Job:
        """A row and its results as a job."""
        running = self._running
        if running is not None and running.job.id == row.id and row.state == "running":
            return running.job
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
            seed=row.seed,
            subseed=row.subseed,
            created=row.created,
            started=row.started,
            finished=row.finished,
        )


def user_name(owner: str) -> str:
    """The login name of an owner, or "" for an anonymous one."""
    return "" if owner.startswith(ANONYMOUS) else owner


def _request_of(row: JobRow) -> Generation:
    """What was asked for; of a job whose request an older version took and this one does not, what can be said."""
    try:
        return REQUESTS[row.kind].made(**json.loads(row.request))
    except UserError as error:
        log.warning("The request of the job %s cannot be read: %s", row.id, error)
        return REQUESTS[row.kind]()


def _as_request(request: Generation) -> Txt2Img | Img2Img:
    return cast("Txt2Img | Img2Img", request)


def _random_seed() -> int:
    return random.randrange(LARGEST_RANDOM_SEED)


def _subseed(plan: Plan, position: int) -> int:
    return next(picture.subseed for batch in plan.batches for picture in batch if picture.position == position)
