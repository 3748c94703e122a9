"""Lists in the server's answers are in the visitor's language; their values, and people's names, stay what they are."""

from __future__ import annotations

from types import SimpleNamespace

from webui.request.localization import Localization
from webui.server.ui.controls import NAMES
from webui.server.ui.language import in_their_words, spoken

GERMAN = Localization("Deutsch", "de", {"None": "Keins", "Portrait": "Hochformat", "Steps": "Schritte"})
PAGE = '<!doctype html><html lang="en"><head><meta></head><p lang="en">'


def test_what_lists_offer_is_translated_and_names_are_not() -> None:
    offered = [["Portrait", "Portrait"], ["None", "None"], ["[Hires] Steps", 3], ["other", "other"]]
    answer = {"data": [{"choices": list(offered)}, {"choices": list(offered)}, "Portrait", None]}
    outputs = [SimpleNamespace(elem_classes=[]), SimpleNamespace(elem_classes=["x", NAMES]), None, None]
    in_their_words(answer, outputs, GERMAN)
    free, names, text, _ = answer["data"]
    assert isinstance(free, dict)
    assert isinstance(names, dict)
    assert free["choices"] == [["Hochformat", "Portrait"], ["Keins", "None"], ["[Hires] Schritte", 3], offered[3]]
    assert names["choices"] == [["Portrait", "Portrait"], ["Keins", "None"], *offered[2:]]
    assert text == "Portrait"
    for odd in ({}, {"data": None}, [], None):
        in_their_words(odd, outputs, GERMAN)


def test_the_page_carries_the_table_and_nothing_in_it_ends_a_script() -> None:
    evil = Localization("x", "", {"</script><script>": "<b>"}, rtl=True)
    page = spoken(PAGE, evil, {"de": "</script>"})
    assert page.count("</script>") == 2
    assert "<html lang=\"\" dir='rtl'><head>" in page
    assert spoken(PAGE, GERMAN, {}).startswith('<!doctype html><html lang="de"><head>')
    assert 'lang="en"' in spoken(PAGE, None, {})
