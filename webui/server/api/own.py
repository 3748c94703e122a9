"""Our own API: a job gets its number at once, and is watched, stopped and fetched by it.

The same routes for programs (`/api/v1`) and for the page (`/internal`), over one queue with `/sdapi/v1`. Errors are
JSON with a sentence in `detail`, as everywhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from webui import registry
from webui.base.errors import NotFound
from webui.catalog.job_table import State
from webui.jobs.extras.request import Extras
from webui.request.documented import Documented
from webui.request.fields import Img2Img, Txt2Img
from webui.request.jobs import JobRequest
from webui.server import history, keeping
from webui.server.api import form_presets, masks, pictures, previews, unit_presets
from webui.server.api.bodies import decoded, folders_in
from webui.server.api.documented import JobId
from webui.server.api.unit_presets import with_presets
from webui.server.guard import StreamRight, caller_of, require_admin
from webui.server.jobs.job import Job
from webui.server.jobs.stream import server_sent
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

ALL_STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "cancelled")
STREAM: dict[int | str, dict[str, object]] = {200: {"content": {"text/event-stream": {}}}}
LONGEST_WAIT = 60.0
"""Seconds that one question may wait for the end of a job."""


class NewJob(Documented):
    """A job to submit."""

    model_config = ConfigDict(extra="forbid")

    save: bool | None = None
    """Whether the pictures are saved in the output folder; if left out, the settings decide. Unsaved pictures are kept
    until the program is started again."""


class PictureJob(NewJob):
    """A job that makes pictures of a prompt."""

    presets: dict[str, str] = Field(default_factory=dict, max_length=8)
    """Features with units, each with the name of a preset of yours: {"ControlNet": "soft lines"}. Its values are put
    into the units in their order; what the request's `features` say of a unit holds in their place."""


class Txt2ImgJob(PictureJob):
    """Pictures made from text. Fields that are left out have the page's defaults."""

    kind: Literal["txt2img"]
    """The kind of request."""
    request: Txt2Img
    """The request itself."""


class Img2ImgJob(PictureJob):
    """Pictures made from pictures, which are base64, with or without `data:...;base64,` in front."""

    kind: Literal["img2img"]
    """The kind of request."""
    request: Img2Img
    """The request itself."""


class ExtrasJob(NewJob):
    """Finished pictures to be enlarged, cropped or mirrored; they are base64."""

    kind: Literal["extras"]
    """The kind of request."""
    request: Extras
    """The request itself."""


Submission = Annotated[Txt2ImgJob | Img2ImgJob | ExtrasJob, Field(discriminator="kind")]


class MadePicture(Documented):
    """A finished picture of a job."""

    id: str
    """The id to use in `/api/v1/pictures/{id}`."""
    position: int
    """Its index within the job, from 0."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    seed: int
    """The picture's own seed."""
    subseed: int
    """The picture's own variation seed."""
    infotext: str
    """Its generation parameters, as in its file."""
    saved: bool
    """Whether it has been saved; false while it is kept in memory because it could not be written."""


class Failure(Documented):
    """Why a job failed."""

    code: str
    """The kind of error, for programs: "bad_request", "not_found", "model_error", "out_of_memory", "engine_crashed",
    ..."""
    message: str
    """What happened, and to what."""
    hint: str
    """What to do about it; empty if that is unknown."""


