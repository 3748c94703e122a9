"""The page's sheets lie in layers, take their sizes from one table, and force nothing without a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webui.server.ui import sheets

SHEETS = {path.relative_to(sheets.ASSETS / "css").as_posix(): path.read_text("utf-8")
          for path in sorted((sheets.ASSETS / "css").rglob("*.css"))}  # fmt: skip
RULES = {name: text for name, text in SHEETS.items() if not name.startswith("tokens/")}
MOST_FORCED = 6
SIZE = re.compile(
    r"^\s*(?:(?:row-|column-)?gap|padding[\w-]*|margin[\w-]*|inset|top|right|bottom|left|font-size|border-radius|z-index)"
    r":[^;]*?(?<![\w.-])(?:(?:[2-9]|[1-9]\d+)(?:\.\d+)?px|[\d.]+rem)",
    re.MULTILINE,
)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def test_each_sheet_lies_in_the_folder_of_a_layer() -> None:
    assert {Path(name).parent.as_posix() for name in SHEETS} == set(sheets.LAYERS)
    whole = sheets.stylesheet()
    assert whole.startswith(sheets.ORDER)
    assert [whole.index(f"@layer {layer} {{") for layer in sheets.LAYERS] == sorted(
        whole.index(f"@layer {layer} {{") for layer in sheets.LAYERS
    )


def test_what_is_forced_is_little_and_has_its_reason() -> None:
    forced = {name: text.count("!important") for name, text in ((n, COMMENT.sub("", t)) for n, t in SHEETS.items())}
    assert sum(forced.values()) <= MOST_FORCED
    assert [name for name, count in forced.items() if count] == ["overrides/gradio.css"]
    # Paragraphs of that sheet begin with the reason.
    for paragraph in SHEETS["overrides/gradio.css"].strip().split("\n\n"):
        assert paragraph.startswith("/*"), paragraph


@pytest.mark.parametrize("name", RULES)
def test_spaces_fonts_roundings_and_depths_come_from_the_table(name: str) -> None:
    assert not [found[0].strip() for found in SIZE.finditer(COMMENT.sub("", RULES[name]))]


def test_every_size_of_the_table_is_used() -> None:
    table = "".join(text for name, text in SHEETS.items() if name not in RULES)
    defined = re.findall(r"^\s*(--[\w-]+):", table, re.MULTILINE)
    assert defined
    assert not [name for name in defined if f"var({name}" not in "".join(SHEETS.values())]


def test_what_no_layer_can_hold_is_refused() -> None:
    assert sheets.below_ours("a{}") == "@layer gradio {\na{}\n}"
    for rule in ("@import url(x.css);", "@charset 'utf-8';", "@namespace svg url(x);"):
        with pytest.raises(ValueError, match="layer"):
            sheets.below_ours(rule)
