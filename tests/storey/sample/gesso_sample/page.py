"""A tab and a route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr
from fastapi import Request

from gesso_sample.counting.request import Counting
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


def tab(_app: App) -> None:
    """Build the tab."""
    gr.Markdown("The sample package says hello.", elem_id="sample_hello")


def routes(app: App) -> Routes:
    """Count in a job."""
    router = Routes(prefix="/sample", tags=["sample"])

    @router.post("/count", "user")
    def count(most: int, request: Request, pause: float = 0.0) -> dict[str, str]:
        """Submit a job that counts."""
        return {"id": app.queue.submit(Counting(most=most, pause=pause), caller_of(request.scope).owner)}

    return router
