"""How prompts name files in `<lora:NAME:1>` and `<hypernet:NAME:1>`, so that each file has a name of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from webui.base.text import named
from webui.prompt.networks import writable

T = TypeVar("T")


class TagNames(Generic[T]):
    """Files by the names that tags may give them.

    files: each with its names, the same number for each; the first are the strongest, and the last one no other has.
    A tag cannot have every letter; who would not be found without those is called by the last name with `%3A` for them.
    """

    def __init__(self, files: Iterable[tuple[T, Sequence[str]]]) -> None:
        called = [(file, (_spelled(names[-1]), *names, *map(writable, names))) for file, names in files]
        exact: dict[str, T] = {}
        for rank in range(max((len(names) for _, names in called), default=0)):
            for file, names in called:
                exact.setdefault(names[rank], file)
        self._found: Mapping[str, T] = {
            **{name.casefold(): file for name, file in reversed(exact.items())},
            **exact,
        }

    def find(self, name: str) -> T | None:
        """The file that a tag means; exact letters win over others."""
        return self._found.get(name) or self._found.get(name.casefold())

    def tag(self, file: T, names: Sequence[str]) -> str:
        """The first of the file's names by which it is found, as a tag can have it."""
        tags = (*map(writable, names), _spelled(names[-1]))
        return next((tag for tag in tags if self.find(tag) == file), tags[0])


def with_folder(path: Path, name: str) -> tuple[str, str]:
    """The last two names of a file: with its ending, and with the folder that it was looked for in as well.

    name: relative to that folder, with forward slashes.
    """
    return name, f"{named(path.parents[name.count('/')].name)}/{name}"


def _spelled(name: str) -> str:
    return re.sub("[:>#%]", lambda found: f"%{ord(found[0]):02X}", name)
