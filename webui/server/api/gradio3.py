"""Routes of Gradio 3, which A1111's page is made with: programs ask them whether the server is there, and who they are.

A1111: the Krita plugin takes a server for gone that has no `/queue/status`; openOutpaint asks `/startup-events`, the
Photoshop plugin `/user`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fastapi import Request

from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


def routes(app: App) -> Routes:
    router = Routes(include_in_schema=False)
    app_id = secrets.randbits(48)

    @router.get("/queue/status", "user")
    def queue_status() -> dict[str, object]:
        """Gradio's estimate. `/sdapi/v1/progress` says how long jobs take."""
        return {
            "msg": "estimation",
            "rank": None,
            "queue_size": app.queue.waiting() + (app.queue.running is not None),
            "avg_event_process_time": None,
            "avg_event_concurrent_process_time": None,
            "rank_eta": None,
            "queue_eta": 0.0,
        }

    @router.get("/startup-events", "user")
    def startup_events() -> bool:
        """Whether this call has run them: they have run already."""
        return False

    @router.get("/app_id", "public")
    def tell_app_id() -> dict[str, int]:
        """A number that changes with each start of the server."""
        return {"app_id": app_id}

    @router.get("/login_check", "user")
    def login_check() -> None:
        """Null; 401 without a login."""

    @router.get("/user", "public")
    def user(request: Request) -> str | None:
        """The login name; null if nobody has logged in."""
        return caller_of(request.scope).name or None

    @router.get("/token", "public")
    def token(request: Request) -> dict[str, str | None]:
        """Gradio discloses its login cookie here; ours cannot be read."""
        return {"token": None, "user": user(request)}

    @router.get("/info", "user")
    def info() -> dict[str, object]:
        """The page's events that form an API: none. `/docs` documents the API."""
        return {"named_endpoints": {}, "unnamed_endpoints": {}}

    return router
