"""A tab and routes."""

from __future__ import annotations

from typing import Any

import gradio as gr
from fastapi import APIRouter, Request

from webui.request.jobs import request_class
from webui.server.guard import caller_of
from webui.server.routes import Routes


def tab(_app: Any) -> None:
    """Fails halfway."""
    with gr.Row():
        gr.Markdown("Half of a tab")
        raise KeyError("the sky has fallen")


def listed(_app: Any) -> Any:
    """A route in words."""
    return "GET /broken/listed"


def scopeless(_app: Any) -> Any:
    """A route that does not say who may call it."""
    made = Routes(prefix="/broken")
    other = APIRouter()
    other.add_api_route("/open", lambda: "open")
    made.router.include_router(other)
    return made


def ours(_app: Any) -> Routes:
    """A route of the program's own."""
    made = Routes()
    made.get("/api/v1/queue", "public")(lambda: "mine")
    return made


def called(app: Any) -> Routes:
    """A route that fails when it is called, and one that submits jobs."""
    made = Routes(prefix="/broken")

    @made.get("/called", "user")
    def call() -> str:
        raise KeyError("the sky has fallen")

    @made.post("/submit", "user")
    def submit(kind: str, request: Request, how: str = "") -> dict[str, str]:
        wanted = request_class(kind)(**({"how": how} if how else {}))
        return {"id": app.queue.submit(wanted, caller_of(request.scope).owner)}

    return made
