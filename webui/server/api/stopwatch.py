"""How long each call took: a header of the answer, and a line of the log where `--api-log` asks for it."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOGGED = ("/sdapi/", "/api/")
"""Addresses that `--api-log` is about."""


class CallTimer:
    """Around an ASGI application: answers say in `X-Process-Time` after how many seconds they began."""

    def __init__(self, inner: ASGIApp, *, logged: bool) -> None:
        self._inner = inner
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                header = (b"x-process-time", f"{seconds:.4f}".encode())
                message = {**message, "headers": [*message.get("headers", []), header]}
                if self._logged and scope["path"].startswith(LOGGED):
                    caller = scope["client"][0] if scope.get("client") else "-"
                    log.info("%s %s %s %d %.4f", caller, scope["method"], scope["path"], message["status"], seconds)
            await send(message)

        await self._inner(scope, receive, timed)
