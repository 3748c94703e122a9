"""One program at a time in a folder: two servers on one database would take each other's jobs."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from pathlib import Path

from webui.base.errors import UserError
from webui.base.files import storage_error

log = logging.getLogger(__name__)

TAKEN = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})
"""How systems say that another process has the lock."""


class FolderLock:
    """Held from its making until `release`, or until the process ends, however it ends.

    Raises:
        UserError: another process holds it.
        StorageError: the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            _lock(self._file.fileno())
        except OSError as error:
            if error.errno not in TAKEN:  # a network drive without locks: better without one than not at all
                log.warning(
                    "%s cannot be locked (%s). Make sure that only one server uses this folder.",
                    path,
                    error.strerror or error,
                )
                return
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            named = f" (process {holder})" if holder.isdecimal() else ""
            raise UserError(
                f"Another server{named} is already using the folder {path.parent}.",
                hint="Stop that one, or start this one with another --data-dir.",
            ) from error
        with contextlib.suppress(OSError):  # who holds it is only for the sentence above
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()

    def release(self) -> None:
        """Let others in. The file stays: deleting it would let two in at once."""
        with contextlib.suppress(ValueError, OSError):
            self._file.close()


def _lock(number: int) -> None:
    """Raises OSError: somebody has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(number, 1 << 30, os.SEEK_SET)  # Beyond what is written, which others may read.
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