class JobAnswer(Documented):
    """A job at this moment. Times are seconds since 1970."""

    id: str
    """The id to use in `/api/v1/jobs/{id}`."""
    kind: str
    """"txt2img", "img2img", "extras", "merge" or "interrogate"."""
    state: State
    """Whether it is waiting, running, or has ended in one of three ways."""
    place: int
    """Its position among all waiting jobs, from 1; 0 if it is not waiting."""
    progress: float
    """From 0 to 1."""
    text: str
    """What is being done, as a readable text."""
    step: int
    """The current step."""
    steps: int
    """The number of steps of the current pass."""
    eta_seconds: float | None
    """Seconds until it is finished; null if that is not known yet."""
    count: int
    """The number of pictures requested."""
    seed: int
    """The seed of the first picture."""
    prompt: str
    """The prompt as it was requested."""
    pictures: list[MadePicture]
    """The finished pictures, also while the job is running."""
    answer: str
    """The result of a job without pictures: a description, or the name of a merged checkpoint; otherwise empty."""
    comments: list[str]
    """Remarks, such as unknown names or networks that fit only in part."""
    error: Failure | None
    """Why it failed; null if it did not."""
    created: float
    """When it was submitted."""
    started: float | None
    """When it started; null if it has not."""
    finished: float | None
    """When it ended; null if it has not."""


class JobPage(Documented):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    """At most as many as requested."""
    before: int | None
    """The value of `before` for older jobs; null if there are none."""


class QueueAnswer(Documented):
    """The state of the queue."""

    version: str
    """The program's name and version."""
    paused: bool
    """Whether the queue is paused, so that no new jobs are started."""
    waiting: int
    """The number of waiting jobs, including other users' jobs."""
    engine: str
    """ "starting", "ready", "restarting" or "failed" """
    text: str
    """What the engine is doing, or why it is not working, as a readable text."""


class Order(Documented):
    """Waiting jobs, in the order in which they are to run."""

    ids: list[str] = Field(min_length=1, max_length=1000)
    """The ids of your own jobs."""


class Changes(Documented):
    """Changes for submitting a job again."""

    changes: dict[str, object] = Field(default_factory=dict)
    """The fields to change and their new values, such as {"seed": 7, "steps": 30}."""


class Repeated(Documented):
    """The job that is repeated forever."""

    id: str
    """Its id; empty if there is none."""


def last_event(request: Request) -> int | None:
    """The number of the last event that a reader has seen, as browsers tell it when they connect anew."""
    last = request.headers.get("last-event-id", "")
    return int(last[:18]) if last.isascii() and last.isdecimal() else None


def routes(app: App) -> Routes:
    """The routes, without the prefix below which they are mounted."""
    router = Routes(tags=["own"])
    for part in (
        _queue,
        _jobs,
        _job,
        _repeated,
        _events,
        pictures.routes,
        previews.routes,
        masks.routes,
        unit_presets.routes,
        form_presets.routes,
        history.routes,
        keeping.routes,
    ):
        router.include(part(app))
    return router


def _queue(app: App) -> Routes:
    """The queue as a whole."""
    router = Routes()
    queue = app.queue

    @router.get("/queue", "user")
    def look_at_queue() -> QueueAnswer:
        """The state of the queue and the engines."""
        engine = queue.engine_state
        return QueueAnswer(
            version=queue.version, paused=queue.paused, waiting=queue.waiting(), engine=engine.state, text=engine.text
        )

    @router.post("/queue/pause", "admin")
    def pause() -> None:
        """Start no further jobs; running ones continue."""
        queue.pause(True)

    @router.post("/queue/resume", "admin")
    def resume() -> None:
        """Resume after a pause."""
        queue.pause(False)

    return router


