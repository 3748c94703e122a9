"""Writing files so that a reader sees the old content or the new, never a half."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from webui.base.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file in the same folder; folders are made as needed.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    _write(path, content, replace)


BUSY_ON_WINDOWS = frozenset({5, 32, 33})
"""Windows' numbers for "access denied", "in use" and "locked": a virus scanner or a viewer is reading the file."""
PATIENCE = 1.0
"""Seconds."""


def replace(
    source: str | Path, target: str | Path, move: Callable[[str | Path, str | Path], None] = os.replace
) -> None:
    """Move a file over another. Where another program has that one open just now, try again for a second.

    Raises:
        OSError: it cannot be done.
    """
    last = time.monotonic() + PATIENCE
    while True:
        try:
            move(source, target)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in BUSY_ON_WINDOWS or time.monotonic() > last:
                raise
            time.sleep(0.05)


def write_new(path: Path, content: bytes) -> bool:
    """Like `write_atomically`, but never over another file -> False where one of that name is there already.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    try:
        _write(path, content, _move_to_new)
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError):
            return False
        raise
    return True


def _move_to_new(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links (exFAT, some network drives): whoever makes the name has it.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            replace(source, target)
        except OSError:
            target.unlink()
            raise
    else:
        Path(source).unlink()


def _write(path: Path, content: bytes, move: Callable[[str, Path], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            move(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Free some space, or check the permissions of its folder.",
        ) from error
