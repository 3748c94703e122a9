"""The event stream as lines of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from webui.server.jobs.events import Hub

SILENCE = 15.0
"""Seconds after which a silent stream says that it is still there."""


async def server_sent(
    hub: Hub,
    viewer: str,
    after: int | None = None,
    silence: float = SILENCE,
    allowed: Callable[[], bool] = lambda: True,
) -> AsyncIterator[str]:
    """What `viewer` may see, from the message after number `after` on; without one, the whole state first. It ends when
    the viewer is not `allowed` to read any more."""
    reader = hub.subscribe(viewer, after)
    try:
        while True:
            try:
                message = await asyncio.wait_for(reader.next_message(), silence)
            except TimeoutError:
                message = {}
            if not allowed():
                return
            if not message:
                yield ":\n\n"
                continue
            yield f"id: {message['seq']}\nevent: {message['type']}\ndata: {json.dumps(message)}\n\n"
    finally:
        hub.unsubscribe(reader)
