"""How far the job in work is, and what buttons do to it: A1111's two ways of asking."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request

from webui.base.errors import NotFound
from webui.request.documented import Documented
from webui.server.guard import caller_of
from webui.server.jobs.job import Job
from webui.server.jobs.runs import PreviewImage
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App
    from webui.server.jobs.queue import JobQueue


class State(Documented):
    """A1111's state of the engine."""

    skipped: bool = False
    """Whether the current batch was skipped by `/sdapi/v1/skip`."""
    interrupted: bool = False
    """Whether the running job is being stopped."""
    stopping_generation: bool = False
    """The same."""
    job: str = ""
    """The name of the task: `force_task_id`, or `task(...)`; empty if no job is running."""
    job_count: int = 0
    """The number of batches of the job; 0 if no job is running."""
    job_timestamp: str = "0"
    """When it started, as year, month, day, hour, minute and second in digits; "0" if no job is running."""
    job_no: int = 0
    """The current batch, from 0."""
    sampling_step: int = 0
    """The current step."""
    sampling_steps: int = 0
    """The number of steps of the current pass."""


class ProgressAnswer(Documented):
    """The progress of the running job."""

    progress: float = 0.0
    """From 0 to 1; 0 if no job is running."""
    eta_relative: float = 0.0
    """Estimated seconds until it is finished."""
    state: State = State()
    """Where it is."""
    current_image: str | None = None
    """The latest live preview in base64, in the format of the settings; null if there is none."""
    textinfo: str | None = None
    """What is being done, as a readable text."""


class TaskBody(Documented):
    """The task in question, and the last preview seen."""

    id_task: str | None = None
    id_live_preview: int = -1
    live_preview: bool = True


def routes(app: App) -> Routes:
    router = Routes()
    queue = app.queue

    def running_for(request: Request) -> Job | None:
        """The job in work, if the caller may see and stop it: with logins only their own."""
        job = queue.running
        if job is None or (app.access.required and job.owner != caller_of(request.scope).owner):
            return None
        return job

    @router.get("/sdapi/v1/progress", "user", response_model=ProgressAnswer)
    def progress(
        request: Request,
        skip_current_image: Annotated[bool, Query(description="Leave out `current_image`.")] = False,
    ) -> ProgressAnswer:
        """The progress of the running job."""
        job = running_for(request)
        if job is not None:
            return _progress(app, job, None if skip_current_image else queue.look())
        loading = queue.models.loading
        if loading and not queue.running:
            # Clients that switched the checkpoint wait until nothing goes on any more.
            return ProgressAnswer(progress=0.01, state=State(job_count=1), textinfo=f"Loading {loading}")
        return ProgressAnswer()

    @router.post("/sdapi/v1/interrupt", "user")
    def interrupt(request: Request) -> dict[str, str]:
        """Stop the running job immediately; finished pictures are kept."""
        job = running_for(request)
        if job is not None:
            queue.interrupt(job.id, at_once=True)
        return {}

    @router.post("/sdapi/v1/skip", "user")
    def skip(request: Request) -> None:
        """Skip to the next batch of the running job."""
        job = running_for(request)
        if job is not None:
            queue.skip(job.id)
            app.tasks.skipped = job.id, job.progress.batch

    @router.post("/internal/progress", "user", looks=True, include_in_schema=False)
    def task_progress(body: TaskBody, request: Request) -> dict[str, object]:
        job_id = app.tasks.job_of(body.id_task or "")
        try:
            job = None if job_id is None else queue.job(job_id)
        except NotFound:
            job = None
        if job is not None and app.access.required and job.owner != caller_of(request.scope).owner:
            job = None
        return _task_progress(queue, body, job)

    @router.get("/internal/pending-tasks", "user", include_in_schema=False)
    def pending(request: Request) -> dict[str, object]:
        owner = caller_of(request.scope).owner
        tasks = [app.tasks.name_of(job.id) for job in queue.jobs(owner) if job.state == "queued"]
        return {"size": len(tasks), "tasks": tasks}

    return router


def _progress(app: App, job: Job, look: PreviewImage | None) -> ProgressAnswer:
    """How far a job in work is. look: the latest preview, which may be another job's."""
    image = base64.b64encode(look.content).decode() if look is not None and look.job_id == job.id else None
    stopping = app.queue.is_stopping(job.id)
    state = State(
        skipped=app.tasks.skipped == (job.id, job.progress.batch),
        interrupted=stopping,
        stopping_generation=stopping,
        job=app.tasks.name_of(job.id),
        job_count=max(job.request.batch_count, 1),
        job_timestamp=time.strftime("%Y%m%d%H%M%S", time.localtime(job.started or job.created)),
        job_no=job.progress.batch,
        sampling_step=job.progress.step,
        sampling_steps=job.progress.steps,
    )
    return ProgressAnswer(
        progress=min(max(job.progress.fraction, 0.01), 1.0),
        eta_relative=job.progress.eta_seconds or 0.0,
        state=state,
        current_image=image,
        textinfo=job.progress.text or None,
    )


def _task_progress(queue: JobQueue, body: TaskBody, job: Job | None) -> dict[str, object]:
    """A1111's answer about a task. job: the caller's job of this name; None: there is none."""
    answer: dict[str, object] = {
        "active": False,
        "queued": False,
        "completed": False,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": body.id_live_preview,
        "textinfo": "Waiting...",
    }
    if job is None:
        return answer
    answer |= {"active": job.state == "running", "queued": job.state == "queued", "completed": job.ended}
    if job.state == "running":
        answer |= {"progress": job.progress.fraction, "eta": job.progress.eta_seconds}
        answer["textinfo"] = job.progress.text
        look = queue.look() if body.live_preview else None
        if look is not None and look.job_id == job.id and look.number != body.id_live_preview:
            answer["live_preview"] = f"data:{look.media_type};base64,{base64.b64encode(look.content).decode()}"
            answer["id_live_preview"] = look.number
    elif job.state == "queued":
        answer["textinfo"] = f"In queue, {queue.waiting()} waiting"
    return answer
