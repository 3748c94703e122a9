"""The trash: deleted pictures, which can be brought back until they are destroyed.

A file is moved into a folder `.trash` on its own disk; the row that the history had of it waits in the table `trash`.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import NotFound, StorageError
from webui.base.files import storage_error
from webui.base.paths import Paths
from webui.base.text import named, path_named
from webui.catalog.database import Database
from webui.catalog.picture_words import note_words
from webui.catalog.pictures import Pictures

log = logging.getLogger(__name__)

FOLDER = ".trash"
"""Wherever it lies, no picture in it comes into the history."""
TRIES = 1000


@dataclass(frozen=True)
class TrashedPicture:
    """A deleted picture."""

    id: str
    since: float
    """Seconds since 1970: when it was deleted."""
    path: str
    """Where its file is now."""
    was: str
    """Where it was."""
    prompt: str
    width: int
    height: int


class Trash:
    """The deleted pictures of an installation. `owner` is whose are meant; None: everybody's."""

    def __init__(self, database: Database, pictures: Pictures, paths: Paths) -> None:
        self._database = database
        self._pictures = pictures
        self._paths = paths

    def put(self, picture_id: str, *, owner: str | None = None) -> str:
        """Delete a picture, with the text beside it that says the same -> the id of its job.

        A picture whose file is gone already is only forgotten.

        Raises:
            NotFound: there is no such picture, or it is somebody else's.
            StorageError: the file cannot be moved.
        """
        row = self._row(picture_id, owner)
        path = path_named(row["path"])
        if not path.is_file():
            self._pictures.forget(picture_id)
            return str(row["job_id"])
        try:
            for folder in self._folders(path):
                kept = folder / f"{picture_id}{path.suffix}"
                self._note(row, kept)
                if _moved(path, kept, row["infotext"]):
                    break
            else:
                raise StorageError(f"{path} cannot be moved to the trash: no folder on its disk takes it.")
        except OSError as error:
            self._database.write("DELETE FROM trash WHERE id = ?", picture_id)
            raise StorageError(
                f"{path} cannot be moved to the trash: {error.strerror or error}.",
                hint="Another program may be using it. Or delete it permanently.",
            ) from error
        self._database.write("DELETE FROM pictures WHERE id = ?", picture_id)
        return str(row["job_id"])

    def listed(self, owner: str | None = None, limit: int = 500) -> tuple[TrashedPicture, ...]:
        """What was deleted last comes first."""
        rows = self._database.read(
            "SELECT id, since, path, picture FROM trash WHERE (? IS NULL OR owner = ?) ORDER BY since DESC LIMIT ?",
            owner,
            owner,
            limit,
        )
        return tuple(_trashed(row) for row in rows)

    def thumbnail(self, picture_id: str, owner: str | None = None) -> bytes:
        """A WebP of at most 256 pixels a side.

        Raises:
            NotFound: there is no such picture in the trash, or its file is gone.
            UserError: the file is broken.
        """
        path = path_named(self._get(picture_id, owner).path)

        def content() -> bytes:
            try:
                return path.read_bytes()
            except OSError as error:
                raise NotFound(f"The file {path} is gone: {error.strerror or error}.") from error

        return self._pictures.thumbnails.get(picture_id, content)

    def restore(self, picture_id: str, owner: str | None = None) -> str:
        """Bring a picture back, to where it was, or beside what is there now -> the id of its job.

        Raises:
            NotFound: it is not in the trash, or its file is gone.
            StorageError: the file cannot be moved.
        """
        found = self._get(picture_id, owner)
        kept = path_named(found.path)
        if not kept.is_file():
            self._database.write("DELETE FROM trash WHERE id = ?", picture_id)
            raise NotFound(f"The file {kept} is gone.")
        rows = self._database.read("SELECT picture FROM trash WHERE id = ?", picture_id)
        columns: dict[str, object] = json.loads(rows[0]["picture"])
        try:
            there = _free(path_named(found.was))
            there.parent.mkdir(parents=True, exist_ok=True)
            with self._database.writing() as connection:
                _insert(connection, {**columns, "path": named(there)})
                connection.execute("DELETE FROM trash WHERE id = ?", (picture_id,))
                kept.rename(there)
        except OSError as error:
            raise storage_error(path_named(found.was), error) from error
        with suppress(OSError):
            kept.with_suffix(".txt").rename(there.with_suffix(".txt"))
        return str(columns.get("job_id", ""))

    def destroy(self, picture_id: str, owner: str | None = None) -> None:
        """Delete a picture of the trash for good.

        Raises:
            NotFound: it is not in the trash.
            StorageError: the file cannot be deleted.
        """
        kept = path_named(self._get(picture_id, owner).path)
        try:
            kept.unlink(missing_ok=True)
            kept.with_suffix(".txt").unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(kept, error) from error
        with suppress(OSError):
            kept.parent.rmdir()  # Once it is empty.
        with self._database.writing() as connection:
            connection.execute("DELETE FROM trash WHERE id = ?", (picture_id,))
            connection.execute("DELETE FROM album_pictures WHERE picture = ?", (picture_id,))
        self._pictures.extras.forget(picture_id)
        self._pictures.thumbnails.forget(picture_id)

    def empty(self, owner: str | None = None, before: float | None = None) -> tuple[int, list[str]]:
        """Destroy everything, or what was deleted before a time -> how much, and what could not be.

        Raises:
            StorageError: the database cannot be used.
        """
        rows = self._database.read(
            "SELECT id FROM trash WHERE (? IS NULL OR owner = ?) AND (? IS NULL OR since < ?)",
            owner,
            owner,
            before,
            before,
        )
        gone, kept = 0, []
        for row in rows:
            try:
                self.destroy(str(row[0]))
                gone += 1
            except StorageError as error:
                kept.append(str(error))
        return gone, kept

    def mend(self) -> None:
        """At start: what was being deleted when the program was killed is in the trash now, or not deleted."""
        rows = self._database.read("SELECT trash.id, trash.path FROM trash JOIN pictures ON pictures.id = trash.id")
        for row in rows:
            table = "pictures" if path_named(row["path"]).is_file() else "trash"
            self._database.write(f"DELETE FROM {table} WHERE id = ?", row["id"])

    def _row(self, picture_id: str, owner: str | None) -> sqlite3.Row:
        rows = self._database.read("SELECT * FROM pictures WHERE id = ?", picture_id)
        if not rows or (owner is not None and rows[0]["owner"] != owner):
            raise NotFound(f"{'There is' if owner is None else 'You have'} no picture {picture_id[:40]!r}.")
        return rows[0]

    def _get(self, picture_id: str, owner: str | None) -> TrashedPicture:
        rows = self._database.read("SELECT id, owner, since, path, picture FROM trash WHERE id = ?", picture_id)
        if not rows or (owner is not None and rows[0]["owner"] != owner):
            raise NotFound(f"There is no picture {picture_id[:40]!r} in the trash.")
        return _trashed(rows[0])

    def _folders(self, path: Path) -> tuple[Path, ...]:
        """Where its file may go: of all outputs together, or beside it, which is on its disk for certain."""
        beside = path.parent / FOLDER
        return (self._paths.outputs / FOLDER, beside) if path.is_relative_to(self._paths.outputs) else (beside,)

    def _note(self, row: sqlite3.Row, kept: Path) -> None:
        """First of all, so that a picture is never lost between the two tables."""
        self._database.write(
            "INSERT OR REPLACE INTO trash (id, owner, since, path, picture) VALUES (?, ?, ?, ?, ?)",
            row["id"],
            row["owner"],
            time.time(),
            named(kept),
            json.dumps(dict(row)),
        )


