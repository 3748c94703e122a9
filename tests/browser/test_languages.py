"""One server, several languages: each visitor sees theirs, and what is sent, saved and told to programs is English."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer
from webui.catalog.localizations import CATALOGUE

GERMAN = {
    "Seed": "Samen", "Generate": "Los", "History": "Verlauf", "Prompt": "Wunsch", "Resize mode": "Anpassung",
    "Just resize": "Nur dehnen", "Tiling": "Kacheln", "Pictures appear here.": "Hier erscheinen Bilder.",
    "Copied.": "Kopiert.", "Time taken: {value}": "Dauer: {value}", "Prompts cleared.": "Alles leer.",
    "Masked content": "Inhalt", "File format for images": "Dateiformat", "Drawn": "Gemalt",
    "There is no mask, so nothing would change.": "Ohne Maske bleibt alles gleich.",
    "Paint over the areas to change.": "Male darüber.", "Control Type": "Art", "X type": "X-Art", "Steps": "Schritte",
    "Denoising strength curve": "Kurve", "Aggressive": "Heftig", "Linear": "Gerade",
}  # fmt: skip
JAPANESE = {"Seed": "シード値", "Generate": "生成する", "Pictures appear here.": "ここに画像が表示されます。"}
PHOTO = Path(__file__).parents[1] / "pictures" / "astronaut.jpg"


def translated(text: str) -> str:
    """As long as the wordiest languages: two fifths longer."""
    return f"{text} {'ö' * max(1, len(text) * 2 // 5 - 1)}"


@pytest.fixture(autouse=True)
def folder(page_server: RunningServer) -> Iterator[Path]:
    """The languages that people have put there."""
    there = page_server.data / "localizations"
    there.mkdir()
    (there / "de.json").write_text(json.dumps(GERMAN), "utf-8")
    (there / "ja.json").write_text(json.dumps(JAPANESE), "utf-8")
    yield there
    for path in there.iterdir():
        path.unlink()
    there.rmdir()


def choose(visitor: Visitor, name: str) -> Visitor:
    """Let the page be in this language in their browser."""
    visitor.page.context.add_cookies([{"name": "gesso_language", "value": name, "url": visitor.url}])
    return visitor.arrive()


def label(visitor: Visitor, elem_id: str) -> str:
    return visitor.see(f"#{elem_id} :is([data-testid=block-info], label > span)").first.inner_text().strip()


def test_two_visitors_see_two_languages_and_the_picture_says_the_same(enter: Enter) -> None:
    german, japanese, english = enter(locale="de-AT"), enter(locale="ja-JP"), enter()
    assert [label(one, "txt2img_seed") for one in (german, japanese, english)] == ["Samen", "シード値", "Seed"]
    assert [one.page.get_attribute("html", "lang") for one in (german, japanese)] == ["de", "ja"]
    assert "ここに画像が表示されます。" in japanese.see("#txt2img_results .empty").inner_text()
    told = []
    for visitor in (german, japanese):
        visitor.write("txt2img_prompt", "Seed, Generate, History").set("txt2img", **TINY, seed=7).generate()
        told.append(visitor.infotext())
        assert visitor.page.text_content("#txt2img_generate") == {german: "Los", japanese: "生成する"}[visitor]
    assert re.match(r"Seed, Generate, History\s*Steps: 2, Sampler: \S", told[0])
    assert "Seed: 7" in told[0]
    assert [re.sub(r"Time.*", "", text) for text in told] == [told[0]] * 2
    assert german.see("#txt2img_results .layer.on").get_attribute("alt") == "Seed, Generate, History"
    took = german.see(".gesso-infotext[data-tab=txt2img] .took").inner_text()
    assert took.startswith("Dauer: ")


def test_lists_show_the_language_and_send_english(enter: Enter) -> None:
    visitor = enter(locale="de")
    visitor.open("img2img").choose("img2img_script_list", "Loopback")
    list_ = "img2img_script_loopback_denoising_curve"
    assert visitor.value(list_) == "Gerade"
    visitor.choose(list_, "Heftig")
    assert visitor.value(list_) == "Heftig"
    told = visitor.page.context.request.get(f"{visitor.url}sdapi/v1/script-info").json()
    assert next(one for one in told if one["name"] == "loopback")["args"][2]["choices"][0] == "Aggressive"
    with visitor.page.expect_request(lambda one: "Aggressive" in str(one.post_data)) as sent:
        visitor.page.click("#img2img_generate")
    assert "Heftig" not in str(sent.value.post_data)


def test_what_goes_wrong_is_said_in_the_language(enter: Enter) -> None:
    visitor = enter(locale="de").open("img2img")
    visitor.page.click("#mode_img2img_inpaint-button")
    visitor.page.set_input_files("#img2img_inpaint_image input[type=file]", PHOTO)
    visitor.see("#mode_img2img_inpaint .source img")
    visitor.page.click("#img2img_generate")
    assert "Ohne Maske bleibt alles gleich." in visitor.notice("img2img")
    assert "Male darüber." in visitor.notice("img2img")


def test_a_file_of_a1111_is_used_as_it_is_and_a_broken_one_named(enter: Enter, folder: Path) -> None:
    (folder / "ar_AR.json").write_text(json.dumps({"rtl": True, "Seed": "بذرة <b>x</b>"}), "utf-8")
    (folder / "broken.json").write_text('{"Seed": ', "utf-8")
    visitor = choose(enter(stranger=True, arrive=False), "ar_AR")
    assert label(visitor, "txt2img_seed") == "بذرة <b>x</b>"
    assert visitor.page.get_attribute("html", "dir") == "rtl"
    assert visitor.overflow <= 0
    told = json.loads(visitor.fetch(f"{visitor.url}api/v1/problems"))["problems"]
    assert [one["name"] for one in told if one["kind"] == "localizations"] == ["broken.json"]
    choose(visitor, "broken")
    assert label(visitor, "txt2img_seed") == "Seed"


def test_a_language_is_chosen_for_this_browser_in_the_settings(enter: Enter) -> None:
    visitor = enter(stranger=True).open("settings")
    visitor.page.click("#settings_ui-button")
    with visitor.page.expect_navigation():
        visitor.see("#gesso_language select").select_option("ja")
    assert label(visitor.settled().open("txt2img"), "txt2img_seed") == "シード値"
    template = json.loads(visitor.fetch(f"{visitor.url}internal/localization-template"))
    assert template["Seed"] == "Seed"
    assert template.keys() == json.loads(CATALOGUE.read_text("utf-8")).keys()


@pytest.mark.parametrize("width", [1440, 390])
def test_long_words_break_no_layout(enter: Enter, folder: Path, width: int) -> None:
    table = {text: translated(text) for text in json.loads(CATALOGUE.read_text("utf-8"))}
    (folder / "long.json").write_text(json.dumps(table), "utf-8")
    visitor = choose(enter(stranger=True, arrive=False, width=width), "long")
    found = {}
    for tab in ("txt2img", "img2img", "extras", "history", "queue", "settings"):
        visitor.page.evaluate("tab => modules.tabs.openTab(tab)", tab)
        visitor.until("tab => modules.tabs.openedTab() === tab", tab)
        found[tab] = visitor.overflow
    assert all(wider <= 0 for wider in found.values()), found
