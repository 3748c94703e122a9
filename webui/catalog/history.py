"""The history: every picture that is known, searched, filtered, judged, deleted. Paged by the picture's number."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, fields
from pathlib import Path

from send2trash import TrashPermissionError, send2trash  # type: ignore[import-untyped]

from webui.base.errors import NotFound, StorageError
from webui.base.text import path_named
from webui.catalog.database import Database
from webui.catalog.picture_words import beginning, note_words
from webui.catalog.pictures import Pictures, SavedPicture

MOST_A_PAGE = 500
MOST_TAGS = 50
LONGEST_TAG = 60
_WITHOUT_SPACES = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Letters of languages that put no spaces between words."""
_PIECE = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class HistoryPicture(SavedPicture):
    """A picture with what people think of it."""

    number: int = 0
    """Nanoseconds since 1970, made unique: its place in the history."""
    prompt: str = ""
    rating: int = 0
    """Stars, 1 to 5; 0: not rated."""
    favourite: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which pictures to list; what is empty does not matter."""

    text: str = ""
    """Words of the prompt or the tags, each as it begins; in double quotes, a phrase."""
    model: str = ""
    sampler: str = ""
    kind: str = ""
    since: float | None = None
    """Seconds since 1970, like `until`, which is excluded."""
    until: float | None = None
    rating: int = 0
    """At least so many stars."""
    favourite: bool = False
    parent: str = ""
    """Made of the picture with this id."""


_COLUMNS = ", ".join(f"pictures.{column.name}" for column in fields(HistoryPicture))


class History:
    """The pictures of an installation as a person looks through them. Any thread may call any method.

    `owner` is whose pictures are meant; None: everybody's.
    """

    def __init__(self, database: Database, pictures: Pictures) -> None:
        self._database = database
        self._pictures = pictures

    def page(
        self, wanted: Wanted, *, owner: str | None = None, before: int | None = None, limit: int = 60
    ) -> tuple[HistoryPicture, ...]:
        """The newest pictures that are wanted, older than the one with the number `before`."""
        source, conditions, values = self._found_by_text(wanted.text)
        since = None if wanted.since is None else int(wanted.since * 1_000_000) * 1000
        until = None if wanted.until is None else int(wanted.until * 1_000_000) * 1000
        ends = [end for end in (before, until) if end is not None]
        # Compared at the source itself, so that the search for words begins there too.
        number = "picture_words.rowid" if source.startswith("picture_words") else "pictures.number"
        for condition, value in (
            (f"{number} < ?", min(ends) if ends else None),
            (f"{number} >= ?", since),
            ("pictures.owner = ?", owner),
            ("pictures.model = ?", wanted.model or None),
            ("pictures.sampler = ?", wanted.sampler or None),
            ("pictures.kind = ?", wanted.kind or None),
            ("pictures.rating >= ?", wanted.rating or None),
            ("pictures.favourite = ?", 1 if wanted.favourite else None),
            ("pictures.parent = ?", wanted.parent or None),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM {source} {where} ORDER BY {number} DESC LIMIT ?",
            *values,
            max(1, min(limit, MOST_A_PAGE)),
        )
        return tuple(_picture(row) for row in rows)

    def get(self, picture_id: str, owner: str | None = None) -> HistoryPicture:
        """
        Raises:
            NotFound: there is no such picture, or it is somebody else's.
        """
        rows = self._database.read(f"SELECT {_COLUMNS} FROM pictures WHERE id = ?", picture_id)
        if not rows or (owner is not None and rows[0]["owner"] != owner):
            raise NotFound(f"{'There is' if owner is None else 'You have'} no picture {picture_id[:40]!r}.")
        return _picture(rows[0])

    def judge(
        self,
        picture_id: str,
        *,
        owner: str | None = None,
        rating: int | None = None,
        favourite: bool | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> HistoryPicture:
        """Say what one thinks of a picture; None leaves a thing as it is.

        Raises:
            NotFound: there is no such picture, or it is somebody else's.
        """
        with self._database.writing() as connection:
            self.get(picture_id, owner)
            changes: dict[str, object] = {}
            if rating is not None:
                changes["rating"] = rating
            if favourite is not None:
                changes["favourite"] = int(favourite)
            if tags is not None:
                changes["tags"] = _joined(tags)
                note_words(connection, tags)
            for column, value in changes.items():
                connection.execute(f"UPDATE pictures SET {column} = ? WHERE id = ?", (value, picture_id))
        return self.get(picture_id, owner)

    def delete(self, picture_id: str, *, owner: str | None = None, for_good: bool = False) -> HistoryPicture:
        """Put the file, and the text beside it, into the system's bin, and forget the picture; -> what it was.

        `for_good`: without the bin. A picture whose file is gone already is only forgotten.

        Raises:
            NotFound: there is no such picture, or it is somebody else's.
            StorageError: the file cannot be deleted, or there is no bin on its disk.
        """
        picture = self.get(picture_id, owner)
        path = path_named(picture.path)
        if path.is_file():
            _remove(path, for_good)
            beside = path.with_suffix(".txt")
            if _says(beside, picture.infotext):
                _remove(beside, for_good)
        self._pictures.forget(picture_id)
        return picture

    def choices(self, owner: str | None = None) -> dict[str, list[str]]:
        """The models, samplers and kinds that occur, for the filters."""
        return {column: self._occurring(column, owner) for column in ("model", "sampler", "kind")}

    def _found_by_text(self, text: str) -> tuple[str, list[str], list[object]]:
        """(what to select from, conditions, their values)"""
        text = text.strip()
        if _WITHOUT_SPACES.search(text):
            parts = text.split()
            return "pictures", ["instr(pictures.prompt || ' ' || pictures.tags, ?) > 0"] * len(parts), list(parts)
        query = self._query(text)
        if query:
            joined = "picture_words CROSS JOIN pictures ON pictures.number = picture_words.rowid"
            return joined, ["picture_words MATCH ?"], [query]
        # Only signs, no word: nothing has them.
        return ("pictures", ["0"], []) if text else ("pictures", [], [])

    def _query(self, text: str) -> str:
        """In the language of FTS5: every word as it begins, every phrase in double quotes as it stands."""
        parts = []
        for phrase, word in _PIECE.findall(text):
            words = re.findall(r"\w+", phrase or word)
            if words:
                together = " ".join(words)
                parts.append(f'"{together}"' if phrase else beginning(together, self._database))
        return " AND ".join(parts)

    def _occurring(self, column: str, owner: str | None) -> list[str]:
        rows = self._database.read(
            f"SELECT {column} FROM pictures WHERE {column} != '' AND (? IS NULL OR owner = ?) GROUP BY {column}"
            f" ORDER BY {column} COLLATE NOCASE LIMIT 1000",
            owner,
            owner,
        )
        return [str(row[0]) for row in rows]


def _joined(tags: tuple[str, ...]) -> str:
    clean = (" ".join(tag.replace(",", " ").split())[:LONGEST_TAG] for tag in tags)
    return ", ".join(list(dict.fromkeys(tag for tag in clean if tag))[:MOST_TAGS])


def _remove(path: Path, for_good: bool) -> None:
    try:
        if for_good:
            path.unlink()
        else:
            send2trash(path)
    except TrashPermissionError as error:
        raise StorageError(
            f"{path} cannot be moved to a recycle bin: its disk has none.",
            hint="You can delete it permanently instead.",
        ) from error
    except OSError as error:
        raise StorageError(
            f"{path} cannot be deleted: {error.strerror or error}.", hint="Check the permissions of its folder."
        ) from error


def _says(path: Path, infotext: str) -> bool:
    """Whether a text file is the one that was written beside the picture."""
    try:
        return path.read_text("utf-8").strip() == infotext.strip()
    except (OSError, UnicodeDecodeError):
        return False


def _picture(row: sqlite3.Row) -> HistoryPicture:
    values = dict(zip(row.keys(), row, strict=True))
    tags = tuple(tag for tag in str(values.pop("tags")).split(", ") if tag)
    return HistoryPicture(**{**values, "favourite": bool(values["favourite"]), "tags": tags})
