"""All of `/sdapi/v1`, our own `/api/v1`, and the few `/internal` routes of A1111 that clients use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from webui.server import history
from webui.server.api import extras, generate, interrogate, listings, machine, manual, options, own, progress, unserved
from webui.server.api.errors import LARGEST_BODY, REFUSALS

if TYPE_CHECKING:
    from webui.app import App


def routes(app: App) -> APIRouter:
    """Every route of the API."""
    router = APIRouter()
    for part in (generate, extras, interrogate, progress, options, listings, machine, unserved, own):
        router.include_router(part.routes(app), responses=REFUSALS, max_body_size=LARGEST_BODY)
    router.include_router(history.routes(app, "/api/v1/history", documented=True), responses=REFUSALS)
    router.include_router(manual.routes())
    router.include_router(unserved.nowhere(tuple(router.routes)))
    return router
