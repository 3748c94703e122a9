"""The fence around each thing that a person put into a folder, and around the code of installed packages: one that is
broken is named, and the rest is used.

The only place where whatever goes wrong over a thing is caught, since nobody knows all the ways in which a file can be
broken, and since one file must never keep another from being used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from webui.base.errors import UserError, WebuiError
from webui.base.text import named

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
LONGEST_REASON = 300


@dataclass(frozen=True)
class Problem:
    """A thing that is broken, or not as it should be."""

    kind: str
    """Which folder or file it belongs to, as people know that: "Lora", "styles.csv"."""
    name: str
    """Relative to the folder; of a thing in a file, where it stands."""
    reason: str
    todo: str = ""
    """What to do; "": nobody knows."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.reason} {self.todo}".strip()


def read_each(
    kind: str, things: Iterable[T], name: Callable[[T], str], read: Callable[[T], R]
) -> tuple[list[tuple[T, R]], list[Problem]]:
    """What `read` makes of each thing, and a Problem of each that it fails at."""
    found: list[tuple[T, R]] = []
    problems: list[Problem] = []
    for thing in things:
        try:
            found.append((thing, read(thing)))
        except Exception as error:
            problems.append(problem_of(kind, named(name(thing)), error))
            log.debug("%s", problems[-1], exc_info=error)
    return found, problems


def problem_of(kind: str, name: str, error: Exception) -> Problem:
    """What an error says of a thing, for people."""
    if isinstance(error, WebuiError):
        return Problem(kind, name, _short(error.message), _short(error.hint))
    if isinstance(error, OSError):
        return Problem(kind, name, f"It cannot be read: {error.strerror or named(str(error))}.")
    return Problem(kind, name, f"It is damaged ({told_of(error)}).", "Download it again, or remove it.")


def told_of(error: BaseException) -> str:
    """What an error says, in a line."""
    if isinstance(error, WebuiError):
        return _short(str(error))
    said = named(str(error)).split("\n")[0]
    return _short(f"{type(error).__name__}: {said}" if said else type(error).__name__)


class Exited(UserError):
    """Code has tried to end the program."""


def exited(error: SystemExit) -> Exited:
    """What there is to say of code that has tried to end the program."""
    found = Exited(f"It has tried to end the program (exit code {error.code}).")
    found.__cause__ = error
    return found


class fenced:  # noqa: N801 - read as a word: with fenced(...)
    """Whatever goes wrong within the block ends it, and is told to `note`: around code of installed packages."""

    def __init__(self, note: Callable[[Exception], object]) -> None:
        self._note = note

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, SystemExit):
            error = exited(error)
        if isinstance(error, Exception):
            self._note(error)
            return True
        return False


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + "..."
