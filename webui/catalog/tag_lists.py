"""Lists of tags that prompts are completed by: CSV files in `models/tags`, as a1111-tagcomplete has them.

A line is `tag,type,count,"alias,alias"`; all but the tag may be missing.
"""

from __future__ import annotations

import csv
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from webui.base.errors import UserError
from webui.base.fence import Problem, read_each
from webui.base.paths import Paths
from webui.base.text import clean, named
from webui.catalog.files import Found, find_files
from webui.catalog.problems import Problems

KIND = "tags"
LARGEST = 64_000_000
"""Bytes of a file."""
MOST_TAGS = 1_000_000
LONGEST = 200
"""Letters of a tag."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A line of a list."""

    text: str
    """As it stands in the file, mostly with underscores."""
    kind: int
    """What it is of: 0 general, 1 artist, 3 copyright, 4 character, 5 meta, by Danbooru's numbers."""
    count: int
    aliases: tuple[str, ...] = ()


class Match(NamedTuple):
    """A tag that was found."""

    tag: Tag
    alias: str = ""
    """By which it was found."""


@dataclass(frozen=True)
class _Index:
    """Tags, those that are used most first, with what they are looked up by."""

    tags: tuple[Tag, ...] = ()
    keys: tuple[str, ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()
    """(alias, place of its tag)"""
    whole: str = ""
    """All keys, and all aliases, each on a line: tells at once that there is nothing to look for."""
    whole_aliases: str = ""


def key_of(text: str) -> str:
    """What a text is looked up by."""
    return text.strip().casefold().replace(" ", "_")


class TagLists:
    """All lists as one. They are read when they are first asked for, and again when a file changes. Any thread may call
    any method."""

    def __init__(self, paths: Paths, problems: Problems | None = None) -> None:
        self._paths = paths
        self._problems = problems or Problems()
        self._lock = threading.Lock()
        self._index = _Index()
        self._stamps: tuple[tuple[Path, tuple[int, int]], ...] = ()

    def search(self, text: str, most: int) -> list[Match]:
        """The tags that begin so, then those with a word that does, then those that an alias of theirs finds, then
        those with it anywhere; of each kind the most used first."""
        index, wanted = self._current(), key_of(text)
        if not wanted or not index.tags:
            return []
        found: dict[int, str] = {}
        is_there, is_alias = wanted in index.whole, f"\n{wanted}" in index.whole_aliases
        for place, key in enumerate(index.keys if f"\n{wanted}" in index.whole else ()):
            if key.startswith(wanted):
                found[place] = ""
                if len(found) >= most:
                    break
        if len(found) < most and (is_there or is_alias):
            inner = f"_{wanted}"
            holding = [place for place, key in enumerate(index.keys if is_there else ()) if wanted in key]
            beginning = [place for place in holding if inner in index.keys[place]][:most]
            found |= {place: "" for place in beginning if place not in found}
            for alias, place in index.aliases if is_alias else ():
                if alias.startswith(wanted):
                    found.setdefault(place, alias)
            found |= {place: "" for place in holding[: 2 * most] if place not in found}
        return [Match(index.tags[place], alias) for place, alias in list(found.items())[:most]]

    def _current(self) -> _Index:
        with self._lock:
            problems: list[Problem] = []

            def tell(name: str, reason: str) -> None:
                problems.append(Problem(KIND, named(name), reason, "Repair it, or remove it."))

            files = [
                file
                for folder in self._paths.tag_lists
                for file in find_files(folder, (".csv",), deep=False, tell=tell)
                if not self._paths.is_private(file.path)
            ]
            stamps = tuple((file.path, file.stamp) for file in files)
            if stamps != self._stamps:
                read, broken = read_each(KIND, files, lambda file: file.name, _read)
                self._problems.found(KIND, [*problems, *broken])
                self._index, self._stamps = _indexed([tag for _, tags in read for tag in tags]), stamps
            return self._index


def _read(file: Found) -> list[Tag]:
    """
    Raises:
        UserError, OSError: it cannot be read, or is too large.
    """
    if file.stamp[1] > LARGEST:
        megabytes = file.stamp[1] // 1_000_000
        raise UserError(f"It has {megabytes:,} MB.", hint=f"A list may have {LARGEST // 1_000_000} MB.")
    content = file.path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    found = []
    for row in csv.reader(clean(text).split("\n")):
        if row and (tag := row[0].strip()) and len(tag) <= LONGEST and not tag.startswith("#"):
            kind, count = (_number(row[place]) if len(row) > place else 0 for place in (1, 2))
            aliases = tuple(filter(None, (each.strip() for each in row[3].split(",")))) if len(row) > 3 else ()
            found.append(Tag(tag, kind, count, aliases[:50]))
    if len(found) > MOST_TAGS:
        raise UserError(f"It has more than {MOST_TAGS:,} tags.", hint="Shorten it.")
    return found


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() and len(text) < 12 else 0


def _indexed(tags: list[Tag]) -> _Index:
    by_key: dict[str, Tag] = {}
    for tag in tags:
        by_key.setdefault(key_of(tag.text), tag)
    ordered = sorted(by_key.items(), key=lambda pair: -pair[1].count)
    keys = tuple(key for key, _ in ordered)
    aliases = tuple((key_of(alias), place) for place, (_, tag) in enumerate(ordered) for alias in tag.aliases)
    tags_only = tuple(tag for _, tag in ordered)
    return _Index(tags_only, keys, aliases, "\n".join(("", *keys)), "\n".join(("", *(alias for alias, _ in aliases))))
