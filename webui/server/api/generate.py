"""Pictures over HTTP: a call is a job like any other, and its answer comes when the job is over."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from webui import registry
from webui.base.errors import NotFound, WebuiError
from webui.catalog import grid
from webui.catalog.image_files import read_infotext
from webui.catalog.pictures import Pictures
from webui.prompt.dynamic import is_dynamic
from webui.request import infotext
from webui.request.documented import Documented
from webui.request.fields import Generation
from webui.scripts.script import chosen
from webui.server.api.answers import PngInfoAnswer
from webui.server.api.bodies import (
    Body,
    Img2ImgBody,
    Txt2ImgBody,
    decoded,
    folders_in,
    forgiven,
    request_of,
    settings_for,
)
from webui.server.api.unheard import unheard
from webui.server.guard import caller_of, require_admin
from webui.server.jobs.job import Job, JobPicture
from webui.server.jobs.queue import JobQueue
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

log = logging.getLogger(__name__)

LOOKED_AFTER = 1.0
"""Seconds between two looks whether a client is still there."""
NO_INIT_IMAGE = "Init image not found"
"""A1111: clients compare this text."""
STATUS = {"bad_request": 422, "not_found": 404, "model_error": 422, "busy": 503}
"""HTTP status of a job's error code; 500 for the others."""


class Answer(Documented):
    """Pictures in base64, the request as it was understood, and a JSON string that describes the result."""

    images: list[str]
    """Files in base64, without `data:...` in front: first the grid, if one was saved, then each picture with its
    additional pictures. [] if `send_images` is off."""
    parameters: dict[str, object]
    """The fields of the request with their defaults; pictures are left out unless `include_init_images` is on."""
    info: str
    """JSON in a string: `infotexts`, `all_seeds`, `all_prompts` and others for each picture, and what applies to
    all."""


class ImageBody(Documented):
    """A picture in base64."""

    image: str = ""
    """Base64, with or without `data:...;base64,` in front."""


class JobFailed(WebuiError):
    """The job of this call has failed."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1")

    @router.post("/txt2img", "user", response_model=Answer)
    async def txt2img(body: Txt2ImgBody, request: Request) -> dict[str, object]:
        """Make pictures from text. Answers when they are finished."""
        return await _made(app, body, request)

    @router.post("/img2img", "user", response_model=Answer)
    async def img2img(body: Img2ImgBody, request: Request) -> dict[str, object]:
        """Make pictures from pictures. Answers when they are finished."""
        return await _made(app, body, request)

    @router.post("/png-info", "user", looks=True, response_model=PngInfoAnswer)
    async def png_info(body: ImageBody) -> dict[str, object]:
        """Read the generation parameters of a picture."""
        return await run_in_threadpool(lambda: _png_info(decoded(body.image, "image", app.settings.current)))

    return router


async def _made(app: App, body: Body, request: Request) -> dict[str, object]:
    given = frozenset(name for name, value in (await request.json()).items() if value is not None)
    owner = caller_of(request.scope).owner

    def submitted() -> tuple[str, Generation, tuple[str, ...]]:
        if isinstance(body, Img2ImgBody) and not body.init_images:
            raise NotFound(NO_INIT_IMAGE, field="init_images")
        settings = app.settings.current
        in_use = "" if settings.render.sd_model_checkpoint else app.queue.checkpoint_in_use
        known, remarks = forgiven(body, app.catalog, in_use)
        if not body.override_settings_restore_afterwards:
            require_admin(request.scope)
        wanted = request_of(known, given, app.catalog, settings)
        folders = folders_in(wanted.override_settings)
        if caller_of(request.scope).role != "admin":
            remarks += tuple(f"{key} has no effect: only an admin may choose the folder." for key in folders)
            folders = {}
        app.settings.freeze.check(settings, folders)
        job_id = app.queue.submit(wanted, owner, settings={**settings_for(body), **folders}, called=True)
        if not body.override_settings_restore_afterwards:
            app.settings.change(known.override_settings, strict=False)
        return job_id, wanted, (*remarks, *unheard(body))

    job_id, wanted, remarks = await run_in_threadpool(submitted)
    app.tasks.add(body.force_task_id or f"task({job_id})", job_id)
    # What is saved is worth making for its own sake.
    job = await ended(app.queue, job_id, request if body.cancel_on_disconnect or not body.save_images else None)
    if job.state == "failed" and job.error is not None:
        raise JobFailed(STATUS.get(job.error.code, 500), job.error.message, job.error.hint)
    return await run_in_threadpool(_answer, app, body, wanted, job, remarks)


async def ended(queue: JobQueue, job_id: str, request: Request | None = None) -> Job:
    """The job when it is over. When the client of `request` goes away, the job is given up while it still waits."""
    waiting = asyncio.wrap_future(queue.ended(job_id))
    while request is not None and not (await asyncio.wait([waiting], timeout=LOOKED_AFTER))[0]:
        if await request.is_disconnected():
            if (await run_in_threadpool(queue.job, job_id)).state == "queued":
                log.info("The job %s was dropped: its client disconnected while it was waiting.", job_id)
                await run_in_threadpool(queue.cancel, job_id)
            break
    return await waiting


def _answer(app: App, body: Body, asked: Generation, job: Job, remarks: tuple[str, ...]) -> dict[str, object]:
    images = []
    shown = _pictures_told(asked, job) if _shows_pictures(asked, job) else ()
    if body.send_images:
        images = [base64.b64encode(content).decode() for content in _contents(app.catalog.pictures, job, shown)]
    if not body.save_images:
        for picture in job.pictures:
            app.catalog.pictures.discard(picture.id)
    parameters = dict(body.unfolded(body.model_dump(mode="json")))
    if isinstance(body, Img2ImgBody) and not body.include_init_images:
        parameters |= {"init_images": None, "mask": None}
    info = {**info_of(app, asked, job), "batch_size": body.batch_size, "comments": [*remarks, *job.comments]}
    if isinstance(body, Txt2ImgBody) and "denoising_strength" in body.model_fields_set:
        info["denoising_strength"] = body.denoising_strength  # A1111: as it was sent, whatever it was for
    return {"images": images, "parameters": parameters, "info": json.dumps(info)}


def _shows_pictures(request: Generation, job: Job) -> bool:
    """Whether the answer has the pictures themselves: a script may want the sheets alone."""
    return not request.script or not _sheets(job) or chosen(request)[0].shows_pictures


def _pictures_told(request: Generation, job: Job) -> tuple[JobPicture, ...]:
    """The pictures that the answer has and tells of."""
    if request.script and registry.script(request.script).first_alone:
        return tuple(picture for picture in job.pictures if picture.position % request.picture_count == 0)
    return job.pictures


def _sheets(job: Job) -> list[str]:
    """Names of the sheets that come with a job's first picture."""
    return [name for picture in job.pictures[:1] for name in picture.extras if grid.is_sheet(name)]


