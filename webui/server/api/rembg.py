"""The route of A1111's extension rembg, in its form: what stands out of a picture, without its background."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from webui.catalog.image_files import open_picture
from webui.request.documented import Documented
from webui.server.api.extras import SingleBody, made
from webui.server.api.forgiving import Forgiving
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

NO_MODEL = "None"


class RembgBody(Forgiving):
    """A picture whose background is to be removed."""

    input_image: str = ""
    """Base64, with or without `data:...;base64,` in front."""
    model: str = "u2net"
    """None leaves the picture as it is. Others are .onnx files in models/rembg; for one that is not there, the included
    u2netp stands."""
    return_mask: bool = False
    """Whether the response is the mask, white where the subject is, instead of the picture."""
    alpha_matting: bool = False
    """Makes out the edges of the subject hair by hair, and takes the background's color out of them."""
    alpha_matting_foreground_threshold: int = Field(default=240, ge=0, le=255)
    """Above this level of the mask, a pixel is surely the subject's."""
    alpha_matting_background_threshold: int = Field(default=10, ge=0, le=255)
    """Below this level, it is surely not."""
    alpha_matting_erode_size: int = Field(default=10, ge=0, le=255)
    """By how many pixels what is sure shrinks."""


class RembgAnswer(Documented):
    """A picture without its background, or the mask of its subject."""

    image: str
    """A PNG file in base64."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/rembg")

    @router.post("", "user")
    async def rembg(body: RembgBody, request: Request) -> RembgAnswer:
        """Remove the background of a picture. Answers when it is finished."""
        wanted = SingleBody(
            remove_background=body.model not in ("", NO_MODEL),
            background_model=body.model,
            alpha_matting=body.alpha_matting,
            alpha_matting_foreground_threshold=body.alpha_matting_foreground_threshold,
            alpha_matting_background_threshold=body.alpha_matting_background_threshold,
            alpha_matting_erode_size=body.alpha_matting_erode_size,
        )
        _, (image,) = await made(app, wanted, [body.input_image], "input_image", request)
        return RembgAnswer(image=await run_in_threadpool(_mask, image) if body.return_mask else image)

    return router


def _mask(image: str) -> str:
    """The opacity of a PNG file, as one; both in base64."""
    with open_picture(base64.b64decode(image)) as picture:
        opacity = picture.convert("RGBA").getchannel("A")
    buffer = io.BytesIO()
    opacity.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
