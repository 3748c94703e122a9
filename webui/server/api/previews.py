"""How a request would come out, small and at once, beside the job in work."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from webui import registry
from webui.base.errors import UserError
from webui.request.documented import Documented
from webui.request.jobs import JobRequest, request_class
from webui.request.params import pictures_in
from webui.server.api.bodies import decoded
from webui.server.guard import caller_of, require_admin
from webui.server.previews import awaited
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


class PreviewWish(Documented):
    """A preview to make."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    """The kind of request: "extras", or a kind from an installed package that has previews."""
    request: dict[str, object]
    """The request, as for `POST /api/v1/jobs`. Of several pictures, the first one is used. Pictures are base64, or
    names from an earlier response."""
    name: str = Field(default="", max_length=100)
    """A name for what is being adjusted. A newer preview request of the same name replaces an older one, which is
    answered with 409 if it is still waiting."""


class PreviewPicture(Documented):
    """A picture that the job would make."""

    width: int
    """The size of the full-size result, in pixels."""
    height: int
    """The size of the full-size result, in pixels."""
    image: str
    """A small copy of it: a WebP file in base64."""


class PreviewAnswer(Documented):
    """What the job would make."""

    pictures: list[PreviewPicture]
    """The pictures in the order in which they would be made; if there are many, only the first ones."""
    comments: list[str]
    """What the preview does not show, such as the effect of an upscaler's model."""
    images: list[str]
    """Names of the request's pictures, which later previews may use instead of sending them again."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/preview")

    @router.post("", "user")
    async def preview(wish: PreviewWish, request: Request) -> PreviewAnswer:
        """Preview a request without submitting a job, beside the running ones. Answers when the preview is ready."""
        key = f"api/{caller_of(request.scope).owner}/{wish.name}"
        kind = _previewed(wish.kind)
        if kind.scope == "admin":
            require_admin(request.scope)
        wanted = await run_in_threadpool(_kept, app, request_class(kind.name).made(**wish.request))
        answer = await run_in_threadpool(app.queue.asides.ask, key, wanted)
        made = await awaited(app.queue.asides, key, answer, request.is_disconnected)
        return PreviewAnswer(
            pictures=[
                PreviewPicture(width=each.width, height=each.height, image=base64.b64encode(each.webp).decode())
                for each in made.pictures
            ],
            comments=list(made.comments),
            images=list(pictures_in(wanted)),
        )

    return router


def _previewed(name: str) -> registry.JobKind:
    """The kind of this name. Raises UserError: it has no preview, or does not exist."""
    found = {kind.name: kind for kind in registry.job_kinds() if kind.aside}
    if name not in found:
        raise UserError(
            f"Jobs of the kind {name!r} have no preview.", hint=f"These have one: {', '.join(found)}.", field="kind"
        )
    return found[name]


def _kept(app: App, asked: JobRequest) -> JobRequest:
    """What of the request is previewed, with its pictures in the store."""
    settings = app.settings.current

    def name_of(given: str, field: str) -> str:
        known = app.catalog.uploads.has(given)
        return given if known else app.catalog.uploads.put(decoded(given, field, settings), field)

    return asked.previewed.with_pictures(name_of)
