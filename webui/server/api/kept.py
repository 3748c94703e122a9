"""Long lists as the JSON that was sent last, as long as what they were made of stays the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from fastapi import Response

LARGEST = 64 * 2**20
"""Bytes. A longer list is made anew each time, rather than kept in memory."""


class KeptAnswer:
    """One list. Safe to use from several threads; of several callers at once, one makes it and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: object = None
        self._content = b""

    def answer(self, made_of: object, make: Callable[[], Any]) -> Response:
        """`make()` as JSON; it is called only if `made_of` is not equal to what the kept list was made of."""
        with self._lock:
            content = self._content
            if not content or self._of != made_of:
                content = json.dumps(make(), ensure_ascii=False, separators=(",", ":")).encode()
                self._of, self._content = (made_of, content) if len(content) <= LARGEST else (None, b"")
        return Response(content, media_type="application/json")
