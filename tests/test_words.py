"""Every text of the page is in the catalogue, and every language says all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.words import collected, faults, literals
from webui.catalog.localizations import CATALOGUE, FOLDER
from webui.request.localization import OWN

LANGUAGES = sorted(path for path in FOLDER.glob("*.json") if path != CATALOGUE)
CATALOGUED: dict[str, str] = json.loads(CATALOGUE.read_text("utf-8"))


def test_the_catalogue_has_every_text_of_the_page_and_no_other() -> None:
    found = collected()
    missing = [f"{text!r} ({place})" for text, place in found.items() if text not in CATALOGUED]
    over = [text for text in CATALOGUED if text not in found]
    hint = "`python -m tests.words` writes it anew; then the languages want these texts, too"
    assert not missing, f"texts that the catalogue lacks ({hint}): {missing}"
    assert not over, f"texts that no longer stand anywhere ({hint}): {over}"
    for known in ("Pictures appear here.", "{count} selected", "Only an administrator may change this."):
        assert known in found


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_a_language_says_every_text_with_its_values(path: Path) -> None:
    assert path.stem in OWN
    assert faults(CATALOGUED, json.loads(path.read_text("utf-8"))) == []


def test_faults_of_a_table_are_found() -> None:
    catalogue = {"Seed": "a", "{count} selected": "b", "Use `x`": "c"}
    assert faults(catalogue, {"Seed": "S", "{count} selected": "{count} gewählt", "Use `x`": "`x`"}) == []
    bad = faults(catalogue, {"{count} selected": "{n} gewählt", "Use `x`": "x", "Old": "Alt"})
    assert [line.split(":")[0] for line in bad] == [
        "missing", "not in the catalogue", "other placeholders", "other markup"
    ]  # fmt: skip
    assert faults({"a b": "", "c d": ""}, {"c d": "x", "a b": " y"})[-1] == "not in the order of the catalogue"


def test_texts_are_found_in_modules() -> None:
    module = """// "no text"
    const a = "One", b = `${count(x)} of ${list.length} made`, c = x / 2, d = /"/.test('Two "2"'); /* "none" */
    say(`It ${good ? "works" : "fails"}: ${`inner ${deep}`}`);"""
    assert literals(module) == [
        "One", "{count} of {count} made", 'Two "2"', "works", "fails", "inner {deep}", "It works: {value}",
        "It fails: {value}",
    ]  # fmt: skip
