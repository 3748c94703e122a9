"""Hashes of model files, kept in the database by path, time of change and size."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from webui.base.errors import Interrupted, ModelError, StorageError
from webui.base.priority import give_way
from webui.base.text import named
from webui.catalog.database import Database
from webui.catalog.files import folder_files, stamp_of
from webui.catalog.headers import header_length

log = logging.getLogger(__name__)

Kind = Literal["sha256", "legacy", "contents", "summary", "fault"]
"""The last two are no hashes, but kept like ones: what matters of a header, and what is wrong with it, as JSON."""
HashKind = Literal["sha256", "contents"]
BACKGROUND: tuple[HashKind, ...] = ("contents", "sha256")
"""Those that are computed in the background."""
Stamp = tuple[int, int]
"""(mtime in ns, size in bytes)"""

CHUNK = 2**20
LEGACY_OFFSET, LEGACY_LENGTH = 0x100000, 0x10000


class Hashes:
    """Hashes of files: `sha256` of the whole, `contents` of a safetensors file without its header, `legacy`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sha256(self, path: Path, stop: threading.Event | None = None) -> str:
        """64 hex digits; computed when they are not known.

        Raises:
            StorageError: the file cannot be read.
            Interrupted: `stop` was set meanwhile.
        """
        return self._kept(path, "sha256", stop)

    def contents(self, path: Path, stop: threading.Event | None = None) -> str:
        """sha256 of a safetensors file's tensors: the hash by which LoRAs are known, whatever their metadata."""
        return self._kept(path, "contents", stop)

    def legacy(self, path: Path) -> str:
        """A1111: the 8 hex digits that old infotexts have as "Model hash"."""
        return self._kept(path, "legacy", None)

    def cached(self, path: Path, stamp: Stamp | None = None, kind: Kind = "sha256") -> str | None:
        """What is known already; never reads the file itself."""
        try:
            stamp = stamp or stamp_of(path)
        except OSError:
            return None
        rows = self._database.read(
            "SELECT value FROM hashes WHERE path = ? AND kind = ? AND mtime_ns = ? AND size = ?",
            named(path),
            kind,
            *stamp,
        )
        return str(rows[0]["value"]) if rows else None

    def all_cached(self, kind: Kind = "sha256") -> dict[tuple[str, Stamp], str]:
        """Everything that is known, by (`named` path, stamp)."""
        rows = self._database.read("SELECT path, mtime_ns, size, value FROM hashes WHERE kind = ?", kind)
        return {(row["path"], (row["mtime_ns"], row["size"])): row["value"] for row in rows}

    def remember(self, kind: Kind, values: Mapping[tuple[Path, Stamp], str]) -> None:
        """Keep these, all at once."""
        if values:
            with self._database.writing() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO hashes (path, kind, mtime_ns, size, value) VALUES (?, ?, ?, ?, ?)",
                    [(named(path), kind, *stamp, value) for (path, stamp), value in values.items()],
                )

    def _kept(self, path: Path, kind: Kind, stop: threading.Event | None) -> str:
        try:
            stamp = stamp_of(path)
            if known := self.cached(path, stamp, kind):
                return known
            value = _computed(path, kind, stop)
            changed = stamp_of(path) != stamp
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error
        if not changed:
            self._database.write(
                "INSERT OR REPLACE INTO hashes (path, kind, mtime_ns, size, value) VALUES (?, ?, ?, ?, ?)",
                named(path),
                kind,
                *stamp,
                value,
            )
        return value


class BackgroundHashing:
    """A thread that computes hashes of files one after the other, giving way to everything else.

    `hashed(path)` is called, in that thread, after each file whose sha256 was computed.
    """

    def __init__(self, hashes: Hashes, hashed: Callable[[Path], None]) -> None:
        self._hashes = hashes
        self._hashed = hashed
        self._waiting: dict[tuple[Path, HashKind], None] = {}
        self._change = threading.Condition()
        self._stop = threading.Event()
        self._busy = False
        self._thread: threading.Thread | None = None

    def add(self, paths: Iterable[Path], *, kind: HashKind = "sha256", first: bool = False) -> None:
        """Hash these too, in this order; `first`: before all others."""
        with self._change:
            new = dict.fromkeys((path, kind) for path in paths)
            self._waiting = {**new, **self._waiting} if first else {**self._waiting, **new}
            if self._waiting and self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._work, name="hashing", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def stop(self) -> None:
        """End the thread, within a chunk's time."""
        self._stop.set()
        with self._change:
            self._change.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def wait(self, timeout: float | None = None) -> bool:
        """Until nothing is left to do, or `timeout` seconds have passed -> whether nothing is left."""
        with self._change:
            return self._change.wait_for(lambda: not self._waiting and not self._busy, timeout)

    def _work(self) -> None:
        give_way()
        while True:
            with self._change:
                self._busy = False
                self._change.notify_all()
                self._change.wait_for(lambda: bool(self._waiting) or self._stop.is_set())
                if self._stop.is_set():
                    return
                path, kind = next(iter(self._waiting))
                del self._waiting[path, kind]
                self._busy = True
            try:
                if kind == "contents":
                    self._hashes.contents(path, self._stop)
                    continue
                self._hashes.sha256(path, self._stop)
            except Interrupted:
                continue
            except (StorageError, ModelError) as error:
                log.warning("No hash of %s: %s", path, error)
                continue
            self._hashed(path)


def _computed(path: Path, kind: Kind, stop: threading.Event | None) -> str:
    digest = hashlib.sha256()
    if path.is_dir():
        # As `sha256sum` lists the files of a folder, in the order of their names.
        for part in sorted(folder_files(path), key=lambda part: part.name):
            digest.update(f"{_computed(part.path, 'sha256', stop)}  {part.name}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        if kind == "legacy":
            file.seek(LEGACY_OFFSET)
            digest.update(file.read(LEGACY_LENGTH))
            return digest.hexdigest()[:8]
        if kind == "contents":
            file.seek(8 + header_length(file))
        while chunk := file.read(CHUNK):
            if stop is not None and stop.is_set():
                raise Interrupted(f"Hashing {path} was stopped.")
            digest.update(chunk)
    return digest.hexdigest()
