"""Routes of A1111 behind which there is nothing yet: they say so, and what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from webui.base.errors import NotFound
from webui.server.api.bodies import decoded
from webui.server.api.errors import NotServed

if TYPE_CHECKING:
    from webui.app import App

INTERROGATORS = ("clip", "deepdanbooru")


class InterrogateBody(BaseModel):
    """A picture in base64, and what shall describe it."""

    image: str = ""
    model: str = "clip"
    """"clip" or "deepdanbooru"."""


class ExtrasBody(BaseModel):
    """How pictures shall be enlarged: by a factor, or to a size."""

    model_config = ConfigDict(use_attribute_docstrings=True, allow_inf_nan=False)

    resize_mode: Literal[0, 1] = 0
    """0: by `upscaling_resize`. 1: to `upscaling_resize_w` x `upscaling_resize_h`."""
    show_extras_results: bool = True
    """Whether the pictures come back."""
    gfpgan_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_weight: float = Field(default=0, ge=0, le=1)
    upscaling_resize: float = Field(default=2, gt=0)
    """A factor."""
    upscaling_resize_w: int = Field(default=512, ge=1)
    """Pixels."""
    upscaling_resize_h: int = Field(default=512, ge=1)
    upscaling_crop: bool = True
    """Cut off what stands out of the size."""
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = Field(default=0, ge=0, le=1)
    upscale_first: bool = False


class SingleBody(ExtrasBody):
    """One picture, in base64."""

    image: str = ""


class NamedPicture(BaseModel):
    """A picture in base64, and its file's name."""

    data: str
    name: str


class BatchBody(ExtrasBody):
    """Several pictures."""

    imageList: list[NamedPicture]  # noqa: N815 - A1111's name


def routes(_app: App) -> APIRouter:
    router = APIRouter(prefix="/sdapi/v1", responses={501: {"description": "Not served yet."}})

    @router.post("/interrogate")
    def interrogate(body: InterrogateBody) -> dict[str, str]:
        """Describe a picture in words. Not served yet."""
        if not body.image:
            raise NotFound("Image not found", field="image")
        if body.model not in INTERROGATORS:
            raise NotFound("Model not found", field="model")
        decoded(body.image, "image")
        raise NotServed(
            "Pictures are not described here yet.", hint="/sdapi/v1/png-info reads the prompt that a picture carries."
        )

    @router.post("/extra-single-image")
    def extra_single(body: SingleBody) -> dict[str, str]:
        """Enlarge a picture. Not served yet."""
        decoded(body.image, "image")
        raise _no_extras()

    @router.post("/extra-batch-images")
    def extra_batch(body: BatchBody) -> dict[str, str]:
        """Enlarge pictures. Not served yet."""
        for picture in body.imageList:
            decoded(picture.data, "imageList")
        raise _no_extras()

    def untrained() -> dict[str, str]:
        raise NotServed(
            "Embeddings and hypernetworks are not made here yet.",
            hint="Train them elsewhere and put the files into embeddings/ or models/hypernetworks/.",
        )

    for path in ("create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"):
        router.post(f"/{path}", name=path, description="Not served yet.")(untrained)
    return router


def _no_extras() -> NotServed:
    return NotServed(
        "Pictures are not enlarged on their own here yet.",
        hint="/sdapi/v1/img2img enlarges while it paints: give it the larger width and height.",
    )
