"""The mask of what stands out of a picture, at once, beside the job in work."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from webui.catalog.image_files import size_of
from webui.request.cutting import PACKAGED, SubjectMask
from webui.request.documented import Documented
from webui.server.api.bodies import decoded
from webui.server.guard import caller_of
from webui.server.previews import awaited
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


class MaskWish(Documented):
    """A picture whose subject is to be found."""

    model_config = ConfigDict(extra="forbid")

    image: str
    """Base64, with or without `data:...;base64,` in front."""
    model: str = PACKAGED
    """The network that finds it: u2netp is included; others are .onnx files in models/rembg."""
    name: str = Field(default="", max_length=100)
    """A name for what is being masked. A newer request of the same name replaces an older one, which is answered with
    409 if it is still waiting."""


class MaskAnswer(Documented):
    """The mask of its subject."""

    width: int
    """Of the picture, in pixels."""
    height: int
    """Of the picture, in pixels."""
    image: str
    """White where the subject is: a lossless WebP file in base64."""
    comments: list[str]
    """Remarks, such as that another network has found it."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/mask")

    @router.post("", "user")
    async def mask(wish: MaskWish, request: Request) -> MaskAnswer:
        """Find the subject of a picture without submitting a job, beside the running ones."""
        key = f"mask/{caller_of(request.scope).owner}/{wish.name}"

        def plan() -> SubjectMask:
            picture = decoded(wish.image, "image", app.settings.current)
            size_of(picture)  # Whatever is no picture is refused at once.
            return SubjectMask(picture, app.catalog.cutting(wish.model, field="model"))

        answer = app.queue.asides.ask_for(key, await run_in_threadpool(plan))
        made = await awaited(app.queue.asides, key, answer, request.is_disconnected)
        (found,) = made.pictures
        return MaskAnswer(
            width=found.width,
            height=found.height,
            image=base64.b64encode(found.webp).decode(),
            comments=list(made.comments),
        )

    return router
