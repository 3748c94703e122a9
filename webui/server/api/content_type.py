"""JSON is read as JSON, whatever a program calls it.

Many send it without a Content-Type, or with that of plain text or of a form, which their library chose. A browser sends
just those types without asking first; that is why the gate refuses pages of other sites by where they come from, and
not by the type of what they send.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

BELOW = ("/sdapi/", "/api/", "/internal/")
"""Where bodies are JSON and nothing else."""
MISNOMERS = frozenset({b"", b"text/plain", b"application/x-www-form-urlencoded", b"application/octet-stream"})
HEADER = b"content-type"


class JsonByAnyName:
    """Around an ASGI application: bodies below `BELOW` come in as JSON."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")).startswith(BELOW):
            said = dict(scope["headers"]).get(HEADER, b"")
            if said.partition(b";")[0].strip().lower() in MISNOMERS:
                others = [(name, value) for name, value in scope["headers"] if name != HEADER]
                scope = {**scope, "headers": [*others, (HEADER, b"application/json")]}
        await self._inner(scope, receive, send)
