"""The house's counts, and which of its goals are missed: `python -m tests.house`, with `--where` for the places.

test_house holds every count at its best: none may get worse.
"""

# ruff: noqa: T201 - it speaks to people

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = tuple(sorted((ROOT / "webui").rglob("*.py")))
LONG_FUNCTION, LONG_CLASS = 60, 300
"""Lines."""
DECLARATIONS = ("webui/request/fields.py", "webui/request/settings.py", "webui/flags.py")
"""Files of classes that are lists of fields, and as long as those."""
BY_RULE = {"Params": "webui/features/", "Engine": "webui/features/", "Server": "webui/jobs/"}
"""Names that every folder of a kind has, by agreement."""
ROOMS_OF_KINDS = ("webui/jobs/",)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Count:
    """Something that is counted, and how much of it there may be."""

    name: str
    value: int
    goal: int
    """At most."""
    places: tuple[str, ...] = ()

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal


def source(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes() -> tuple[tuple[str, ast.AST], ...]:
    """(file, node) of all."""
    return tuple((source(path), node) for path in FILES for node in ast.walk(tree_of(path)))


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, inside functions too, but not for type checking alone."""
    for node in runtime_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "webui")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "webui":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from runtime_nodes(other)
            continue
        yield node
        yield from runtime_nodes(node)


# ---------------------------------------------------------------- what is counted


def cycles() -> Sequence[str]:
    graph = {name: set(imports(path)) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def global_statements() -> Sequence[str]:
    return [f"{file}:{node.lineno}" for file, node in nodes() if isinstance(node, ast.Global)]


def unannotated() -> Sequence[str]:
    """Functions with a parameter or an answer without a type."""
    found = []
    for file, node in nodes():
        if not isinstance(node, Function):
            continue
        a = node.args
        given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        bare = [arg.arg for arg in given if arg.annotation is None and arg.arg not in ("self", "cls")]
        if bare or node.returns is None:
            found.append(f"{file}:{node.lineno} {node.name}")
    return found


def long_functions() -> Sequence[str]:
    return [f"{file}:{node.lineno} {node.name} {size}" for file, node, size in _sized(Function) if size > LONG_FUNCTION]


def long_classes() -> Sequence[str]:
    found = ((file, node, size) for file, node, size in _sized(ast.ClassDef) if file not in DECLARATIONS)
    return [f"{file}:{node.lineno} {node.name} {size}" for file, node, size in found if size > LONG_CLASS]


def _sized(kind: object) -> Iterator[tuple[str, Function | ast.ClassDef, int]]:
    for file, node in nodes():
        if isinstance(node, kind):  # type: ignore[arg-type]
            assert isinstance(node, Function | ast.ClassDef)
            yield file, node, (node.end_lineno or node.lineno) - node.lineno + 1


def anys() -> Sequence[str]:
    return [f"{file}:{node.lineno}" for file, node in nodes() if isinstance(node, ast.Name) and node.id == "Any"]


def asked_kinds() -> Sequence[str]:
    """Where code outside the kinds' folders asks of which class a request or a plan is."""
    declared = [ROOT / "webui/request/fields.py", ROOT / "webui/request/plan.py"]
    kinds = {
        node.name
        for path in (*declared, *ROOT.glob("webui/jobs/*/request.py"))
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and (path not in declared or node.name in _ROOTS)
    }
    found = []
    for file, node in nodes():
        asked: ast.AST | None = None
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in ("isinstance", "issubclass"):
            assert isinstance(node, ast.Call)
            asked = node.args[1]
        elif isinstance(node, ast.MatchClass):
            asked = node.cls
        if asked is None or file.startswith(ROOMS_OF_KINDS):
            continue
        if kinds & {part.id for part in ast.walk(asked) if isinstance(part, ast.Name)}:
            found.append(f"{file}:{node.lineno}")  # type: ignore[attr-defined]
    return found


_ROOTS = ("Generation", "Txt2Img", "Img2Img", "Plan", "Plans")
"""The classes of requests and plans in files that have others beside them."""


def names_used_twice() -> Sequence[str]:
    """Names of classes that mean two things; those that begin with _ mean nothing outside their files."""
    found: dict[str, list[str]] = {}
    for file, node in nodes():
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        if not file.startswith(BY_RULE.get(node.name, "\n")):
            found.setdefault(node.name, []).append(f"{file}:{node.lineno}")
    return [f"{name}: {', '.join(places)}" for name, places in sorted(found.items()) if len(places) > 1]


COUNTED: Mapping[str, tuple[int, Callable[[], Sequence[str]]]] = {
    "import cycles": (0, cycles),
    "global statements": (0, global_statements),
    "functions that are not wholly annotated": (0, unannotated),
    f"functions over {LONG_FUNCTION} lines": (8, long_functions),
    f"classes over {LONG_CLASS} lines, lists of fields left out": (0, long_classes),
    "uses of Any": (149, anys),
    "questions of which class a request or plan is, outside the kinds' folders": (0, asked_kinds),
    "class names that mean two things": (0, names_used_twice),
}


def counts() -> list[Count]:
    """All of them."""
    return [Count(name, len(found), goal, tuple(found)) for name, (goal, look) in COUNTED.items() for found in [look()]]


def main(argv: Sequence[str]) -> int:
    """Print the counts -> 1 where a goal is missed."""
    found = counts()
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:<{width}} {one.value:>5}   goal {one.goal:>4}   {'' if one.is_met else 'missed'}".rstrip())
        if "--where" in argv and not one.is_met:
            shared = Counter(place.split(":")[0] for place in one.places)
            lines = [f"{count:>4} {file}" for file, count in shared.most_common()] if one.value > 60 else one.places
            print("".join(f"    {line}\n" for line in lines), end="")
    functions = sum(isinstance(node, Function) for _, node in nodes())
    bare = next(one.value for one in found if one.name.endswith("annotated"))
    print(f"\n{functions:,} functions, {100 * (1 - bare / functions):.1f} % of them wholly annotated")
    return 0 if all(one.is_met for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
