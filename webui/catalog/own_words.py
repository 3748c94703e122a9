"""What somebody has written into prompts before, out of the history."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter

from webui.catalog.database import Database
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks

PICTURES = 3000
"""The latest ones that are looked at."""
FRESH = 60.0
"""Seconds."""
LONGEST = 80
"""Letters of a piece."""
MOST_OWNERS = 100
_WEIGHT = re.compile(r":\s*+[-+]?[\d.]++\s*+$")


class OwnWords:
    """The pieces of prompts between commas, by how often they occur, and the prompts themselves. Any thread may call
    any method."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: dict[str | None, tuple[float, Counter[str]]] = {}

    def search(self, owner: str | None, text: str, most: int) -> list[tuple[str, int]]:
        """(piece, how often) of those that begin so, then of those with a word that does. owner: None is everybody."""
        wanted = text.strip().casefold()
        if not wanted:
            return []
        common = self._pieces(owner).most_common()
        first = [pair for pair in common if pair[0].casefold().startswith(wanted)]
        inside = [pair for pair in common if f" {wanted}" in pair[0].casefold() and pair not in first]
        return [pair for pair in (*first, *inside) if pair[0].casefold() != wanted][:most]

    def prompts(self, owner: str | None, text: str, most: int) -> list[str]:
        """The prompts with all these words, newest first, each once."""
        words = text.casefold().split()
        rows = self._prompts(owner)
        return [each for each in dict.fromkeys(rows) if each and all(word in each.casefold() for word in words)][:most]

    def _pieces(self, owner: str | None) -> Counter[str]:
        with self._lock:
            made, pieces = self._known.get(owner, (float("-inf"), Counter[str]()))
            if time.monotonic() - made > FRESH:
                pieces = Counter(piece for prompt in self._prompts(owner) for piece in set(pieces_of(prompt)))
                if len(self._known) >= MOST_OWNERS:
                    self._known.clear()
                self._known[owner] = (time.monotonic(), pieces)
            return pieces

    def _prompts(self, owner: str | None) -> list[str]:
        rows = self._database.read(
            "SELECT prompt FROM pictures WHERE (? IS NULL OR owner = ?) ORDER BY number DESC LIMIT ?",
            owner,
            owner,
            PICTURES,
        )
        return [str(row[0])[:20_000] for row in rows]


def pieces_of(prompt: str) -> list[str]:
    """What stands between the commas of a prompt, without brackets, weights and tags of networks."""
    text, _ = extract_networks(strip_comments(prompt))
    found = []
    for piece in re.split(r"[,\n|]", text):
        plain = _WEIGHT.sub("", piece.strip(" ()[]{}")).strip(" ()[]{}")
        if 2 <= len(plain) <= LONGEST:
            found.append(plain)
    return found
