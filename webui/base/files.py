"""Writing files so that a reader sees the old content or the new, never a half."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from webui.base.errors import StorageError

PRIVATE, PUBLIC = 0o600, 0o666
"""Rights of a new file, before the umask takes its part."""


def _numbers(*names: str) -> frozenset[int]:
    """Those of these errors that this system knows."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


UNKNOWN_CALL = _numbers("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")
"""What file systems answer that cannot do what was asked."""
FULL = _numbers("ENOSPC", "EDQUOT")
REFUSED = _numbers("EACCES", "EPERM")
GONE = _numbers("ENOENT", "ENOTDIR", "ENODEV", "ENXIO", "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN")
"""What is answered when a drive has vanished."""


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path` through a temporary file in the same folder; folders are made as needed.

    A new file has the rights that the umask leaves, or is its owner's alone when it is `private`; one that was there
    keeps its own, as far as the file system knows rights.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    _write(path, content, replace, PRIVATE if private else _rights_of(path))


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
        _write(path, content, _move_to_new, None)
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


def _write(path: Path, content: bytes, move: Callable[[str, Path], None], rights: int | None) -> None:
    try:
        _make_folder(path.parent)
        handle, name = _temporary(path, PUBLIC if rights is None else rights)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                _settle(file.fileno())
            if rights is not None:
                # exFAT, NTFS and network drives know no rights: those that they show are the drive's own.
                with contextlib.suppress(OSError):
                    os.chmod(name, rights)
            move(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise storage_error(path, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # A file stands in its place; the target's own name is not taken.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _temporary(path: Path, rights: int) -> tuple[int, str]:
    """A new hidden file beside `path` -> (its handle, its name)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    name = str(path.parent / f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    return os.open(name, flags, rights), name


def _rights_of(path: Path) -> int | None:
    """The rights of a file that is there."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return None


def _settle(handle: int) -> None:
    """The content is on the disk, not only on its way, where the file system can promise that."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNKNOWN_CALL:
            raise


def settled(path: Path) -> None:
    """What was written to a file, or the names in a folder, are on the disk, where the system can promise that.

    Raises:
        OSError: it cannot be done.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        _settle(handle)
    finally:
        os.close(handle)


def storage_error(path: Path, error: OSError) -> StorageError:
    """What to say when `path` cannot be written."""
    if error.errno in FULL:
        hint = "Free some space on its disk."
    elif error.errno == errno.EROFS:
        hint = "Its disk is read-only: choose another folder, or mount the disk for writing."
    elif error.errno in REFUSED:
        hint = "Check the permissions of its folder."
    elif error.errno in GONE:
        hint = "Its folder cannot be reached; is its drive connected?"
    else:
        hint = "Check its disk, and the permissions of its folder."
    return StorageError(f"{path} cannot be written: {error.strerror or error}.", hint=hint)
