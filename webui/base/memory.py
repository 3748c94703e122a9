"""Memory that is free is given back to the system."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

LARGE = 4 * 2**20
"""Bytes. Pillow asks for a large picture in pieces of 16 MiB."""
NOTED = 2**20
"""Bytes of a request from which on it leaves something behind that is worth giving back."""
CALM = 1.0
"""Seconds after something large until what it left is given back: by then the last one has let go of it."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of mallopt(3)."""


def return_large_pieces() -> None:
    """From now on, memory that was asked for in large pieces goes back to the system as soon as it is free.

    glibc learns from the first such piece that the program wants more of them, and keeps them, apart for each thread:
    forty pictures of 256 MB, two at a time, took 3.3 GB.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").mallopt(_MMAP_THRESHOLD, LARGE)
    except (OSError, AttributeError):
        log.debug("mallopt is not there.")


def return_small_pieces() -> None:
    """Give back what is free now between the pieces that are in use, for which glibc keeps it, apart for each thread.

    Forty large pictures left a quarter of the server's memory so.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        log.debug("malloc_trim is not there.")


def collect() -> None:
    """Give back what nothing refers to any more, rings of objects too."""
    gc.collect()
    return_small_pieces()


class Leftovers:
    """Gives memory back soon after something large was there, and at most once in a while. Any thread may note it."""

    def __init__(self, give_back: Callable[[], None] = collect, calm: float = CALM) -> None:
        self._give_back, self._calm = give_back, calm
        self._lock = threading.Lock()
        self._noted = self._waiting = False

    def note(self) -> None:
        """Something large has just been let go of, or is about to be."""
        with self._lock:
            self._noted = True
            if not self._waiting:
                self._waiting = True
                self._wait()

    def _wait(self) -> None:
        timer = threading.Timer(self._calm, self._look)
        timer.daemon = True
        self._noted = False
        timer.start()

    def _look(self) -> None:
        self._give_back()
        with self._lock:
            self._waiting = self._noted
            if self._noted:  # meanwhile, so that it may have held some of it still
                self._wait()


LEFTOVERS = Leftovers()
"""Those of this process: its memory is one, whoever used it."""
