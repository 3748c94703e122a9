"""Routes of A1111 and its extensions behind which there is nothing: they say so, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fastapi import HTTPException, Request
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from webui.base.errors import NotFound
from webui.server.api.errors import NotServed
from webui.server.routes import ALL_METHODS, Routes

if TYPE_CHECKING:
    from webui.app import App

EXTENSIONS: Mapping[str, str] = {
    "agent-scheduler": "Agent Scheduler",
    "faceswaplab": "FaceSwapLab",
    "instruct-pix2pix": "Instruct-pix2pix",
    "model_keyword": "Model Keyword",
    "promptgen": "Promptgen",
    "reactor": "ReActor",
    "sam": "Segment Anything",
}
"""Extensions of A1111 that clients ask for: where their routes lie -> what they are called."""


def routes(_app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1", responses={501: {"description": "Not supported yet."}})

    def untrained() -> dict[str, str]:
        raise NotServed(
            "Creating and training embeddings and hypernetworks is not supported yet.",
            hint="Train them elsewhere and put the files into embeddings/ or models/hypernetworks/.",
        )

    for path in ("create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"):
        router.post(f"/{path}", "admin", name=path, description="Not supported yet.")(untrained)
    return router


def nowhere(known: Sequence[BaseRoute]) -> Routes:
    """What answers where none of the `known` routes does: else the page would, in words of its own."""
    router = Routes(include_in_schema=False)

    @router.every("/sdapi/{path:path}", "user")
    @router.every("/api/{path:path}", "user")
    @router.every("/controlnet/{path:path}", "user")
    @router.every("/adetailer/{path:path}", "user")
    @router.every("/tagger/{path:path}", "user")
    def unknown(request: Request) -> None:
        path, asked = request.url.path, request.method
        methods = [method for method in ALL_METHODS if _is_taken({**request.scope, "method": method}, known)]
        if methods:
            allowed = ", ".join(methods)
            raise HTTPException(405, f"{path} takes {allowed}, not {asked}.", {"allow": allowed})
        raise NotFound(f"There is no route {path}.", hint="/docs lists all routes.")

    def absent(request: Request) -> None:
        name = EXTENSIONS[request.url.path.removeprefix(request.scope.get("root_path", "")).split("/")[1]]
        raise NotFound(
            f"A1111's extension {name} is not available here.", hint="/sdapi/v1/scripts lists the scripts that are."
        )

    for place in EXTENSIONS:
        for path in (f"/{place}", f"/{place}/{{path:path}}"):
            router.every(path, "user")(absent)
    return router


def _is_taken(scope: Scope, known: Sequence[BaseRoute]) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in known)
