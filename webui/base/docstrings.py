"""The docstrings below a class's attributes, which Python itself does not keep."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

Docstrings = Mapping[str, str]


def attribute_docstrings(cls: type) -> Docstrings:
    """The annotated attributes that the class itself has -> what stands in the string below each; none where its source
    cannot be read.

    pydantic's `use_attribute_docstrings` finds the same, at four times the cost: it looks for the source through the
    frames of the call, and reads each class for itself; here each file is read once.
    """
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    return _in_file(path).get(cls.__qualname__, {}) if path else {}


@cache
def _in_file(path: str) -> Mapping[str, Docstrings]:
    """Qualified name of a class -> the docstrings of its attributes; of two of one name, the last."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    return dict(_below(tree, ""))


def _below(tree: ast.AST, prefix: str) -> Iterator[tuple[str, Docstrings]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, _of(node)
            yield from _below(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _below(node, f"{prefix}{node.name}.<locals>.")


def _of(node: ast.ClassDef) -> Docstrings:
    return {
        before.target.id: inspect.cleandoc(after.value.value)
        for before, after in zip(node.body, node.body[1:], strict=False)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