def _jobs(app: App) -> Routes:
    """All jobs of the caller."""
    router = Routes()
    queue = app.queue

    @router.post("/jobs", "user", status_code=202)
    def submit(wish: Submission, request: Request, sent: Annotated[object, Depends(_features_sent)]) -> JobAnswer:
        """Add a job to the end of the queue. Answers at once."""
        owner = caller_of(request.scope).owner
        wanted: JobRequest = wish.request
        if isinstance(wish, Txt2ImgJob | Img2ImgJob) and wish.presets:
            wanted = with_presets(app, wish.request, wish.presets, sent, owner)
        settings: dict[str, object] = {} if wish.save is None else {"samples_save": wish.save, "grid_save": wish.save}
        if folders := folders_in(getattr(wish.request, "override_settings", {})):
            require_admin(request.scope)
            app.settings.freeze.check(app.settings.current, folders)
            settings |= folders
        job_id = queue.submit(_uploaded(app, wanted), owner, settings=settings)
        return _told(app, job_id)

    @router.get("/jobs", "user")
    def list_jobs(
        request: Request,
        state: Annotated[list[State], Query(description="Only jobs in these states.")] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1, le=500, description="The maximum number to return.")] = 50,
        before: Annotated[
            int | None, Query(ge=0, le=2**62, description="The value of `before` in the previous page.")
        ] = None,
    ) -> JobPage:
        """Your jobs, newest first."""
        rows = app.catalog.jobs.list(
            owner=caller_of(request.scope).owner,
            states=tuple(dict.fromkeys(state)) or ALL_STATES,
            limit=limit,
            after=before,
            newest_first=True,
        )
        return JobPage(
            jobs=[_told(app, row.id) for row in rows],
            before=rows[-1].position if len(rows) == limit else None,
        )

    @router.post("/jobs/order", "user")
    def reorder(order: Order, request: Request) -> None:
        """Put these waiting jobs of yours into this order, using the places that they have now."""
        queue.reorder([_own(app, job_id, request).id for job_id in dict.fromkeys(order.ids)])

    @router.post("/jobs/cancel", "user")
    def cancel_all(request: Request) -> dict[str, int]:
        """Cancel all your jobs; answers how many were waiting."""
        return {"cancelled": queue.cancel_all(caller_of(request.scope).owner)}

    @router.post("/jobs/forever/stop", "user")
    def stop_forever(request: Request) -> None:
        """Stop generating forever, after the current job."""
        queue.forever(caller_of(request.scope).owner)

    return router


def _job(app: App) -> Routes:
    """One job: how far it is, and what may be done with it while it is not over."""
    router = Routes()
    queue = app.queue

    @router.get("/jobs/{job_id}", "user")
    async def look(
        job_id: JobId,
        request: Request,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the job to end.")] = 0,
    ) -> JobAnswer:
        """The state and progress of a job."""
        job = await run_in_threadpool(_own, app, job_id, request)
        if wait and not job.ended:
            await asyncio.wait([asyncio.wrap_future(queue.ended(job_id))], timeout=wait)
        return await run_in_threadpool(_told, app, job_id)

    @router.get("/jobs/{job_id}/request", "user")
    def look_at_request(job_id: JobId, request: Request) -> dict[str, object]:
        """Every field as it was submitted; pictures are given by the names under which they are stored."""
        return _own(app, job_id, request).request.model_dump(mode="json")

    @router.post("/jobs/{job_id}/cancel", "user")
    def cancel(job_id: JobId, request: Request) -> None:
        """Cancel a waiting or running job; its finished pictures are kept."""
        queue.cancel(_own(app, job_id, request).id)

    @router.post("/jobs/{job_id}/interrupt", "user")
    def interrupt(job_id: JobId, request: Request) -> None:
        """Stop a running job; it ends with the pictures that are finished."""
        queue.interrupt(_own(app, job_id, request).id)

    @router.post("/jobs/{job_id}/skip", "user")
    def skip(job_id: JobId, request: Request) -> None:
        """Skip to the next batch."""
        queue.skip(_own(app, job_id, request).id)

    @router.get("/jobs/{job_id}/preview", "user", response_class=Response, responses=pictures.BINARY)
    def preview(job_id: JobId, request: Request) -> Response:
        """The latest live preview of a running job, as JPEG unless the settings choose another format; 404 while there
        is none."""
        latest = queue.preview_of(_own(app, job_id, request).id)
        if latest is None:
            raise NotFound(f"The job {job_id!r} has no preview.")
        return Response(latest.content, media_type=latest.media_type, headers={"cache-control": "no-store"})

    return router


