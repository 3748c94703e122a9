"""The routes of A1111's extension sd-webui-controlnet, in its form: what there is, and the map of a picture."""

from __future__ import annotations

import asyncio
import base64
import io
from itertools import count
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from PIL import Image
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from webui.base.errors import NotFound, UserError
from webui.features.controlnet.parameters import NO_MODEL, Params
from webui.request.control_types import (
    KINDS,
    listed,
    models_of,
    preprocessors_of,
    sliders_of,
    usual_model,
    usual_preprocessor,
)
from webui.request.documented import Documented
from webui.request.messages import AsidePicture, AsideResult
from webui.request.model_ref import ModelRef
from webui.request.poses import poses_of
from webui.request.preprocessing import INPAINTS, KEEPS, Drawing, Preprocessing
from webui.request.preprocessors import Preprocessor, Range, Real, preprocessor
from webui.server.api.bodies import decoded
from webui.server.api.forgiving import Forgiving
from webui.server.guard import caller_of
from webui.server.previews import awaited
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

VERSION = 3
"""The version of the extension's interface."""
LARGEST = 1_000_000
"""Of a preprocessor's value; beyond its range, its default holds."""
MOST_PICTURES = 64
"""Of one call."""


class VersionAnswer(Documented):
    """The version of the interface."""

    version: int
    """The version of the extension's interface."""


class ModelsAnswer(Documented):
    """Control networks."""

    model_list: list[str]
    """Their names with hashes: the values for a unit's `model`."""


class SliderItem(Documented):
    """A parameter of a preprocessor."""

    name: str
    """Its label on the page."""
    value: Real
    """Its default value."""
    min: Real
    """The minimum; below it, the default is used."""
    max: Real
    """The maximum; above it, the default is used."""
    step: Real
    """The step of its slider."""


class ModuleItem(Documented):
    """A preprocessor."""

    model_free: bool
    """Whether it works without a control network."""
    sliders: list[SliderItem]
    """Those of `processor_res`, `threshold_a` and `threshold_b` that it has."""


class ModulesAnswer(Documented):
    """Preprocessors, including those that are not available in this version; using one of those is an error."""

    module_list: list[str]
    """Their names: the values for a unit's `module`."""
    module_detail: dict[str, ModuleItem]
    """The parameters of each."""


class KindItem(Documented):
    """A kind of control."""

    module_list: list[str]
    """Its preprocessors, by their names on the page."""
    model_list: list[str]
    """Its networks, including None."""
    default_option: str
    """The default preprocessor."""
    default_model: str
    """The default network."""


class KindsAnswer(Documented):
    """Kinds of control."""

    control_types: dict[str, KindItem]
    """The preprocessors and networks of each kind."""


class ControlSettings(Documented):
    """What programs need to know about the installation."""

    control_net_unit_count: int
    """The number of units on the page."""


class DetectBody(Forgiving):
    """Pictures, and the preprocessor that is to make maps from them."""

    controlnet_module: str = "none"
    """The preprocessor."""
    controlnet_input_images: list[str] = []
    """The pictures in base64."""
    controlnet_images: list[str] = []
    """The same, under the name that webuiapi uses."""
    controlnet_processor_res: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] = 512
    """The length in pixels of the shorter side of the picture that the preprocessor works on."""
    controlnet_threshold_a: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] = -1
    """Its first parameter; a value out of range means the default."""
    controlnet_threshold_b: Annotated[float, Field(ge=-LARGEST, le=LARGEST)] = -1
    """Its second parameter."""
    controlnet_masks: list[str] = []
    """For the inpainting preprocessors: a mask for each picture, in base64."""
    low_vram: bool = False
    """Accepted, without effect."""

    @property
    def pictures(self) -> list[str]:
        return self.controlnet_input_images or self.controlnet_images


class DetectAnswer(Documented):
    """The maps."""

    images: list[str]
    """The maps as PNG files, in base64."""
    info: str
    """"Success"."""
    poses: list[dict[str, object]] | None = None
    """For the preprocessors of poses: what was found in each picture, as `/controlnet/render_openpose_json` takes it;
    coordinates are fractions of the canvas."""
    comments: list[str] | None = None
    """Remarks on the pictures, such as that nobody was found in one."""


class PoseAnswer(Documented):
    """The result of drawing poses."""

    images: list[str] | None = None
    """The maps as PNG files, in base64."""
    info: str
    """"Success", or that there was nothing to draw."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/controlnet")
    router.include(_lists(app))
    numbers = count(1)

    async def run(request: Request, plan: Preprocessing | Drawing) -> AsideResult:
        key = f"detect/{caller_of(request.scope).owner}/{next(numbers)}"
        answer = app.queue.asides.ask_for(key, plan)
        return await awaited(app.queue.asides, key, answer, request.is_disconnected)

    @router.post("/detect", "user", response_model=DetectAnswer, response_model_exclude_none=True)
    async def detect(body: DetectBody, request: Request) -> dict[str, object]:
        """Make a preprocessor's map of each picture, without waiting for running jobs."""
        which = _wanted(body)
        made = []
        for number in range(len(body.pictures)):
            made.append(await run(request, await run_in_threadpool(_plan, app, body, which, number)))
        answer = {"images": [each for one in made for each in await _pngs(one)], "info": "Success"}
        poses = [one.poses.json for one in made if one.poses is not None]
        comments = list(dict.fromkeys(comment for one in made for comment in one.comments))
        return {**answer, "poses": poses or None, "comments": comments or None}

    @router.post(
        "/render_openpose_json", "user", looks=True, response_model=PoseAnswer, response_model_exclude_none=True
    )
    async def render_openpose_json(poses: list[object], request: Request) -> dict[str, object]:
        """Draw the poses of people: one map for each element of the list."""
        if not poses:
            return {"info": "No pose data detected."}
        if len(poses) > MOST_PICTURES:
            raise UserError(f"{len(poses)} poses are too many.", hint=f"At most {MOST_PICTURES}.")
        plans = [Drawing(poses_of(each)) for each in poses]
        made = [await run(request, plan) for plan in plans]
        return {"images": [each for one in made for each in await _pngs(one)], "info": "Success"}

    return router


