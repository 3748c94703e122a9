"""JSON is read as JSON, whatever a program calls it.

Many send it without a Content-Type, or with that of plain text, of bytes or of a form, which their library chose, or by
another name that JSON once had. A browser sends most of them without asking first; that is why the gate refuses pages
of other sites by where they come from, and not by the type of what they send.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

BELOW = ("/sdapi/", "/api/", "/internal/")
"""Where bodies are JSON and nothing else."""
JSON = b"application/json"
HEADER = b"content-type"


class JsonByAnyName:
    """Around an ASGI application: bodies below `BELOW` come in as JSON.

    It stands before whatever looks into bodies, which passes over those of files by their type.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")).startswith(BELOW):
            said = dict(scope["headers"]).get(HEADER, b"")
            if said.partition(b";")[0].strip().lower() != JSON:
                others = [(name, value) for name, value in scope["headers"] if name != HEADER]
                scope = {**scope, "headers": [*others, (HEADER, JSON)]}
        await self._inner(scope, receive, send)
