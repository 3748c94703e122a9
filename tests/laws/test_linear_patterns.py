"""Every regular expression of the program takes time like the length of the text, whatever the text is.

They are found by reading the program, so that a new one need not be named here; the texts are made out of each pattern:
what one of its repeats takes, very often, with and without what stands before it. Parsers are in test_linear_time.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from re import _constants as of  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from tests.house import FILES, module_name, source, tree_of

CALLS = ("match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")
SHORT, LONG = 2_000, 20_000
MOST = 4 * LONG / SHORT
"""So many times as long may the long text take; with the square of it, it takes a hundred times."""
LETTERS = "a1 _-.,:;AxXé\n\t\"'<>()[]{}|\\/=%#@*+\0\x1bD"
GIVEN = {
    "webui/flags.py: flags.cors_allow_origins_regex": "the owner's own",
    "webui/server/guard.py: flags.cors_allow_origins_regex": "the owner's own",
    "webui/jobs/merge/request.py: request.discard_weights": "an administrator's own",
    "webui/jobs/merge/work.py: discard": "the same",
    "webui/scripts/xyz.py: places": "escaped words; the prompt order of test_linear_time",
}
"""Patterns that do not stand in the program, and whose they are."""
VOCABULARY = "webui/prompt/tokens.py"
"""Its pattern is made of a file; test_linear_time has it."""
GUARDED = {r"<(\w++):([^>]+)>": "only up to the last >: the network tags of test_linear_time"}
"""Patterns that are linear by how they are used."""

Pattern = tuple[str, str, "str | bytes", int]
"""(file, method, pattern, flags)"""


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            method = ast.unparse(node.func).removeprefix("re.")
            if method in (*CALLS, "compile"):
                yield node, method


@cache
def _uses() -> list[tuple[str, str, str]]:
    """(file, what, method) of every call that may be one of a pattern's."""
    return [
        (source(path), ast.unparse(node.value), node.attr)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in CALLS
    ]


def _methods(file: str, name: str) -> set[str]:
    """How a compiled pattern is used, wherever it is."""
    here = name.startswith("_")
    return {method for where, what, method in _uses() if name in what and (where == file or not here)}


def _tables(tree: ast.Module) -> Iterator[str]:
    """What stands first in the lines of a module's tables: ((pattern, replacement), ...)."""
    for statement in tree.body:
        for node in ast.walk(statement) if isinstance(statement, (ast.Assign, ast.AnnAssign)) else ():
            first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def _text_of(given: ast.expr) -> str | bytes | None:
    """The pattern, with a letter for what is put into it."""
    if isinstance(given, ast.Constant):
        return given.value  # type: ignore[no-any-return]
    if isinstance(given, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "a" for part in given.values)
    return None