def _repeated(app: App) -> Routes:
    """A job once more, for who may submit one of its kind."""
    router = Routes()
    queue = app.queue

    def repeatable(job_id: str, request: Request) -> Job:
        job = _own(app, job_id, request)
        if registry.job_kind(job.kind).scope == "admin":
            require_admin(request.scope)
        return job

    @router.post("/jobs/{job_id}/again", "user", status_code=202)
    def again(job_id: JobId, request: Request, wish: Changes | None = None) -> JobAnswer:
        """Submit a job again, with some fields changed."""
        job = repeatable(job_id, request)
        return _told(app, queue.again(job.id, job.owner, wish.changes if wish else None))

    @router.post("/jobs/{job_id}/forever", "user")
    def forever(job_id: JobId, request: Request) -> Repeated:
        """Submit a job again whenever it has finished. This ends when one fails or is cancelled, or some time after its
        owner has stopped listening to the events."""
        job = repeatable(job_id, request)
        queue.forever(job.owner, job.id)
        return Repeated(id=queue.repeated(job.owner))

    return router


def _events(app: App) -> Routes:
    """What happens to the caller's jobs, as it happens."""
    router = Routes()
    queue = app.queue

    @router.get("/events", "user", response_class=StreamingResponse, responses=STREAM)
    async def events(
        request: Request,
        since: Annotated[
            int | None, Query(ge=0, le=2**62, description="The number of the last event received.")
        ] = None,
    ) -> StreamingResponse:
        """Server-sent events: first the whole state, then every change to your jobs; `Last-Event-ID` resumes."""
        after = last_event(request)
        caller = caller_of(request.scope)
        lines = server_sent(
            queue.hub,
            caller.owner,
            since if after is None else after,
            allowed=StreamRight(caller, app.access),
        )
        return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})

    return router


async def _features_sent(request: Request) -> object:
    """What a job's request says of features, without defaults."""
    try:
        body: object = await request.json()
    except ValueError:  # the body's own check says what is wrong with it
        return None
    wish = body.get("request") if isinstance(body, dict) else None
    return wish.get("features") if isinstance(wish, dict) else None


def _own(app: App, job_id: str, request: Request) -> Job:
    """The job, if it is the caller's; somebody else's is as if it were not there."""
    job = app.queue.job(job_id)
    if not caller_of(request.scope).may_see(job.owner):
        raise NotFound(f"You have no job {job_id!r}.")
    return job


def _told(app: App, job_id: str) -> JobAnswer:
    """The job as it is told."""
    job = app.queue.job(job_id)
    return _answer(job, _place(app, job))


def _uploaded(app: App, wanted: JobRequest) -> JobRequest:
    """The request with its pictures kept, and named in place of their base64."""
    settings = app.settings.current

    def kept(text: str, field: str) -> str:
        return app.catalog.uploads.put(decoded(text, field, settings), field)

    return wanted.with_pictures(kept)


def _place(app: App, job: Job) -> int:
    """Its place among those that wait; 0 where it does not, or is far behind."""
    if job.state != "queued":
        return 0
    waiting = app.catalog.jobs.list(states=("queued",), limit=1000)
    return next((place for place, row in enumerate(waiting, 1) if row.id == job.id), 0)


def _answer(job: Job, place: int) -> JobAnswer:
    return JobAnswer(
        id=job.id,
        kind=job.kind,
        state=job.state,
        place=place,
        progress=1.0 if job.state == "done" else job.progress.fraction,
        text=job.progress.text,
        step=job.progress.step,
        steps=job.progress.steps,
        eta_seconds=job.progress.eta_seconds,
        count=job.count,
        seed=job.seed,
        prompt=job.request.title,
        pictures=[MadePicture(**vars(picture)) for picture in job.pictures],
        answer=job.answer,
        comments=list(job.comments),
        error=Failure(code=job.error.code, message=job.error.message, hint=job.error.hint) if job.error else None,
        created=job.created,
        started=job.started,
        finished=job.finished,
    )
