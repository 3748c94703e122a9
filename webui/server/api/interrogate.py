"""Pictures described over HTTP, as A1111 takes and answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from webui.base.errors import NotFound
from webui.jobs.interrogate.request import DEEPBOORU, MODELS, Interrogate
from webui.request.documented import Documented
from webui.server.api.answers import CaptionAnswer
from webui.server.api.bodies import decoded
from webui.server.api.errors import NotServed
from webui.server.api.generate import STATUS, JobFailed, ended
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

NAMES = {**{name: name for name in MODELS}, "deepbooru": DEEPBOORU}
"""What callers write -> the model."""


class InterrogateBody(Documented):
    """A picture, and the model that is to describe it."""

    image: str = ""
    """Base64, with or without `data:...;base64,` in front."""
    model: str = "clip"
    """"clip": a sentence by BLIP; "deepdanbooru": tags."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1", responses={501: {"description": "The model for it is not installed."}})

    @router.post("/interrogate", "user", response_model=CaptionAnswer)
    async def interrogate(body: InterrogateBody, request: Request) -> dict[str, str]:
        """Describe a picture in words. Answers when the description is finished."""
        owner = caller_of(request.scope).owner
        job_id = await run_in_threadpool(_submitted, app, body, owner)
        job = await ended(app.queue, job_id, request)
        if job.error is not None:
            raise JobFailed(STATUS.get(job.error.code, 500), job.error.message, job.error.hint)
        if job.state != "done":
            raise JobFailed(500, "The job was cancelled.", "Ask again.")
        return {"caption": job.answer}

    return router


def _submitted(app: App, body: InterrogateBody, owner: str) -> str:
    if not body.image:
        raise NotFound("Image not found", field="image")
    if body.model not in NAMES:
        raise NotFound("Model not found", field="model")
    content = decoded(body.image, "image", app.settings.current)
    name = app.catalog.uploads.put(content)
    try:
        return app.queue.submit(Interrogate(image=name, model=NAMES[body.model]), owner, called=True)
    except NotFound as error:
        raise NotServed(error.message, hint=error.hint) from error
