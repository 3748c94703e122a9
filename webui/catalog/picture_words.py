"""The words that occur in prompts and tags, so that a search by a word's beginning asks for whole words.

SQLite's FTS5 reads a whole word's pictures newest first and stops when a page is full; for a beginning it would gather
all of its pictures before it gives the first one, unless the beginning is as short as those of its prefix index.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterable

from webui.catalog.database import Database

INDEXED = 4
"""The longest beginnings that FTS5 has an index of."""
MOST_ENDINGS = 100
"""Beyond so many words with the same beginning, none of them is common."""
LONGEST = 60
_WORD = re.compile(r"[^\W_]+")


def note_words(connection: sqlite3.Connection, texts: Iterable[str]) -> None:
    """Remember the words of a prompt, or of tags."""
    words = {word.lower() for text in texts for word in _WORD.findall(unicodedata.normalize("NFC", text))}
    rows = [(_plain(word), word) for word in words if INDEXED < len(word) <= LONGEST]
    connection.executemany("INSERT OR IGNORE INTO words (begin, word) VALUES (?, ?)", rows)


def beginning(word: str, database: Database) -> str:
    """What to ask FTS5 for, to find the words that begin like this one.

    Raises:
        StorageError: the file is broken or locked.
    """
    plain = _plain(unicodedata.normalize("NFC", word).lower())
    if len(plain) > INDEXED and _WORD.fullmatch(plain):
        rows = database.read(
            "SELECT word FROM words WHERE begin >= ? AND begin < ? LIMIT ?",
            plain,
            f"{plain}\U0010ffff",
            MOST_ENDINGS + 1,
        )
        if 0 < len(rows) <= MOST_ENDINGS:
            return "(" + " OR ".join(f'"{row[0]}"' for row in rows) + ")"
    return f'"{word}"*'


def _plain(word: str) -> str:
    """As FTS5 compares it: without accents."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", word) if unicodedata.category(letter) != "Mn")
    return unicodedata.normalize("NFC", bare)
