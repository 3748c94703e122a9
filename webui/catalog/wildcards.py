"""Wildcards: the lists that `__name__` in a prompt stands for, in `models/wildcards` and in folders of extensions.

A text file is one wildcard, called by its path: `animals/cat.txt` is `__animals/cat__`. A YAML file is a tree of them,
called by its keys, with or without the file's own name before them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import yaml

from webui.base.errors import UserError
from webui.base.fence import Problem, problem_of, read_each
from webui.base.paths import Paths
from webui.base.text import clean, named
from webui.catalog.files import Found, find_files
from webui.catalog.problems import Problems
from webui.prompt.filling import Lines

KIND = "wildcards"
TEXTS, TREES = (".txt",), (".yaml", ".yml")
LARGEST = {".txt": 32_000_000, ".yaml": 4_000_000, ".yml": 4_000_000}
"""Bytes, by the ending."""
MOST_LINES = 1_000_000
"""Of one file; of a YAML file with what its aliases repeat."""
DEEPEST = 30
FRESH = 2.0
"""Seconds for which a look at the folders holds."""
Stamped: TypeAlias = "tuple[Path, tuple[int, int]]"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Both make plain values only; the first one is the library's own in C."""


class Wildcards:
    """By name. Any thread may call any method."""

    def __init__(self, paths: Paths, problems: Problems | None = None) -> None:
        self._paths = paths
        self._problems = problems or Problems()
        self._lock = threading.RLock()
        self._read: dict[Stamped, Mapping[str, Lines]] = {}
        """File -> name within it -> lines; the name of a text is ""."""
        self._files: dict[str, list[Found]] = {}
        """Wildcard's name -> the files that have it."""
        self._faults: dict[str, str] = {}
        self._looked = float("-inf")

    def names(self) -> list[str]:
        """All that can be written between two underscores and two more, in natural order."""
        with self._lock:
            self._look()
            return list(self._files)

    def lines(self, name: str) -> Lines:
        """Those of the wildcard of this name, or of all that fit the pattern; of several files that have one name, the
        first counts. Without lines: there is none, and `fault` says so where a file is broken."""
        with self._lock:
            self._look()
            found = [self._one(each) for each in self._fitting(name)]
        good = [lines for lines in found if lines.texts]
        if not good:
            return next((lines for lines in found if lines.fault), Lines(()))
        if len(good) == 1:
            return good[0]
        weights = {text: weight for lines in good for text, weight in _pairs(lines)}
        even = all(weight == 1 for weight in weights.values())
        return Lines(tuple(weights), () if even else tuple(weights.values()))

    def _fitting(self, name: str) -> list[str]:
        """The names that a name or pattern means."""
        name = name.replace("\\", "/").strip("/ ")
        if "*" in name or "?" in name:
            return [each for each in self._files if fnmatchcase(each.casefold(), name.casefold())]
        if name in self._files or name in self._faults:
            return [name]
        folded = name.casefold()
        known = next((each for each in (*self._files, *self._faults) if each.casefold() == folded), None)
        if known is None and "/" in folded:
            # The file's name before the keys of a tree.
            stem, _, rest = folded.partition("/")
            known = next((e for e, files in self._files.items() if e.casefold() == rest and _is_of(files, stem)), None)
        return [] if known is None else [known]

    def _one(self, name: str) -> Lines:
        if name in self._faults:
            return Lines((), fault=self._faults[name])
        file = self._files[name][0]
        if file.path.suffix.lower() in TREES:
            return self._content(file).get(name, Lines(()))
        try:
            return self._content(file).get("", Lines(()))
        except (UserError, OSError) as error:
            problem = problem_of(KIND, file.name, error)
            self._problems.noted(KIND, problem)
            return Lines((), fault=_told(problem))

    def _look(self) -> None:
        """Look through the folders, unless that has just been done."""
        if time.monotonic() - self._looked < FRESH:
            return
        problems: list[Problem] = []

        def tell(name: str, reason: str) -> None:
            problems.append(Problem(KIND, named(name), reason, "Repair it, or remove it."))

        files = [
            file
            for folder in self._paths.wildcards
            for file in find_files(folder, (*TEXTS, *TREES), tell=tell)
            if not self._paths.is_private(file.path)
        ]
        trees = [file for file in files if file.path.suffix.lower() in TREES]
        read, broken = read_each(KIND, trees, lambda file: file.name, self._content)
        within = dict(read)
        found: dict[str, list[Found]] = {}
        for file in files:
            texts = [file.name.rsplit(".", 1)[0]] if file not in trees else list(within.get(file, ()))
            for name in texts:
                found.setdefault(name, []).append(file)
        self._files = found
        self._faults = {problem.name.rsplit(".", 1)[0]: _told(problem) for problem in broken}
        self._problems.found(KIND, [*problems, *broken])
        there = {(file.path, file.stamp) for file in files}
        self._read = {key: lines for key, lines in self._read.items() if key in there}
        self._looked = time.monotonic()

    def _content(self, file: Found) -> Mapping[str, Lines]:
        """What a file holds, as it was read when it last changed.

        Raises:
            UserError, OSError: it cannot be read.
        """
        key = (file.path, file.stamp)
        if key not in self._read:
            ending = file.path.suffix.lower()
            if file.stamp[1] > LARGEST[ending]:
                raise UserError(
                    f"It has {file.stamp[1] // 1_000_000:,} MB.",
                    hint=f"A wildcard's file may have {LARGEST[ending] // 1_000_000} MB: divide it.",
                )
            text = _decoded(file.path.read_bytes())
            self._read[key] = dict(_tree(text)) if ending in TREES else {"": _listed(text)}
        return self._read[key]


