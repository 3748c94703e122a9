"""How many pixels are decoded at one time: a small file can hold a picture that fills the memory, and forty come at
once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from webui.base.errors import UserError
from webui.base.memory import LEFTOVERS

MOST_PIXELS = 128 * 2**20
"""Of all pictures that are being decoded: half a gigabyte in RGBA, and as much again for what is made of them."""
UNCOUNTED = 2**20
"""Pictures up to this size do not wait: as many as there are threads fit beside the others."""
MOST_WAITING = 16
"""So many wait for their turn; the threads that they hold are those that answer everybody."""
PATIENCE = 60.0
"""Seconds for which one waits."""


class TooManyPixels(UserError):
    """The picture, or all that came with it, is more than fits into the memory."""

    code = "too_many_pixels"
    status = 413


class PixelBudget:
    """Lends pixels, first come, first served. Any thread may call any method; in one that holds some, more are free."""

    def __init__(self, pixels: int, patience: float = PATIENCE, most_waiting: int = MOST_WAITING) -> None:
        self._all, self._patience, self._most_waiting = pixels, patience, most_waiting
        self._lent = 0
        self._most_lent = 0
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()
        self._holding = threading.local()

    @property
    def most_lent(self) -> int:
        """The most pixels that were lent at one time so far."""
        return self._most_lent

    @contextmanager
    def lent(self, pixels: int) -> Iterator[None]:
        """Hold so many pixels while the block runs.

        Raises:
            TooManyPixels: there are not so many, too many others wait, or it took too long.
        """
        if pixels <= UNCOUNTED or getattr(self._holding, "some", False):
            yield
            return
        if pixels > self._all:
            raise TooManyPixels("This picture has too many pixels.", hint="Scale it down first.")
        self._take(pixels)
        self._holding.some = True
        try:
            yield
        finally:
            self._holding.some = False
            with self._changed:
                self._lent -= pixels
                self._changed.notify_all()
            LEFTOVERS.note()

    def _take(self, pixels: int) -> None:
        turn = object()
        busy = TooManyPixels("Too many large pictures are being processed at once.", hint="Try again in a minute.")
        with self._changed:
            if len(self._turns) >= self._most_waiting:
                raise busy
            self._turns.append(turn)
            try:
                mine = self._changed.wait_for(
                    lambda: self._turns[0] is turn and self._lent + pixels <= self._all, self._patience
                )
            finally:
                self._turns.remove(turn)
                self._changed.notify_all()
            if not mine:
                raise busy
            self._lent += pixels
            self._most_lent = max(self._most_lent, self._lent)


DECODING = PixelBudget(MOST_PIXELS)
"""The one of this process: its memory is one, whoever decodes."""
