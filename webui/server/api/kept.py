"""Long lists as the packed JSON that was sent last, as long as what they were made of stays the same."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable

from fastapi import Request, Response

COMPRESSION = 2
"""Of 9."""
LARGEST = 32 * 2**20
"""Bytes, packed. A longer list is made anew each time, rather than kept in memory."""


class KeptAnswer:
    """One list. Safe to use from several threads; of several callers at once, one makes it and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: object = None
        self._packed = b""

    def answer(self, request: Request, made_of: object, make: Callable[[], object]) -> Response:
        """`make()` as JSON; it is called only if `made_of` is not equal to what the kept list was made of."""
        with self._lock:
            content = self._packed
            if not content or self._of != made_of:
                text = json.dumps(make(), ensure_ascii=False, separators=(",", ":"))
                content = gzip.compress(text.encode(), COMPRESSION)
                self._of, self._packed = (made_of, content) if len(content) <= LARGEST else (None, b"")
        headers = {"vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, media_type="application/json", headers=headers)