def _contents(pictures: Pictures, job: Job, shown: tuple[JobPicture, ...]) -> Iterator[bytes]:
    """The sheets, if there are any, and the files of these pictures of a job, each with those that come with it."""
    for name in _sheets(job):
        yield pictures.extras.content(job.pictures[0].id, name)[0]
    for picture in shown:
        yield pictures.content(picture.id)[0]
        for name in picture.extras:
            if not grid.is_sheet(name):
                yield pictures.extras.content(picture.id, name)[0]


def info_of(app: App, request: Generation, job: Job) -> dict[str, object]:
    """A1111's summary of a finished job. request: what it was asked for."""
    prompt, negative = app.catalog.styled(request.prompt, request.negative_prompt, request.styles)
    pictures = _pictures_told(request, job)
    texts = [picture.infotext for picture in pictures]
    sheets = len(_sheets(job))
    shown = texts if _shows_pictures(request, job) else []
    read = [infotext.read(text) for text in texts]
    labels = dict(read[0].labels) if read else {}
    count = len(pictures)
    seeds = [picture.seed for picture in pictures] or [job.seed]
    subseeds = [picture.subseed for picture in pictures] or [job.subseed]
    return {
        "prompt": prompt,
        "all_prompts": [each.prompt for each in read] if request.script or _varies(prompt) else [prompt] * count,
        "negative_prompt": negative,
        "all_negative_prompts": (
            [each.negative for each in read] if request.script or _varies(negative) else [negative] * count
        ),
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": request.subseed_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": labels.get("Sampler", request.sampler_name),
        "cfg_scale": request.cfg_scale,
        "steps": request.steps,
        "batch_size": request.batch_size,
        "restore_faces": "Face restoration" in labels,
        "face_restoration_model": labels.get("Face restoration"),
        "sd_model_name": labels.get("Model"),
        "sd_model_hash": labels.get("Model hash"),
        "sd_vae_name": labels.get("VAE"),
        "sd_vae_hash": labels.get("VAE hash"),
        "seed_resize_from_w": request.seed_resize_from_w,
        "seed_resize_from_h": request.seed_resize_from_h,
        "denoising_strength": request.strength,
        "extra_generation_params": {label: text for label, text in labels.items() if label not in _STANDARD},
        "index_of_first_image": sheets,
        "infotexts": [*texts[:1] * sheets, *shown],
        "styles": list(request.styles),
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.started or job.created)),
        "clip_skip": int(labels.get("Clip skip", 1)),
        "is_using_inpainting_conditioning": "Conditional mask weight" in labels,
        "version": app.queue.version,
    }


def _varies(prompt: str) -> bool:
    """Whether pictures may be made with another text than this: without its comments, with its choices made."""
    return "#" in prompt or is_dynamic(prompt)


_STANDARD = frozenset(
    {
        "Steps",
        "Sampler",
        "Schedule type",
        "CFG scale",
        "Seed",
        "Size",
        "Size-1",
        "Size-2",
        "Model",
        "Model hash",
        "VAE",
        "VAE hash",
        "Clip skip",
        "Denoising strength",
        "Variation seed",
        "Variation seed strength",
        "RNG",
        "Version",
    }
)


def _png_info(content: bytes) -> dict[str, object]:
    text, items = read_infotext(content)
    found = infotext.read(text)
    parameters: dict[str, object] = {}
    if text:
        parameters = {"Prompt": found.prompt, "Negative prompt": found.negative, **found.labels}
    # A1111: the text itself is among the items.
    return {"info": text, "items": {**({"parameters": text} if text else {}), **items}, "parameters": parameters}
