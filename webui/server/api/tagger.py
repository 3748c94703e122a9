"""The routes of A1111's tagger extension, in its form: pictures and the tags that a tagger sees in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import ConfigDict, Field

from webui.base.errors import NotFound
from webui.base.json_values import Json, as_object
from webui.catalog.tagger_files import PUT
from webui.jobs.interrogate.request import Interrogate
from webui.request.documented import Documented
from webui.request.interrogators import DEEPBOORU, danbooru_in
from webui.server.api.forgiving import Forgiving
from webui.server.api.interrogate import described
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

TAGGER = "tagger"
"""What the memory panel calls them."""
NEWER = ("queue", "name_in_queue")
"""Fields that programs send which expect the newer form of the answer."""


class TaggerBody(Forgiving):
    """A picture, and the tagger that is to look at it."""

    model_config = ConfigDict(allow_inf_nan=False)

    image: str = ""
    """Base64, with or without `data:...;base64,` in front."""
    model: str = ""
    """A name from `interrogators`, or one that the extension has for the same network, such as wd14-vit-v2-git. Empty:
    the first one."""
    threshold: float = Field(default=0.35, ge=0, le=1)
    """Tags with a lower score are left out; ratings never are."""
    queue: str = ""
    """Accepted, without effect, but for the form of the answer: every call is answered when it is finished."""
    name_in_queue: str = ""
    """Likewise."""


class TaggerAnswer(Documented):
    """What the tagger sees."""

    caption: dict[str, float | dict[str, float]]
    """Ratings, then tags, each with its score from 0 to 1, the surest first. Where the request has `queue` or
    `name_in_queue`: {"rating": {...}, "tag": {...}}."""


class InterrogatorList(Documented):
    """Taggers."""

    models: list[str]
    """Their names: the values for `model`."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/tagger/v1", responses={501: {"description": "The model for it is not installed."}})

    @router.post("/interrogate", "user")
    async def interrogate(body: TaggerBody, request: Request) -> TaggerAnswer:
        """Find tags for a picture. Answers when they are found."""
        models = _models(app)
        if not body.model and not models:
            raise NotFound("Model not found: there is no tagger here.", hint=PUT, field="model")
        wanted = Interrogate(model=body.model or models[0], threshold=body.threshold, as_scores=True)
        job = await described(app, body.image, wanted, request)
        found = as_object(json.loads(job.answer))
        rating, tag = (_scores(found.get(name)) for name in ("rating", "tag"))
        if not body.model_fields_set.isdisjoint(NEWER):
            return TaggerAnswer(caption={"rating": rating, "tag": tag})
        return TaggerAnswer(caption={**rating, **tag})

    @router.get("/interrogators", "user")
    def interrogators() -> InterrogatorList:
        """Taggers; each call searches the folders again."""
        return InterrogatorList(models=_models(app))

    @router.post("/unload-interrogators", "admin")
    def unload() -> str:
        """Put all taggers away and free their memory."""
        parts = app.queue.models.heartbeat.parts
        count = len({use.model for use in parts if use.part == TAGGER})
        app.queue.unload(TAGGER)
        return f"Successfully unload {count} model(s)"

    return router


def _models(app: App) -> list[str]:
    return [*app.catalog.taggers.names(), *((DEEPBOORU,) if danbooru_in(app.catalog.paths.models) else ())]


def _scores(value: Json) -> dict[str, float]:
    return {name: float(score) for name, score in as_object(value).items() if isinstance(score, int | float)}
