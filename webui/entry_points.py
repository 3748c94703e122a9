"""Lines of the registry that installed packages add, through entry points of the groups `webui.NAME`.

Each is read inside a fence: one that cannot be used is named together with its package, and everything else stands.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from typing import Generic, TypeVar

from webui.base.errors import ExtensionError, UserError, WebuiError
from webui.base.fence import Problem, exited, fenced, read_each, told_of

log = logging.getLogger(__name__)

GROUPS = "webui."
KIND = "packages"
"""What problems of packages are listed under."""
TODO = "Update the package, or uninstall it."
OURS = "webui"


@dataclass(frozen=True)
class Entry:
    """A line of the registry."""

    name: str
    """What people call it."""
    origin: str = field(default="", kw_only=True)
    """The installed package that adds it; "": it is the program's own."""


L = TypeVar("L", bound=Entry)


@dataclass(frozen=True)
class Added(Generic[L]):
    """What packages add to a table."""

    lines: tuple[L, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Found:
    """An entry point, and the package that has it."""

    origin: str
    point: EntryPoint

    @property
    def described(self) -> str:
        return f"{self.point.group}, {self.point.name}"


@cache
def _installed() -> tuple[tuple[_Found, ...], tuple[Problem, ...]]:
    """All entry points of ours, and the packages whose lists of them cannot be read. A package that lies in several
    folders counts where Python finds it first."""
    read, problems = read_each(KIND, distributions(), _name_of, lambda package: tuple(_points(package)))
    found: dict[str, tuple[_Found, ...]] = {}
    for _, points in read:
        if points:
            found.setdefault(points[0].origin, points)
    return tuple(each for points in found.values() for each in points), tuple(problems)


def _name_of(package: Distribution) -> str:
    return str(package.metadata["Name"])


def _points(package: Distribution) -> Iterator[_Found]:
    text = package.read_text("entry_points.txt")
    if text is None or GROUPS not in text:
        return
    origin = _name_of(package)
    yield from (_Found(origin, point) for point in package.entry_points if point.group.startswith(GROUPS))


def added(table: str, kind: type[L], own: tuple[L, ...], check: Callable[[L], None]) -> Added[L]:
    """What packages add to the table `table`: records of this kind that pass the check, called like none of our own.

    check: raises whatever speaks against a record.
    """
    lines: list[L] = []
    problems: list[Problem] = []
    for found in _installed()[0]:
        if found.point.group != GROUPS + table:
            continue
        taken = frozenset(line.name.casefold() for line in (*own, *lines))
        read = partial(_record, kind=kind, taken=taken, check=check)
        good, bad = read_each(KIND, [found], lambda each: each.origin, read)
        lines += [line for _, line in good]
        problems += [replace(problem, reason=f"{found.described}: {problem.reason}", todo=TODO) for problem in bad]
    for problem in problems:
        log.warning("%s", problem)
    return Added(tuple(lines), tuple(problems))


def _record(found: _Found, kind: type[L], taken: frozenset[str], check: Callable[[L], None]) -> L:
    """
    Raises:
        UserError: what its code has raised, or what speaks against its record.
    """
    try:
        record = found.point.load()
        if not isinstance(record, kind):
            raise UserError(f"It is a value of type {type(record).__name__}, not a {kind.__name__}.")
        if not isinstance(record.name, str) or not record.name.strip():
            raise UserError("It has no name.")
        if record.name.casefold() in taken:
            raise UserError(f"The name {record.name!r} is taken.")
        line = replace(record, origin=found.origin)
        check(line)
    except SystemExit as error:
        raise exited(error) from error
    except WebuiError as error:
        raise UserError(_reason(error)) from error
    except Exception as error:
        raise UserError(told_of(error)) from error
    return line


def unreadable() -> tuple[Problem, ...]:
    """Packages whose lists of entry points cannot be read."""
    return _installed()[1]


@cache
def origins() -> Mapping[str, str]:
    """Packages that add something, by the first part of the names of their modules."""
    found = {each.point.module.partition(".")[0]: each.origin for each in _installed()[0]}
    return {root: origin for root, origin in found.items() if root != OURS}


def origin_of(error: BaseException) -> str:
    """The installed package whose code an error comes from; "": our own, or a library's.

    It is that of the innermost call that is either ours or such a package's: what our code raises inside of theirs is
    not theirs.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ExtensionError):
            return cause.origin
        frames = [frame.f_globals.get("__name__") or "" for frame, _ in traceback.walk_tb(cause.__traceback__)]
        for name in reversed(frames):
            root = str(name).partition(".")[0]
            if root in (OURS, *origins()):
                if root != OURS:
                    return origins()[root]
                break
        cause = cause.__cause__ or cause.__context__
    return ""


def blamed(error: BaseException) -> WebuiError | None:
    """An error of a package's code in words that name the package; None: it is nobody's but ours."""
    origin = origin_of(error)
    if not origin:
        return None
    return error if isinstance(error, ExtensionError) else ExtensionError(origin, told_of(error))


V = TypeVar("V")


def expected(value: V, kinds: type | tuple[type, ...], giver: object, what: str) -> V:
    """The value, which code that may be a package's has given, where it is of one of the kinds that were meant.

    giver: whose code it is: a line of the registry, or something that the code defines, or has made.
    what: what has given it, such as "begin".

    Raises:
        ExtensionError: it is of another type, and a package's.
        TypeError: it is of another type, and our own.
    """
    if isinstance(value, kinds):
        return value
    names = [kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)) if kind is not type(None)]
    raise unexpected(giver, f"{what} returned a value of type {type(value).__name__}, not {' or '.join(names)}.")


def expected_callable(value: V, giver: object, what: str) -> V:
    """The value, where it can be called. Otherwise as `expected`."""
    if callable(value):
        return value
    raise unexpected(giver, f"{what} returned a value of type {type(value).__name__}, not a function.")


def unexpected(giver: object, reason: str) -> ExtensionError | TypeError:
    """The error that says what is wrong with what some code has given. `giver` as in `expected`."""
    if isinstance(giver, Entry):
        origin = giver.origin
    else:
        module = getattr(giver, "__module__", None) or type(giver).__module__
        origin = origins().get(str(module).partition(".")[0], "")
    return ExtensionError(origin, reason) if origin else TypeError(reason)


def problem_with(origin: str, what: str, error: BaseException) -> Problem:
    """What went wrong with a package, for lists of what is broken. what: the part of it, such as "tab Maps"."""
    return Problem(KIND, origin, f"{what}: {_reason(error)}", TODO)


def _reason(error: BaseException) -> str:
    return error.reason if isinstance(error, ExtensionError) else told_of(error)


def is_there(code: str) -> bool:
    """Whether the module of "module:name" can be found. Imports the packages above it, not the module itself."""
    found: list[object] = []
    with fenced(lambda error: log.debug("%s: %s", code, told_of(error))):
        found.append(find_spec(code.partition(":")[0]))
    return bool(found and found[0])
