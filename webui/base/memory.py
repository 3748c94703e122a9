"""Memory that is free is given back to the system."""

from __future__ import annotations

import ctypes
import logging
import sys

log = logging.getLogger(__name__)

LARGE = 4 * 2**20
"""Bytes. Pillow asks for a large picture in pieces of 16 MiB."""
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
