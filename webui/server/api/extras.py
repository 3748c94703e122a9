"""Finished pictures made larger over HTTP, as A1111 takes and answers it."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from webui.jobs.extras.request import Extras
from webui.request.cutting import PACKAGED
from webui.request.documented import Documented
from webui.request.postprocessing import NONE
from webui.server.api.bodies import decoded
from webui.server.api.forgiving import Forgiving
from webui.server.api.generate import STATUS, JobFailed, ended
from webui.server.api.unheard import unheard_extras
from webui.server.guard import caller_of
from webui.server.jobs.job import Job
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


DONE = (
    "Postprocess background: ",
    "Postprocess upscale ",
    "GFPGAN visibility: ",
    "CodeFormer visibility: ",
    "Postprocess detailer: ",
)
"""How an infotext begins to say what was done last."""


class ExtrasBody(Forgiving):
    """How pictures are to be enlarged: by a factor, or to a size."""

    model_config = ConfigDict(allow_inf_nan=False)

    resize_mode: int = Field(default=0, ge=0, le=1)
    """0: by `upscaling_resize`. 1: to `upscaling_resize_w` x `upscaling_resize_h`."""
    show_extras_results: bool = True
    """Accepted, without effect."""
    gfpgan_visibility: float = Field(default=0, ge=0, le=1)
    """Restores faces with GFPGAN: 0 leaves them as they are, 1 shows the new faces alone."""
    codeformer_visibility: float = Field(default=0, ge=0, le=1)
    """Restores faces with CodeFormer, likewise."""
    codeformer_weight: float = Field(default=0, ge=0, le=1)
    """How closely CodeFormer follows the picture: 0 is the strongest effect, 1 the weakest."""
    upscaling_resize: float = Field(default=2, ge=0.01, le=64)
    """The factor by which each side is enlarged."""
    upscaling_resize_w: int = Field(default=512, ge=1, le=65535)
    """Width in pixels."""
    upscaling_resize_h: int = Field(default=512, ge=1, le=65535)
    """Height in pixels."""
    upscaling_crop: bool = True
    """Crops the picture to exactly this size."""
    upscaler_1: str = NONE
    """A name from `/sdapi/v1/upscalers`; None leaves the size unchanged."""
    upscaler_2: str = NONE
    """A second upscaler whose result is blended in."""
    extras_upscaler_2_visibility: float = Field(default=0, ge=0, le=1)
    """The visibility of the second upscaler's result: 0 is none, 1 is only that result."""
    remove_background: bool = False
    """Makes everything around the subject transparent. An addition to A1111's fields."""
    background_model: str = PACKAGED
    """The network that finds the subject: u2netp is included; others are .onnx files in models/rembg. An addition to
    A1111's fields."""
    alpha_matting: bool = False
    """Makes out the edges of the subject hair by hair. An addition to A1111's fields."""
    alpha_matting_foreground_threshold: int = Field(default=240, ge=0, le=255)
    """Above this level of the mask, a pixel is surely the subject's."""
    alpha_matting_background_threshold: int = Field(default=10, ge=0, le=255)
    """Below this level, it is surely not."""
    alpha_matting_erode_size: int = Field(default=10, ge=0, le=255)
    """By how many pixels what is sure shrinks."""
    detail_model: str = NONE
    """A detector of ADetailer: what it finds is painted anew after enlarging. An addition to A1111's fields."""
    detail_prompt: str = ""
    """What is painted; empty: the prompt that the picture was made with. An addition to A1111's fields."""
    detail_strength: float = Field(default=0.4, ge=0, le=1)
    """How much of it may change. An addition to A1111's fields."""
    upscale_first: bool = False
    """Accepted, without effect."""


class SingleBody(ExtrasBody):
    """One picture."""

    image: str = ""
    """Base64, with or without `data:...;base64,` in front."""


class NamedPicture(Documented):
    """A picture and its file name."""

    data: str
    """Base64, with or without `data:...;base64,` in front."""
    name: str
    """Accepted, without effect: nothing is saved."""


class BatchBody(ExtrasBody):
    """Several pictures."""

    imageList: list[NamedPicture]  # noqa: N815 - A1111's name
    """The pictures; the results come in the same order."""


class SingleAnswer(Documented):
    """An enlarged picture."""

    html_info: str
    """What was done, as HTML."""
    image: str
    """Its PNG file in base64."""


class BatchAnswer(Documented):
    """Several enlarged pictures."""

    html_info: str
    """What was done to the last one, as HTML."""
    images: list[str]
    """Their PNG files in base64."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1")

    @router.post("/extra-single-image", "user")
    async def extra_single(body: SingleBody, request: Request) -> SingleAnswer:
        """Enlarge a picture. Answers when it is finished."""
        html, images = await made(app, body, [body.image], "image", request)
        return SingleAnswer(html_info=html, image=images[0])

    @router.post("/extra-batch-images", "user")
    async def extra_batch(body: BatchBody, request: Request) -> BatchAnswer:
        """Enlarge pictures. Answers when all are finished."""
        html, images = await made(app, body, [one.data for one in body.imageList], "imageList", request)
        return BatchAnswer(html_info=html, images=images)

    return router


async def made(app: App, body: ExtrasBody, texts: list[str], field: str, request: Request) -> tuple[str, list[str]]:
    """(what was done, as HTML; the pictures in base64). field: of the body, where they stand."""

    def submitted() -> str:
        current = app.settings.current
        given = tuple(app.catalog.uploads.put(decoded(text, field, current), field) for text in texts)
        wanted = request_of(body).changed(images=given)
        # A1111: what comes by the API is not kept in the folder of outputs.
        return app.queue.submit(wanted, caller_of(request.scope).owner, settings={"samples_save": False}, called=True)

    job_id = await run_in_threadpool(submitted)
    app.tasks.add(f"task({job_id})", job_id)
    job = await ended(app.queue, job_id, request)
    if job.state == "failed" and job.error is not None:
        raise JobFailed(STATUS.get(job.error.code, 500), job.error.message, job.error.hint)
    if len(job.pictures) < len(texts):
        raise JobFailed(500, "The job was stopped before all pictures were finished.", "")
    html, images = await run_in_threadpool(_answer, app, job)
    remarks = (*body.changed_values, *unheard_extras(body), *job.comments)
    return html + "".join(f"<p>{escape(sentence)}</p>" for sentence in remarks), images


def request_of(body: ExtrasBody) -> Extras:
    """The request that a body stands for, but for its pictures."""
    return Extras.made(**{name: getattr(body, name) for name in Extras.model_fields if name in type(body).model_fields})


def _answer(app: App, job: Job) -> tuple[str, list[str]]:
    pictures = app.catalog.pictures
    images = [base64.b64encode(pictures.content(picture.id)[0]).decode() for picture in job.pictures]
    for picture in job.pictures:
        pictures.discard(picture.id)
    return f"<p>{escape(_done(job.pictures[-1].infotext))}</p>", images


def _done(text: str) -> str:
    """The end of an infotext that says what was done last; "" where nothing was."""
    found = [at for at in map(text.rfind, DONE) if at >= 0]
    return text[min(found) :] if found else ""
