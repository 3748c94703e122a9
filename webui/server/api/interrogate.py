"""Pictures described over HTTP, as A1111 takes and answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from webui.base.errors import NotFound
from webui.jobs.interrogate.request import Interrogate
from webui.request.documented import Documented
from webui.request.interrogators import NAMES
from webui.server.api.answers import CaptionAnswer
from webui.server.api.bodies import decoded
from webui.server.api.errors import NotServed
from webui.server.api.generate import STATUS, JobFailed, ended
from webui.server.guard import caller_of
from webui.server.jobs.job import Job
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


class InterrogateBody(Documented):
    """A picture, and the model that is to describe it."""

    image: str = ""
    """Base64, with or without `data:...;base64,` in front."""
    model: str = "clip"
    """"clip": a sentence by BLIP; "deepdanbooru": tags; the name of a WD14 tagger from `/tagger/v1/interrogators`, or
    "wd14" for the one that the settings name: its tags."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1", responses={501: {"description": "The model for it is not installed."}})

    @router.post("/interrogate", "user", response_model=CaptionAnswer)
    async def interrogate(body: InterrogateBody, request: Request) -> dict[str, str]:
        """Describe a picture in words. Answers when the description is finished."""
        return {"caption": (await described(app, body.image, Interrogate(model=body.model), request)).answer}

    return router


async def described(app: App, image: str, wanted: Interrogate, request: Request) -> Job:
    """The job that describes a picture, when it is done.

    image: base64; wanted: all but the picture.

    Raises:
        NotFound: there is no picture, or no interrogator of this name.
        NotServed: the interrogator's files are missing.
        UserError: it is no picture.
        JobFailed: it could not be described.
    """
    owner = caller_of(request.scope).owner
    job_id = await run_in_threadpool(_submitted, app, image, wanted, owner)
    job = await ended(app.queue, job_id, request)
    if job.error is not None:
        raise JobFailed(STATUS.get(job.error.code, 500), job.error.message, job.error.hint)
    if job.state != "done":
        raise JobFailed(500, "The job was cancelled.", "Ask again.")
    return job


def _submitted(app: App, image: str, wanted: Interrogate, owner: str) -> str:
    if not image:
        raise NotFound("Image not found", field="image")
    if wanted.model.strip().casefold() not in NAMES:
        try:
            app.catalog.tagger(wanted.model)
        except NotFound as error:
            raise NotFound(f"Model not found: {error.message}", hint=error.hint, field="model") from error
    content = decoded(image, "image", app.settings.current)
    name = app.catalog.uploads.put(content)
    try:
        return app.queue.submit(wanted.changed(image=name), owner, called=True)
    except NotFound as error:
        raise NotServed(error.message, hint=error.hint) from error