def _pairs(lines: Lines) -> Iterator[tuple[str, float]]:
    return zip(lines.texts, lines.weights or (1.0,) * len(lines.texts), strict=True)


def _is_of(files: list[Found], stem: str) -> bool:
    return any(file.stem.casefold() == stem and file.path.suffix.lower() in TREES for file in files)


def _told(problem: Problem) -> str:
    return f"The wildcards in {problem.name} cannot be used: {problem.reason} {problem.todo}".strip()


def _decoded(content: bytes) -> str:
    """UTF-8, UTF-16 with its mark, or else the letters of Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return clean(content.decode("utf-16", "replace"))
    try:
        return clean(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return clean(content.decode("cp1252", "replace"))


def _listed(text: str) -> Lines:
    """The lines of a text; empty ones and those that begin with # are none."""
    lines = [line.strip() for line in text.split("\n")]
    real = [line for line in lines if line and not line.startswith("#")]
    _refuse_beyond(len(real))
    return Lines.of(real)


def _refuse_beyond(lines: int) -> None:
    if lines > MOST_LINES:
        raise UserError(f"It has more than {MOST_LINES:,} lines.", hint="Divide it.")


def _tree(text: str) -> Iterator[tuple[str, Lines]]:
    """(name, lines) of each list in a YAML text.

    Raises:
        UserError: it is none, or its aliases make it too large.
    """
    try:
        root = yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error).split("\n")[0]
        raise UserError(f"It is not YAML: {said}.", hint="Correct the file in an editor.") from error
    total = 0
    left: list[tuple[tuple[str, ...], object]] = [((), root)]
    while left:
        keys, value = left.pop()
        _refuse_beyond(total := total + 1)
        if isinstance(value, Mapping):
            if len(keys) >= DEEPEST:
                raise UserError(f"It is nested more than {DEEPEST} deep.", hint="Remove aliases that hold themselves.")
            left += reversed([((*keys, str(key)), inner) for key, inner in value.items()])
        elif keys:
            lines = [_leaf(each) for each in value] if isinstance(value, list) else _leaf(value).split("\n")
            _refuse_beyond(total := total + len(lines))
            yield "/".join(keys), Lines.of([line.strip() for line in lines if line.strip()])


def _leaf(value: object) -> str:
    """An item of a list as text: "a: b" without quotes is a mapping for YAML; other values in a list are none."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {inner}" for key, inner in value.items() if isinstance(inner, str | int | float))
    return "" if value is None or isinstance(value, list) else str(value)
