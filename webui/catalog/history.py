"""The history: every picture that is known, searched, filtered, judged. Paged by the picture's number."""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from webui.base.errors import NotFound, StorageError
from webui.base.text import path_named
from webui.catalog.database import Database
from webui.catalog.picture_words import beginning, note_words
from webui.catalog.pictures import Pictures, SavedPicture, bytes_of

MOST_A_PAGE = 500
MOST_TAGS = 50
LONGEST_TAG = 60
_WITHOUT_SPACES = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Letters of languages that put no spaces between words."""
FACETS = ("model", "sampler", "kind", "size", "rating", "tag", "lora", "month")
DAY = 86_400_000_000_000
"""Nanoseconds."""
MOST_VALUES = 200
"""Of a facet."""
_LORA = re.compile(r"<lora:([^:<>]{1,200}):")
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
    bytes: int = -1
    """The size of its file; -1: not known."""


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
    album: int = 0
    """In the album with this id; 0: in any or none."""
    size: str = ""
    """Of this width and height: "512x768"."""
    tag: str = ""
    lora: str = ""
    """Whose prompt names it."""


@dataclass(frozen=True)
class HistoryOutline:
    """Where a long list begins, ends and passes by, so that any part of it can be fetched by itself."""

    total: int
    anchors: tuple[int, ...]
    """The numbers of the first picture, and of every `step`th after it."""
    step: int


@dataclass(frozen=True)
class Facet:
    """A value that occurs, and in how many of the pictures."""

    value: str
    count: int


@dataclass(frozen=True)
class Stored:
    """What the pictures of a checkpoint take."""

    model: str
    count: int
    bytes: int


_COLUMNS = ", ".join(f"pictures.{column.name}" for column in fields(HistoryPicture))


@dataclass(frozen=True)
class _Found:
    """A query, as far as it says which pictures."""

    sql: str
    number: str
    """The column of the picture's number."""
    values: list[object]


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
        found = self._found(wanted, owner, before)
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM {found.sql} ORDER BY {found.number} DESC LIMIT ?",
            *found.values,
            max(1, min(limit, MOST_A_PAGE)),
        )
        return tuple(_picture(row) for row in rows)

    def outline(self, wanted: Wanted, *, owner: str | None = None, step: int = 100) -> HistoryOutline:
        """How many pictures are wanted, and where each page of `step` begins."""
        found = self._found(wanted, owner)
        rows = self._database.read(
            f"SELECT {found.number} FROM {found.sql} ORDER BY {found.number} DESC", *found.values
        )
        return HistoryOutline(len(rows), tuple(int(row[0]) for row in rows[::step]), step)

    def numbered(self, numbers: Sequence[int], owner: str | None = None) -> tuple[HistoryPicture, ...]:
        """The pictures with these numbers that are there, in this order."""
        found: dict[int, HistoryPicture] = {}
        for at in range(0, len(numbers), MOST_A_PAGE):
            some = numbers[at : at + MOST_A_PAGE]
            rows = self._database.read(
                f"SELECT {_COLUMNS} FROM pictures WHERE number IN ({', '.join('?' * len(some))})"
                " AND (? IS NULL OR owner = ?)",
                *some,
                owner,
                owner,
            )
            found.update((row["number"], _picture(row)) for row in rows)
        return tuple(found[number] for number in numbers if number in found)

    def facets(self, wanted: Wanted, *, owner: str | None = None) -> dict[str, tuple[Facet, ...]]:
        """What occurs in the pictures that are wanted, the most frequent first, by the names of `FACETS`."""
        found = self._found(wanted, owner)
        rows = self._database.read(
            "SELECT pictures.model, pictures.sampler, pictures.kind, pictures.width, pictures.height, pictures.rating,"
            f" {found.number} FROM {found.sql}",
            *found.values,
        )
        if not rows:
            return dict.fromkeys(FACETS, ())
        models, samplers, kinds, widths, heights, ratings, numbers = zip(*rows, strict=True)
        counts: dict[str, Counter[str]] = {
            "model": Counter(models),
            "sampler": Counter(samplers),
            "kind": Counter(kinds),
            "size": Counter(),
            "rating": Counter(map(str, ratings)),
            "month": Counter(),
            "tag": Counter(self._named_in(found, "tags", lambda tags: tags.split(", "))),
            "lora": Counter(self._named_in(found, "prompt", lambda prompt: set(_LORA.findall(prompt)), "<lora:")),
        }
        for (width, height), count in Counter(zip(widths, heights, strict=True)).items():
            counts["size"][f"{width}x{height}"] += count
        for day, count in Counter(number // DAY for number in numbers).items():
            counts["month"][time.strftime("%Y-%m", time.gmtime(day * DAY // 1_000_000_000))] += count
        return {
            name: tuple(Facet(value, count) for value, count in each.most_common(MOST_VALUES) if value)
            for name, each in counts.items()
        }

    def storage(self, owner: str | None = None) -> tuple[Stored, ...]:
        """What the files of each checkpoint's pictures take, the most first. Looks at those whose size is not known."""
        unknown = self._database.read("SELECT id, path FROM pictures WHERE bytes < 0")
        sizes = [(max(bytes_of(row["path"]), 0), row["id"]) for row in unknown]
        for at in range(0, len(sizes), MOST_A_PAGE):
            with self._database.writing() as connection:
                connection.executemany("UPDATE pictures SET bytes = ? WHERE id = ?", sizes[at : at + MOST_A_PAGE])
        rows = self._database.read(
            "SELECT model, count(*), sum(bytes) FROM pictures WHERE (? IS NULL OR owner = ?) GROUP BY model"
            " ORDER BY sum(bytes) DESC",
            owner,
            owner,
        )
        return tuple(Stored(*row) for row in rows)

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

    def destroy(self, picture_id: str, *, owner: str | None = None) -> HistoryPicture:
        """Delete the file, and the text beside it, for good, and forget the picture; -> what it was.

        A picture whose file is gone already is only forgotten.

        Raises:
            NotFound: there is no such picture, or it is somebody else's.
            StorageError: the file cannot be deleted.
        """
        picture = self.get(picture_id, owner)
        path = path_named(picture.path)
        if path.is_file():
            _remove(path)
            beside = path.with_suffix(".txt")
            if _says(beside, picture.infotext):
                _remove(beside)
        self._pictures.forget(picture_id)
        return picture

    def choices(self, owner: str | None = None) -> dict[str, list[str]]:
        """The models, samplers and kinds that occur, for the filters."""
        return {column: self._occurring(column, owner) for column in ("model", "sampler", "kind")}

    def _found(self, wanted: Wanted, owner: str | None, before: int | None = None) -> _Found:
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
            ("pictures.id IN (SELECT picture FROM album_pictures WHERE album = ?)", wanted.album or None),
            ("pictures.width || 'x' || pictures.height = ?", wanted.size or None),
            ("instr(', ' || pictures.tags || ',', ?) > 0", f", {wanted.tag}," if wanted.tag else None),
            ("instr(pictures.prompt, ?) > 0", f"<lora:{wanted.lora}:" if wanted.lora else None),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return _Found(source + where, number, values)

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

    def _named_in(
        self, found: _Found, column: str, names: Callable[[str], Iterable[str]], mark: str = ""
    ) -> Iterator[str]:
        """What `names` finds in a column of the pictures, where it has something, and `mark` in it."""
        joint = " AND" if " WHERE " in found.sql else " WHERE"
        sql = f"SELECT pictures.{column} FROM {found.sql}{joint} pictures.{column} != ''"
        if mark:
            sql += f" AND instr(pictures.{column}, '{mark}') > 0"
        for row in self._database.read(sql, *found.values):
            yield from names(row[0])

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


def _remove(path: Path) -> None:
    try:
        path.unlink()
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
