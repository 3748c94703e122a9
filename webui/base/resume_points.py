"""Where a long job can go on after whatever ended it: whole files in a folder of its own.

A file's name holds its number and the hash of its bytes, so that a broken one is known as such, and the newest whole
one is found without any other record.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from webui.base.files import replace, settled, storage_error

KEPT = 2
"""The newest one, and one to fall back on should that be broken."""
_NAME = re.compile(r"(\d{8,})-([0-9a-f]{64})\.point")
_UNFINISHED = ".unfinished"


class ResumePoints:
    """Those in one folder. One process at a time saves there."""

    def __init__(self, folder: Path) -> None:
        """The folder is made by the first `save`."""
        self.folder = folder

    def of(self, part: str) -> ResumePoints:
        """Those of one part of the work, which is done by itself; part: a file name."""
        return ResumePoints(self.folder / part)

    def forget(self) -> None:
        """None of them is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, write: Callable[[Path], None]) -> str:
        """Keep a new one, and forget those older than the last -> its name. `write` makes the file.

        Raises:
            StorageError: the disk is full, or the folder cannot be written to.
        """
        unfinished = self.folder / _UNFINISHED
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished.unlink(missing_ok=True)
            write(unfinished)
            settled(unfinished)
            name = f"{self.number + 1:08d}-{_digest(unfinished)}.point"
            replace(unfinished, self.folder / name)
            settled(self.folder)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        for older in self._names()[KEPT:]:
            self._drop(older)
        return name

    @property
    def newest(self) -> Path | None:
        """The newest whole one; broken ones that are newer are removed."""
        for name in self._names():
            path = self.folder / name
            with contextlib.suppress(OSError):
                if _digest(path) == name.partition("-")[2].removesuffix(".point"):
                    return path
            self._drop(name)
        return None

    @property
    def number(self) -> int:
        """Of the newest one, whole or not; 0: there is none. It grows by one with each that is saved."""
        return next((int(name.partition("-")[0]) for name in self._names()), 0)

    @property
    def reached(self) -> int:
        """Like `number`, with those of all parts."""
        try:
            parts = [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError:
            parts = []
        return self.number + sum(ResumePoints(part).number for part in parts)

    def _names(self) -> list[str]:
        """The newest first."""
        try:
            found = [path.name for path in self.folder.iterdir()]
        except OSError:
            return []
        return sorted((name for name in found if _NAME.fullmatch(name)), key=lambda n: -int(n.partition("-")[0]))

    def _drop(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / name).unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
