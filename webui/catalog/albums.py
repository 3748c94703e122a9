"""Albums: named sets of pictures. A picture may be in several; deleting an album deletes no picture."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from webui.base.errors import NotFound, UserError
from webui.catalog.database import Database

LONGEST_NAME = 100
MOST_ALBUMS = 1000
"""Of one person."""


@dataclass(frozen=True)
class Album:
    """A named set of pictures."""

    id: int
    name: str
    count: int
    """Pictures in it that are still there."""
    cover: str
    """The id of the one that was added last; "": none."""


class Albums:
    """The albums of an installation. `owner` is whose album is meant; any thread may call any method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, owner: str) -> tuple[Album, ...]:
        """By name."""
        rows = self._database.read(
            "SELECT albums.id, albums.name, count(pictures.id),"
            " coalesce((SELECT picture FROM album_pictures JOIN pictures ON pictures.id = picture"
            " WHERE album = albums.id ORDER BY added DESC, number DESC LIMIT 1), '')"
            " FROM albums LEFT JOIN album_pictures ON album = albums.id LEFT JOIN pictures ON pictures.id = picture"
            " WHERE albums.owner = ? GROUP BY albums.id ORDER BY albums.name COLLATE NOCASE",
            owner,
        )
        return tuple(Album(*row) for row in rows)

    def create(self, owner: str, name: str) -> int:
        """-> its id

        Raises:
            UserError: the name is empty, or taken, or there are too many albums.
        """
        name = _clean(name)
        with self._database.writing() as connection:
            if len(self.all(owner)) >= MOST_ALBUMS:
                raise UserError(f"There are {MOST_ALBUMS} albums already.", field="name")
            with _unique(name):
                made = connection.execute(
                    "INSERT INTO albums (owner, name, created) VALUES (?, ?, ?)", (owner, name, time.time())
                )
            return int(made.lastrowid or 0)

    def rename(self, owner: str, album: int, name: str) -> None:
        """
        Raises:
            NotFound: there is no such album.
            UserError: the name is empty or taken.
        """
        name = _clean(name)
        with self._database.writing() as connection:
            self._check(owner, album)
            with _unique(name):
                connection.execute("UPDATE albums SET name = ? WHERE id = ?", (name, album))

    def delete(self, owner: str, album: int) -> None:
        """Its pictures stay. Raises NotFound."""
        with self._database.writing() as connection:
            self._check(owner, album)
            connection.execute("DELETE FROM albums WHERE id = ?", (album,))

    def add(self, owner: str, album: int, pictures: Sequence[str], viewer: str | None = None) -> int:
        """Put these into it, of which those that `viewer` may not see (None: sees all) stay out -> how many are new.

        Raises:
            NotFound: there is no such album.
        """
        added = 0
        with self._database.writing() as connection:
            self._check(owner, album)
            for picture in pictures:
                added += connection.execute(
                    "INSERT OR IGNORE INTO album_pictures (album, picture, added)"
                    " SELECT ?, id, ? FROM pictures WHERE id = ? AND (? IS NULL OR owner = ?)",
                    (album, time.time(), picture, viewer, viewer),
                ).rowcount
        return added

    def remove(self, owner: str, album: int, pictures: Sequence[str]) -> int:
        """Take these out of it -> how many were in it. Raises NotFound."""
        with self._database.writing() as connection:
            self._check(owner, album)
            rows = [(album, picture) for picture in pictures]
            return connection.executemany("DELETE FROM album_pictures WHERE album = ? AND picture = ?", rows).rowcount

    def _check(self, owner: str, album: int) -> None:
        if not self._database.read("SELECT 1 FROM albums WHERE id = ? AND owner = ?", album, owner):
            raise NotFound(f"There is no album {album}.")


def _clean(name: str) -> str:
    name = " ".join(name.split())[:LONGEST_NAME]
    if not name:
        raise UserError("An album needs a name.", field="name")
    return name


@contextmanager
def _unique(name: str) -> Iterator[None]:
    """Says that a name is taken. Raises UserError."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise UserError(f"There is an album {name!r} already.", field="name") from error
