"""What `tests/stubs/` says of diffusers is so: a name that the library no longer has would hide mistakes."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

STUBS = Path(__file__).resolve().parents[1] / "stubs"
MODULES = sorted(STUBS.rglob("*.pyi"))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: ".".join(file.relative_to(STUBS).with_suffix("").parts))
def test_what_the_types_say_is_there(file: Path) -> None:
    parts = file.relative_to(STUBS).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name != "__getattr__":
            assert callable(getattr(module, node.name))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            real = getattr(module, node.name)
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            assert [name for name in methods if not hasattr(real, name)] == [], node.name