@cache
def patterns() -> tuple[list[Pattern], list[str]]:
    """Those of the program, and what is a pattern but no text that stands in it."""
    found: list[Pattern] = []
    others: list[str] = []
    for path in FILES:
        file = source(path)
        tree = tree_of(path)
        named = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        compiled = [node for value in named.values() for node in ast.walk(value)]
        for node, method in _calls(tree):
            if method == "compile" and any(node is one for one in compiled):
                continue
            text = _text_of(node.args[0])
            flags = next((eval(ast.unparse(k.value), {"re": re}) for k in node.keywords if k.arg == "flags"), 0)
            if text is not None:
                methods = ("search", "fullmatch") if method == "compile" else (method,)
                found += [(file, used, text, flags) for used in methods]
            elif file.startswith(("webui/engine/", "webui/launcher.py")):  # they have tables of patterns
                found += [(file, method, line, 0) for line in _tables(tree) if re.escape(line) != line]
            else:
                others.append(f"{file}: {ast.unparse(node.args[0])}")
        for name, value in named.items():
            if any(isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile" for node in ast.walk(value)):
                held = getattr(importlib.import_module(module_name(path)), name)
                for pattern in _patterns_in(held):
                    used_by = sorted(_methods(file, name)) or ["search", "fullmatch"]
                    found += [(file, used, pattern.pattern, pattern.flags) for used in used_by]
    return found, others


def _patterns_in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _patterns_in(inner)
    elif isinstance(value, (tuple, list, frozenset, set)):
        for inner in value:
            yield from _patterns_in(inner)


# --- what a pattern takes ---------------------------------------------------------------------------------------------

REPEATS = (of.MAX_REPEAT, of.MIN_REPEAT, of.POSSESSIVE_REPEAT)


def _takes(items: list[Any], letter: str) -> bool:
    code, negated, inside = ord(letter), False, False
    for kind, value in items:
        if kind is of.NEGATE:
            negated = True
        elif kind is of.LITERAL:
            inside |= value == code
        elif kind is of.RANGE:
            inside |= value[0] <= code <= value[1]
        else:
            word = {"DIGIT": letter.isdigit(), "SPACE": letter.isspace(), "WORD": letter.isalnum() or letter == "_"}
            name = str(value).removeprefix("CATEGORY_")
            inside |= not word[name[4:]] if name.startswith("NOT_") else word[name]
    return inside != negated


def _sample(items: Any) -> str:
    """A text that the parsed pattern takes, or nearly."""
    return "".join(_one(kind, value) for kind, value in items)


def _one(kind: Any, value: Any) -> str:
    if kind is of.LITERAL:
        return chr(value)
    if kind is of.NOT_LITERAL:
        return "b" if value == ord("a") else "a"
    if kind is of.ANY:
        return "a"
    if kind is of.IN:
        first = next((chr(v if k is of.LITERAL else v[0]) for k, v in value if k in (of.LITERAL, of.RANGE)), "a")
        return next((letter for letter in LETTERS if _takes(value, letter)), first)
    if kind is of.BRANCH:
        return _sample(value[1][0])
    if kind is of.SUBPATTERN:
        return _sample(value[-1])
    if kind is of.ATOMIC_GROUP:
        return _sample(value)
    if kind in REPEATS:
        return _sample(value[2]) * max(1, min(value[0], 300))
    return ""


def _units(items: Any, before: str = "") -> Iterator[str]:
    """What to write very often: what each repeat takes, and that with what stands before it."""
    for at, (kind, value) in enumerate(items):
        prefix = before + _sample(items[:at])
        if kind in REPEATS:
            body = _sample(value[2])
            yield from (body, prefix + body, prefix)
            yield from _units(value[2], prefix)
        elif kind is of.SUBPATTERN:
            yield from _units(value[-1], prefix)
        elif kind is of.ATOMIC_GROUP:
            yield from _units(value, prefix)
        elif kind is of.BRANCH:
            for branch in value[1]:
                yield from _units(branch, prefix)
                yield prefix + _sample(branch)


def _texts(pattern: str | bytes, flags: int) -> Iterator[tuple[str, str, str]]:
    """(what stands first, what is repeated, what stands last)"""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    parsed = _parser.parse(text, flags & ~re.UNICODE)
    whole = _sample(parsed)
    units = dict.fromkeys((*_units(list(parsed)), whole, "a", "1", " ", "\n"))
    for unit in filter(None, units):
        for first in ("", whole[:40]):
            for last in ("", "\0", whole[-1:]):
                yield first, unit, last


def _seconds(call: Callable[[Any], object], text: Any) -> float:
    begin = time.thread_time()
    call(text)
    return time.thread_time() - begin


def test_every_pattern_is_found_or_said_whose_it_is() -> None:
    found, others = patterns()
    assert len(found) > 100
    assert {pattern for _, _, pattern, _ in found} > set(GUARDED)
    assert sorted({other for other in others if not other.startswith(VOCABULARY)}) == sorted(GIVEN)


@pytest.mark.parametrize("room", sorted({source(path).split("/")[1] for path in FILES}))
def test_every_pattern_takes_time_like_the_length_of_the_text(room: str, request: pytest.FixtureRequest) -> None:
    slow = []
    gc.disable()  # many small objects are looked through by it, the more there are
    request.addfinalizer(gc.enable)
    for file, method, pattern, flags in dict.fromkeys(one for one in patterns()[0] if one[0].split("/")[1] == room):
        if pattern in GUARDED:
            continue
        compiled = re.compile(pattern, flags)
        used = getattr(compiled, method)

        def call(text: Any, used: Any = used, method: str = method, pattern: Any = pattern) -> object:
            if method in ("sub", "subn"):
                return used(pattern[:0], text)
            found = used(text)
            return list(found) if method == "finditer" else found

        for first, unit, last in _texts(pattern, flags):

            def made(size: int, first: str = first, unit: str = unit, last: str = last, pattern: Any = pattern) -> Any:
                text = first + unit * (size // len(unit)) + last
                return text.encode("utf-8", "replace") if isinstance(pattern, bytes) else text

            with contextlib.suppress(RecursionError):
                short = max(min(_seconds(call, made(SHORT)) for _ in range(2)), 1e-4)
                long = min(_seconds(call, made(LONG)) for _ in range(2))
                if long / short > MOST and min(_seconds(call, made(LONG)) for _ in range(2)) / short > MOST:
                    slow.append((file, method, pattern, unit[:60], round(long / short)))
                    break
    assert not slow
