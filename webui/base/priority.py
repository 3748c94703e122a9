"""Threads that let others go first."""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger(__name__)

LOW = 15
"""Of 19, the lowest that Linux has for what nobody is to notice."""


def give_way(niceness: int = LOW) -> None:
    """Lower this thread's priority, where the system knows priorities of threads (on Linux a thread has its own)."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        except OSError as error:
            log.debug("The thread %s keeps its priority: %s", threading.current_thread().name, error)
