"""The jobs in work: what the engines say of them, and how they end."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image

from webui.base.errors import DatabaseError, EngineCrashed, StorageError, WebuiError
from webui.base.fence import fenced
from webui.base.log import tell
from webui.catalog.catalog import Catalog
from webui.catalog.job_table import State
from webui.catalog.pictures import NotSaved
from webui.catalog.settings_store import SettingsStore
from webui.entry_points import blamed
from webui.request.messages import Answered, Failed, Finished, Interrupt, Pictured, Preview, PreviewFormat, Progress
from webui.server.jobs.engine_client import EngineState, Lost
from webui.server.jobs.engines import Engines
from webui.server.jobs.estimate import Pace
from webui.server.jobs.events import Hub
from webui.server.jobs.flows import Flows
from webui.server.jobs.job import PHASES, Job, JobError, Progressed
from webui.server.jobs.results import Results, as_result
from webui.server.jobs.servers import JobServers
from webui.server.jobs.work import Chunk, Work
from webui.server.jobs.worker import Worker

log = logging.getLogger(__name__)

CRASHES_ALLOWED = 1
"""How often the engine may die over the same picture."""


@dataclass(frozen=True)
class PreviewImage:
    """The latest look at the job in work."""

    job_id: str
    number: int
    content: bytes
    format: PreviewFormat = "jpeg"

    @property
    def media_type(self) -> str:
        return f"image/{self.format}"

    @property
    def message(self) -> dict[str, object]:
        """What the event stream says of it."""
        with Image.open(BytesIO(self.content)) as image:
            width, height = image.size
        url = f"internal/preview/{self.job_id}/{self.number}.{self.format}"
        return {"job_id": self.job_id, "number": self.number, "width": width, "height": height, "url": url}


class Runs:
    """Belongs to the queue's thread, but for what can only be read."""

    def __init__(
        self,
        catalog: Catalog,
        settings: SettingsStore,
        hub: Hub,
        servers: JobServers,
        flows: Flows,
        engines: Engines,
        results: Results,
        works: dict[str, Work],
    ) -> None:
        self._catalog = catalog
        self._table = catalog.jobs
        self._settings = settings
        self._hub = hub
        self._servers = servers
        self._flows = flows
        self._engines = engines
        self._results = results
        self._works = works
        self.pace = Pace()
        self.previews: dict[str, PreviewImage] = {}
        """The latest look at each job in work."""
        self._aside = ThreadPoolExecutor(1, "aside")

    def close(self) -> None:
        """Wait for what is laid out beside the queue's thread."""
        self._aside.shutdown()

    @property
    def in_work(self) -> tuple[Job, ...]:
        """The jobs in work, the first begun first; where there are several engines, more than one."""
        return tuple(work.job for work in list(self._works.values()))

    def hear(
        self, worker: Worker, work: Work | None, heard: Progress | Preview | Pictured | Answered | Finished | Failed
    ) -> None:
        """`work` is None when the job was given up while this engine was at it."""
        match heard:
            case Finished():
                self._on_finished(worker, work, heard)
            case Failed():
                chunk, worker.job_id, worker.chunk = worker.chunk, "", None
                error = JobError(heard.code, heard.message, heard.hint)
                if work is not None and work.table is not None and chunk is not None:
                    self._leave_out(work, chunk, error)
                elif work is not None and not self._begun_anew(work, error):
                    self.fail(work, error)
            case Progress() if work is not None:
                self._note_progress(worker, work, heard)
            case Preview() if work is not None:
                self._note_preview(work, heard)
            case Pictured() if work is not None:
                self._keep(worker, work, heard)
            case Answered() if work is not None and work.flow is not None:
                work.flow.answer = heard.text
            case Answered() if work is not None:
                self._results.change(work, answer=heard.text)
                self._servers.of(work.job.kind).answered(work)
            case _:
                pass

    def _begun_anew(self, work: Work, error: JobError) -> bool:
        """Whether the job begins again, since what it failed over has been replaced."""
        if not self._servers.of(work.job.kind).mended(work, error):
            return False
        self._engines.tell_those_at(work.job.id, Interrupt(work.job.id))
        self._works.pop(work.job.id)
        self._table.requeue(work.job.id)
        self._results.publish(self._results.job(work.job.id))
        return True

    def _note_progress(self, worker: Worker, work: Work, heard: Progress) -> None:
        now = time.monotonic()
        if work.sampling_since is None and heard.phase in ("sampling", "hires", "decoding", "upscaling"):
            work.sampling_since = now
        if worker.chunk is not None:
            worker.chunk.fraction = min(max(heard.fraction, 0.0), 1.0)
        fraction = work.fraction(self.chunks_of(work))
        seconds = now - work.sampling_since if work.sampling_since is not None else 0.0
        eta = None if work.resumed else self.pace.left(work.plan.model, work.size, fraction, seconds)
        text = PHASES[heard.phase]
        if heard.phase in ("sampling", "hires"):
            text = f"{text} {heard.step}/{heard.steps}"
        if heard.part:
            text = f"{text}, {heard.part}"
        if heard.seconds_left is not None:
            eta = max(eta or 0.0, heard.seconds_left)
        batch, batches = heard.batch, heard.batches
        several = len(self._engines.workers) > 1 or work.table is not None
        if several:
            batch, batches = min(len(work.job.pictures), work.job.count - 1), work.job.count
        if work.flow is not None:
            batch, batches, several = len(work.flow.made), work.flow.steps, False
        if batches > 1:
            text = f"{text}, {'picture' if several else 'batch'} {batch + 1} of {batches}"
        progress = Progressed(fraction, text, heard.step, heard.steps, batch, batches, eta)
        self._results.change(work, progress=progress)

    def chunks_of(self, work: Work) -> list[Chunk]:
        """The pieces of it that engines are at."""
        return [
            worker.chunk
            for worker in self._engines.workers
            if worker.chunk is not None and worker.job_id == work.job.id
        ]

    def _note_preview(self, work: Work, heard: Preview) -> None:
        preview = PreviewImage(heard.job_id, heard.number, heard.content, heard.format)
        self.previews[heard.job_id] = preview
        self._hub.publish("preview", {"type": "preview", **preview.message}, owner=work.job.owner)

    def _keep(self, worker: Worker, running: Work, heard: Pictured) -> None:
        """Save a finished picture; one that is there already came twice because its batch was made again."""
        stage = running
        if running.flow is not None:
            told, stage = self._flows.keep(running, heard), running.flow.stage
            if told is None:
                return
            heard = told
        job = running.job
        if any(picture.position == heard.position for picture in job.pictures):
            return
        comments = [comment for comment in heard.comments if comment not in running.comments]
        try:
            saved = self._servers.of(stage.job.kind).keep(stage, heard)
        except NotSaved as error:
            saved = error.picture
            comments.append(str(error))
        running.comments += comments
        if worker.chunk is not None:
            worker.chunk.crashes = 0
        if self._settings.current.system.samples_log_stdout:
            tell(saved.infotext)
        subseed = running.plan.at(heard.position).subseed
        made = as_result(saved, heard.position, saved.seed, subseed, self._catalog)
        pictures = tuple(sorted((*job.pictures, made), key=lambda picture: picture.position))
        self._results.change(running, pictures=pictures, comments=tuple(running.comments))

    def _on_finished(self, worker: Worker, work: Work | None, heard: Finished) -> None:
        """An engine is through with its piece."""
        chunk, worker.chunk, worker.job_id = worker.chunk, None, ""
        if work is None or chunk is None:
            return
        work.settled += chunk.count
        work.stopped = work.stopped or heard.interrupted
        if heard.memory is not None:
            self._results.note_memory(work.job.id, heard.memory)
        self.conclude(work)

    def conclude(self, work: Work) -> None:
        """The job is over when nothing of it waits and no engine is at it.

        One that cannot be concluded fails, or it would be in the way of all others. Raises DatabaseError: try again.
        """
        failures: list[Exception] = []
        with fenced(failures.append):
            self._conclude(work)
        if failures and isinstance(failures[0], DatabaseError):
            raise failures[0]
        if failures and work.job.id in self._works:
            self.fail(work, _told(failures[0]))

    def _conclude(self, work: Work) -> None:
        if work.cancelled or work.interrupts:
            work.stopped = work.stopped or bool(work.waiting)
            work.waiting.clear()
        if work.waiting or self.chunks_of(work) or self._goes_on(work):
            return
        job = work.job
        if not work.stopped and work.sampling_since is not None and not work.resumed:
            seconds = time.monotonic() - work.sampling_since
            self.pace.learn(work.plan.model, work.size, seconds)
        if work.stopped and len(job.pictures) < job.count:
            work.comments.append(f"Stopped after {len(job.pictures)} of {job.count} pictures.")
        if work.failure is not None and not job.pictures:
            self.fail(work, work.failure)
            return
        nothing = not job.pictures and not job.answer
        self._put_down(work, "cancelled" if work.cancelled or (work.stopped and nothing) else "done")

    def _goes_on(self, work: Work) -> bool:
        """Whether another request follows in the flow of this job, or the job has ended over it."""
        flow = work.flow
        if flow is None or work.stopped:
            return False
        if work.cancelled or work.interrupts:
            work.stopped = len(flow.made) + 1 < flow.steps
            return False
        failures: list[Exception] = []
        with fenced(failures.append):  # Whatever is wrong with the next request ends this job, never the queue.
            return self._flows.go_on(work)
        if isinstance(failures[0], DatabaseError):
            raise failures[0]
        self.fail(work, _told(failures[0]))
        return True

    def _leave_out(self, work: Work, chunk: Chunk, error: JobError) -> None:
        """A cell of a table cannot be made; the others can."""
        work.failure = error
        work.comments.append(error.message)
        work.settled += chunk.count
        self._results.change(work, comments=tuple(work.comments))
        self.conclude(work)

    def fail(self, work: Work, error: JobError) -> None:
        """It cannot go on."""
        self._engines.tell_those_at(work.job.id, Interrupt(work.job.id))
        self._put_down(work, "failed", error)

    def _put_down(self, work: Work, state: State, error: JobError | None = None) -> None:
        """The job is over: write it down, or, where the disk does not let us, remember it until it does."""
        self.previews.pop(work.job.id, None)
        server = self._servers.of(work.job.kind)
        with fenced(lambda error: log.error("The job %s was not put away: %s", work.job.id, error)):
            server.over(work)
        ended = replace(
            work.job, state=state, error=error, comments=tuple(work.comments), finished=time.time(), position=0
        )
        try:
            self._results.write_down(ended)
        except StorageError as failure:
            log.error("The result of the job %s could not be saved yet: %s", ended.id, failure)
            self._results.unwritten[ended.id] = ended
        finally:
            self._works.pop(ended.id, None)  # Whatever happens: what stays among them is concluded again and again.
        self._engines.idle_since = time.monotonic()
        if state == "done" and server.lays_out:
            sheet = self._aside.submit(self._lay_out, work, ended)
            sheet.add_done_callback(_note_failure)
        else:
            self._results.over(ended.id)

    def _lay_out(self, work: Work, ended: Job) -> None:
        """Make the sheets of a job's pictures, beside the queue's own thread, and only then call it over."""
        try:
            self._servers.of(ended.kind).lay_out(work, ended)
        except WebuiError as error:
            log.error("The grid of the job %s could not be made: %s", ended.id, error)
        finally:
            self._results.over(ended.id)

    def on_engine_lost(self, worker: Worker, lost: Lost) -> None:
        """An engine is gone; its piece goes to the next one that is ready, unless it has killed two in a row."""
        reason = lost.reason
        chunk, work = worker.chunk, self._works.get(worker.job_id)
        worker.chunk, worker.job_id, worker.checkpoint = None, "", ""
        worker.state = EngineState("restarting", reason)  # Nothing is given to it until it says otherwise.
        if work is None or chunk is None:
            return
        work.resumed = True
        left = chunk.without(work.done)
        work.settled += chunk.count - left.count
        if work.cancelled or work.interrupts:
            work.stopped = True
            self.conclude(work)
            return
        reached = self._catalog.job_folders.points(work.job.id).reached
        if reached > left.begun_at:  # Not what was heard counts, but what lies on the disk.
            left.crashes, left.begun_at = 0, reached
        left.crashes += 1
        left.lean = left.lean or lost.out_of_memory
        if left.crashes > CRASHES_ALLOWED:
            hint = "Try a smaller picture, or start with --medvram."
            what = "picture" if work.job.count else "job"
            self.fail(work, JobError(EngineCrashed.code, f"{reason} This happened twice with the same {what}.", hint))
            return
        if left.batches:
            work.waiting.appendleft(left)
        fraction = work.fraction(self.chunks_of(work))
        told = (
            "Out of memory; a new engine continues with less"
            if left.lean
            else "The engine stopped; a new one continues"
        )
        self._results.change(work, progress=Progressed(fraction, told))

    def fail_all(self) -> None:
        """No engine starts any more: the jobs in work fail, and those that somebody waits for."""
        error = JobError(EngineCrashed.code, self._engines.state.text, "See the log for details.")
        for work in list(self._works.values()):
            self.fail(work, error)
        for job_id in self._results.waited_for:
            if self._table.fail(job_id, error.code, error.message, error.hint):
                self._results.over(job_id)

    def give_up(self, worker: Worker | None, error: Exception) -> None:
        """The edge: whatever went wrong ends the job in work, never the queue."""
        told = _told(error)
        work = self._works.get(worker.job_id) if worker is not None else None
        if work is not None:
            self.fail(work, told)


def _told(error: Exception) -> JobError:
    """What a job that fails by it says; the log says more."""
    if isinstance(error, WebuiError):
        log.error("%s", error)
        told = error
    else:
        log.error("An unexpected error occurred.", exc_info=error)
        told = blamed(error) or WebuiError(f"An unexpected error occurred: {error}.", hint="See the log for details.")
    return JobError(told.code, told.message, told.hint)


def _note_failure(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.error("A background task of the queue failed", exc_info=error)
