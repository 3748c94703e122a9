"""The table of what of AUTOMATIC1111 works here is whole, and names tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "webui" / "docs" / "A1111.md"
STATES = ("works", "deliberately not", "not yet")


def rows() -> list[list[str]]:
    """Number, area, feature, state, note, tests."""
    lines = TABLE.read_text("utf-8").splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if re.match(r"\| \d", line)]


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests of a file."""
    text = (ROOT / file).read_text("utf-8")
    if file.endswith(".js"):
        return frozenset(re.findall(r"^test\(\"(.+?)\", ", text, re.MULTILINE))
    return frozenset(node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))


def test_each_feature_has_its_line_and_its_state() -> None:
    found = rows()
    assert [row[0] for row in found] == [str(number) for number in range(1, 160)]
    assert {row[3] for row in found} <= {*STATES}
    assert all(row[4] for row in found if row[3] != "works"), "a reason"


def test_what_works_is_shown_by_tests_that_there_are() -> None:
    lost = []
    for number, _, feature, state, _, shown in rows():
        named = [text.partition("::") for text in re.findall(r"`(tests/.+?)`", shown)]
        assert named or state != "works", f"{number}: {feature}"
        lost += [f"{number}: {file}::{name}" for file, _, name in named if name not in names_in(file)]
    assert not lost, "\n".join(lost)