def _moved(path: Path, kept: Path, infotext: str) -> bool:
    """Move a file, and the text beside it that says the same -> False: not onto that disk. Raises OSError."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(kept)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    beside = path.with_suffix(".txt")
    with suppress(OSError):
        if beside.is_file() and beside.read_text("utf-8", errors="replace").strip() == infotext.strip() != "":
            beside.replace(kept.with_suffix(".txt"))
    return True


def _free(path: Path) -> Path:
    """This path, or one like it that nothing has. Raises OSError."""
    for turn in range(TRIES):
        free = path.with_stem(f"{path.stem}-{turn}") if turn else path
        if not os.path.lexists(free):
            return free
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _insert(connection: sqlite3.Connection, columns: dict[str, object]) -> None:
    """Write a row of the history that was there before, at its place, or right before what has taken it."""
    known = {str(row[1]) for row in connection.execute("PRAGMA table_info(pictures)")}
    row = {name: value for name, value in columns.items() if name in known}
    number = int(str(row["number"]))
    while connection.execute("SELECT 1 FROM pictures WHERE number = ?", (number,)).fetchone():
        number += 1
    row["number"] = number
    connection.execute(
        f"INSERT INTO pictures ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
    )
    note_words(connection, [str(row.get("prompt", "")), str(row.get("tags", ""))])


def _trashed(row: sqlite3.Row) -> TrashedPicture:
    was = json.loads(row["picture"])
    return TrashedPicture(row["id"], row["since"], row["path"], was["path"], was["prompt"], was["width"], was["height"])
