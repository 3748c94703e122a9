"""The file of the model that is wanted next is read into the system's cache while another model makes pictures."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import torch

from webui.engine.memory import free_bytes

log = logging.getLogger(__name__)

BLOCK = 8 * 2**20
ROOM = 1.5
"""A file is read ahead only where this much of its size is free: it shall push nothing out."""


class Prefetcher:
    """Reads one file at a time, in a thread of its own. A model that is loaded afterwards waits for no disk."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    def begin(self, path: str) -> None:
        """Read this file ahead; what was being read before is given up."""
        self.stop()
        self._end = threading.Event()
        self._thread = threading.Thread(target=_read, args=(Path(path), self._end), name="prefetch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up what is being read, and wait for that."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wait(self) -> None:
        """Until the file is read."""
        if self._thread is not None:
            self._thread.join()


def _read(path: Path, end: threading.Event) -> None:
    try:
        if path.stat().st_size * ROOM > free_bytes(torch.device("cpu")):
            return
        with path.open("rb", buffering=0) as stream:
            while not end.is_set() and stream.read(BLOCK):
                pass
    except OSError as error:
        log.info("%s is not read ahead: %s", path.name, error.strerror or error)
