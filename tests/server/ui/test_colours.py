"""The page's colours stand in one table, and all sheets go by it."""

from __future__ import annotations

import re

import pytest

from webui.server.ui import colours
from webui.server.ui.sheets import ASSETS

LITERAL = re.compile(r"(?<![\w-])#[0-9a-f]{3,8}\b(?=[;,) ])|\b(?:rgb|hsl)a?\(", re.IGNORECASE)
CONTRAST = 7.0
"""WCAG's enhanced contrast, of text on its ground."""


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    whole = "".join(one * 2 for one in digits) if len(digits) == 3 else digits
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("sheet", sorted(str(path.relative_to(ASSETS)) for path in ASSETS.rglob("*.css")))
def test_a_sheet_has_no_colour_of_its_own(sheet: str) -> None:
    lines = (ASSETS / sheet).read_text("utf-8").splitlines()
    assert not [line for line in lines if ":" in line and LITERAL.search(line)]


def test_every_colour_of_the_table_is_used() -> None:
    sheets = "\n".join(path.read_text("utf-8") for path in ASSETS.rglob("*.css"))
    assert not [name for name in colours.COLOURS if f"var(--{name})" not in sheets]


def test_with_more_contrast_texts_reach_what_wcag_calls_enhanced() -> None:
    grounds = ("#f4f2ee", "#1d1b18")  # the lightest theme's darkest ground, and the other way round
    texts = {name: both for name, both in colours.STRONG.items() if "text" in name}
    texts |= {name: (colours.COLOURS[name].strong, colours.COLOURS[name].strong_dark)
              for name in ("vermilion", "ochre", "viridian", "chosen-text", "pointed-text")}  # fmt: skip
    poor = [name for name, both in texts.items()
            if any(contrast(text, ground) < CONTRAST for text, ground in zip(both, grounds, strict=True))]  # fmt: skip
    assert not poor
