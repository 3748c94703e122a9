"""Pictures that lie in the output folders and are not known yet, brought into the history in the background."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from webui.base.errors import UserError, WebuiError
from webui.base.fence import Problem, read_each
from webui.base.text import named
from webui.catalog.database import Database
from webui.catalog.image_files import infotext_of, open_picture, read_infotext, readable
from webui.catalog.pictures import SavedPicture, record
from webui.catalog.problems import Problems
from webui.catalog.trash import FOLDER as TRASH
from webui.request import infotext

log = logging.getLogger(__name__)

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".avif"))
AT_ONCE = 100
"""So many pictures are written in one transaction."""
PAUSE = 0.02
"""Seconds between transactions, so that others get their turn."""


@dataclass(frozen=True)
class Looked:
    """How far the search is."""

    running: bool = False
    seen: int = 0
    """Files looked at."""
    new: int = 0
    """Pictures that were not known."""


class FolderIndex:
    """Looks through folders, in a thread. Any thread may call any method."""

    def __init__(
        self,
        database: Database,
        is_private: Callable[[Path], bool] = lambda _: False,
        problems: Problems | None = None,
    ) -> None:
        """`is_private` tells of a file that it is never looked at."""
        self._is_private = is_private
        self._database = database
        self._problems = problems or Problems()
        self._broken: list[Problem] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked = Looked()

    @property
    def looked(self) -> Looked:
        return self._looked

    def look(self, folders: tuple[Path, ...]) -> None:
        """Begin to look through these folders and those in them, if it is not being done."""
        with self._lock:
            if self._looked.running or self._stop.is_set():
                return
            self._looked = Looked(running=True)
            thread = threading.Thread(target=self._work, args=(folders,), name="history", daemon=True)
            thread.start()
            self._thread = thread

    def wait(self, timeout: float | None = None) -> None:
        """Until the search that runs now is over."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def stop(self) -> None:
        """End the search."""
        self._stop.set()
        self.wait()

    def _work(self, folders: tuple[Path, ...]) -> None:
        try:
            self._broken = []
            for folder in _outermost(folders):
                for here, files in _folders_below(folder):
                    self._look_in(folder, here, files)
                    if self._stop.is_set():
                        return
        except WebuiError as error:
            log.warning("The search for pictures ends: %s", error)
        finally:
            self._problems.found("outputs", self._broken)
            self._looked = replace(self._looked, running=False)

    def _look_in(self, root: Path, folder: str, files: list[str]) -> None:
        """Bring in the pictures of one folder that are not known."""
        start = folder.rstrip(os.sep) + os.sep
        begin = named(start)
        rows = self._database.read(
            "SELECT path FROM pictures WHERE path >= ? AND path < ?", begin, begin[:-1] + chr(ord(os.sep) + 1)
        )
        known = {row["path"] for row in rows}
        new = [path for path in (start + name for name in sorted(files)) if named(path) not in known]
        self._looked = replace(self._looked, seen=self._looked.seen + len(files))
        for at in range(0, len(new), AT_ONCE):
            paths = [path for path in map(Path, new[at : at + AT_ONCE]) if not self._is_private(path)]
            read, broken = read_each("outputs", paths, lambda path: os.path.relpath(path, root), _read)
            found = [picture for _, picture in read]
            self._broken += broken
            with self._database.writing() as connection:
                for picture in found:
                    _record(connection, picture)
            self._looked = replace(self._looked, new=self._looked.new + len(found))
            if self._stop.wait(PAUSE):
                return


def _outermost(folders: tuple[Path, ...]) -> list[Path]:
    """The folders without those that lie in another one."""
    whole = sorted({folder.absolute() for folder in folders})
    return [folder for folder in whole if not any(other in folder.parents for other in whole)]


def _folders_below(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of the pictures in it) of a folder and all in it; links are not followed."""
    for here, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if name != TRASH)
        yield here, [name for name in files if Path(name).suffix.lower() in ENDINGS]


def _read(path: Path) -> SavedPicture:
    """What a file says of itself. Raises whatever is wrong with it."""
    # A disk may give times of other ages, which no table holds, or which would come first for ever.
    made = min(max(path.stat().st_mtime, 0.0), time.time())
    text, (width, height) = readable(lambda: _looked_at(path))
    beside = path.with_suffix(".txt")
    if not text and beside.is_file() and not beside.is_symlink():
        with suppress(WebuiError):
            text, _ = read_infotext(beside)
    labels = infotext.read(text).labels
    seed = labels.get("Seed", "")
    return SavedPicture(
        kind="img2img" if "Denoising strength" in labels and "Hires upscale" not in labels else "txt2img",
        job_id="",
        position=0,
        owner="",
        infotext=text,
        width=width,
        height=height,
        seed=int(seed) if seed.isascii() and seed.isdigit() and len(seed) < 19 else -1,
        model=labels.get("Model", ""),
        sampler=labels.get("Sampler", ""),
        created=made,
        id=secrets.token_hex(8),
        path=named(path),
    )


def _looked_at(path: Path) -> tuple[str, tuple[int, int]]:
    """(infotext, size) of a picture file; decodes no pixels."""
    with open_picture(path) as image:
        if image.width < 1 or image.height < 1:
            raise UserError("The picture has no pixels.")
        return infotext_of(image)[0], image.size


def _record(connection: sqlite3.Connection, picture: SavedPicture) -> None:
    """Unless it has been saved by a job meanwhile."""
    if not connection.execute("SELECT 1 FROM pictures WHERE path = ?", (picture.path,)).fetchone():
        record(connection, picture)