def _lists(app: App) -> Routes:
    router = Routes()

    def titles() -> list[str]:
        return app.catalog.control_networks.titles()

    @router.get("/version", "user", response_model=VersionAnswer)
    def version() -> dict[str, int]:
        """The version of the interface."""
        return {"version": VERSION}

    @router.get("/model_list", "user", response_model=ModelsAnswer)
    def model_list(
        _update: Annotated[bool, Query(alias="update", description="Taken, without effect.")] = True,
    ) -> dict[str, list[str]]:
        """Control networks; each call searches the folders again."""
        return {"model_list": [title for title in titles() if title != NO_MODEL]}

    @router.get("/module_list", "user", response_model=ModulesAnswer)
    def module_list(
        alias_names: Annotated[bool, Query(description="Use the names shown on the page.")] = False,
    ) -> dict[str, object]:
        """Preprocessors, including those that are not available in this version."""
        found = {(each.title if alias_names else each.name): each for each in listed()}
        return {"module_list": list(found), "module_detail": {name: _detail(each) for name, each in found.items()}}

    @router.get("/control_types", "user", response_model=KindsAnswer)
    def control_types() -> dict[str, object]:
        """Preprocessors and networks, by kind of control."""
        known, networks = listed(), titles()
        return {
            "control_types": {
                kind: {
                    "module_list": [each.title for each in preprocessors_of(kind, known)],
                    "model_list": models_of(kind, networks),
                    "default_option": usual_preprocessor(kind, known).title,
                    "default_model": usual_model(kind, networks),
                }
                for kind in KINDS
            }
        }

    @router.get("/settings", "user", response_model=ControlSettings)
    def settings() -> dict[str, int]:
        """The number of units on the page."""
        return {"control_net_unit_count": Params.shown(app.settings.current.ui)}

    return router


def _wanted(body: DetectBody) -> Preprocessor:
    """
    Raises:
        UserError: there is no such preprocessor, it is not in this version, or there is no picture or mask for it.
    """
    try:
        which = preprocessor(body.controlnet_module)
    except NotFound as error:
        raise UserError("Module not available", hint=error.hint, field="controlnet_module") from error
    if which.describes:
        raise UserError(
            f"Module not supported: the preprocessor {which.title} makes no map.",
            hint="It has an image encoder describe the picture to a network.",
            field="controlnet_module",
        )
    if not which.code and which.name not in KEEPS:
        raise UserError(
            f"Module not supported: the preprocessor {which.title} is not available in this version.",
            field="controlnet_module",
        )
    pictures, masks = body.pictures, body.controlnet_masks
    if not pictures:
        raise UserError("No image selected", field="controlnet_input_images")
    if len(pictures) > MOST_PICTURES:
        raise UserError(
            f"{len(pictures)} pictures are too many.", hint=f"At most {MOST_PICTURES}.", field="controlnet_input_images"
        )
    if which.name in INPAINTS and len(masks) < len(pictures):
        raise UserError(
            f"Preprocessor {body.controlnet_module} requires `controlnet_masks` param.",
            hint="Give each picture a mask.",
            field="controlnet_masks",
        )
    return which


def _plan(app: App, body: DetectBody, which: Preprocessor, number: int) -> Preprocessing:
    settings, uploads = app.settings.current, app.catalog.uploads

    def kept(given: str, field: str) -> bytes:
        return uploads.get(uploads.put(decoded(given, field, settings), field))

    picture = kept(body.pictures[number], "controlnet_input_images")
    mask = kept(body.controlnet_masks[number], "controlnet_masks") if which.name in INPAINTS else b""
    return Preprocessing(
        picture,
        which.name,
        int(body.controlnet_processor_res),
        body.controlnet_threshold_a,
        body.controlnet_threshold_b,
        mask=mask,
        as_given=True,
        annotators=_annotators(app, which),
    )


def _annotators(app: App, which: Preprocessor) -> tuple[ModelRef, ...]:
    """
    Raises:
        UserError: a file is missing or broken.
    """
    try:
        return app.catalog.annotators(which.name)
    except NotFound as error:
        raise UserError(error.message, hint=error.hint, field="controlnet_module") from error


async def _pngs(made: AsideResult) -> list[str]:
    return [await asyncio.to_thread(_png, picture) for picture in made.pictures]


def _png(made: AsidePicture) -> str:
    """In base64."""
    with Image.open(io.BytesIO(made.webp)) as picture:
        buffer = io.BytesIO()
        (picture.convert("L") if made.is_grey else picture).save(buffer, "PNG", compress_level=4)
    return base64.b64encode(buffer.getvalue()).decode()


def _detail(which: Preprocessor) -> dict[str, object]:
    return {"model_free": which.model_free, "sliders": [_slider(each) for each in sliders_of(which)]}


def _slider(each: Range) -> dict[str, object]:
    return {"name": each.name, "value": each.value, "min": each.low, "max": each.high, "step": each.step}
