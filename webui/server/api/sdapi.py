"""All of `/sdapi/v1`, our own `/api/v1`, and the few `/internal` routes of A1111 that clients use.

Jobs, pictures and the history are one router, mounted twice: below `/api/v1` for programs, below `/internal` for the
page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui.server.api import (
    controlnet,
    detailer,
    extra_networks,
    extras,
    generate,
    gradio3,
    interrogate,
    listings,
    machine,
    manual,
    options,
    own,
    problems,
    progress,
    rembg,
    tagger,
    unserved,
)
from webui.server.api.errors import LARGEST_BODY, REFUSALS
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


def routes(app: App) -> Routes:
    """Every route of the API."""
    router = Routes()
    a1111 = (generate, extras, interrogate, progress, options, listings, machine, extra_networks, unserved)
    parts = (*a1111, controlnet, detailer, rembg, tagger)
    for part in parts:
        router.include(part.routes(app), responses=REFUSALS, max_body_size=LARGEST_BODY)
    ours = own.routes(app)
    ours.include(problems.routes(app))
    router.include(ours, prefix="/api/v1", responses=REFUSALS, max_body_size=LARGEST_BODY)
    router.include(ours, prefix="/internal", include_in_schema=False, max_body_size=LARGEST_BODY)
    router.include(gradio3.routes(app))
    router.include(manual.routes())
    router.include(unserved.nowhere(tuple(router.router.routes)))
    return router
