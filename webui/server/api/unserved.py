"""Routes of A1111 behind which there is nothing yet: they say so, and what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from webui.base.errors import NotFound
from webui.server.api.answers import CaptionAnswer
from webui.server.api.bodies import decoded
from webui.server.api.documented import Documented
from webui.server.api.errors import NotServed

if TYPE_CHECKING:
    from webui.app import App

INTERROGATORS = ("clip", "deepdanbooru")


class InterrogateBody(Documented):
    """A picture, and what shall describe it."""

    image: str = ""
    """Base64, with or without `data:...;base64,` before it."""
    model: str = "clip"
    """"clip" or "deepdanbooru"."""


def routes(app: App) -> APIRouter:
    router = APIRouter(prefix="/sdapi/v1", responses={501: {"description": "Not served yet."}})

    @router.post("/interrogate", response_model=CaptionAnswer)
    def interrogate(body: InterrogateBody) -> dict[str, str]:
        """Describe a picture in words. Not served yet."""
        if not body.image:
            raise NotFound("Image not found", field="image")
        if body.model not in INTERROGATORS:
            raise NotFound("Model not found", field="model")
        decoded(body.image, "image", app.settings.current)
        raise NotServed(
            "Pictures are not described here yet.", hint="/sdapi/v1/png-info reads the prompt that a picture carries."
        )

    def untrained() -> dict[str, str]:
        raise NotServed(
            "Embeddings and hypernetworks are not made here yet.",
            hint="Train them elsewhere and put the files into embeddings/ or models/hypernetworks/.",
        )

    for path in ("create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"):
        router.post(f"/{path}", name=path, description="Not served yet.")(untrained)
    return router
