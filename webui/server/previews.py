"""Waiting for a preview, as long as somebody does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from webui.base.errors import Busy
from webui.request.messages import AsideResult
from webui.server.jobs.asides import Asides, Superseded

LOOKED_AFTER = 0.5
"""Seconds between two looks at whether somebody still waits."""
PATIENCE = 60.0
"""Seconds after which none will come: an engine that starts on a slow disk takes as long."""


async def awaited(
    asides: Asides, key: str, answer: Future[AsideResult], gone: Callable[[], Awaitable[bool]]
) -> AsideResult:
    """What has come of it. `gone`: whether nobody waits any more.

    Raises:
        Superseded: something newer has been asked for, or nobody waits any more.
        UserError: it cannot be made; the text is for the person.
        Busy: it takes too long.
    """
    waiting = asyncio.wrap_future(answer)
    deadline = time.monotonic() + PATIENCE
    try:
        while not (await asyncio.wait([waiting], timeout=LOOKED_AFTER))[0]:
            if await gone():
                raise Superseded("Nobody is waiting for this preview any more.")
            if time.monotonic() > deadline:
                raise Busy("The preview took too long.", hint="The engine is busy, or does not start.")
        return waiting.result()
    finally:
        waiting.cancel()
        asides.forget(key, answer)
