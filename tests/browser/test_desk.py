"""The prompt desk: words are completed while they are typed, and a wildcard's text comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.test_cards import lora
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

AREA = "#txt2img_prompt textarea"
OFFERS = ".completions:not([hidden]) li"


@pytest.fixture
def lists(page_server: RunningServer) -> Iterator[Path]:
    models = page_server.data / "models"
    made = {
        "tags/list.csv": "zebra_crossing,0,35000\nzebra_(animal),0,12\n",
        "wildcards/zoo.txt": "okapi\n",
    }
    for name, content in made.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(content)
    lora(models / "Lora" / "zebrastripes.safetensors", 0.1)
    yield models
    for name in (*made, "Lora/zebrastripes.safetensors"):
        (models / name).unlink()


def test_a_tag_a_lora_and_a_wildcard_are_completed_and_its_text_comes_back(visitor: Visitor, lists: Path) -> None:
    page = visitor.page
    visitor.set("txt2img", **TINY)
    page.click(AREA)
    page.keyboard.type("a zeb")
    page.wait_for_selector(f"{OFFERS}:has-text('35k')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute(AREA, "aria-activedescendant") == "completion_1"
    page.keyboard.press("Enter")
    assert page.input_value(AREA) == "a zebra \\(animal\\), "
    page.wait_for_selector(OFFERS, state="detached")

    page.click(".gesso-cards[data-tab=txt2img] [data-page=loras]")
    page.click(".gesso-cards[data-tab=txt2img] [aria-label='Refresh the list']")
    page.click(AREA)
    page.keyboard.press("End")
    page.keyboard.type("<lora:zebra")
    page.wait_for_selector(f"{OFFERS}:has-text('zebrastripes')")
    page.keyboard.press("Tab")
    page.wait_for_function("() => document.querySelector('#txt2img_prompt textarea').value.includes('stripes:1>')")
    page.keyboard.type(" __zo")
    page.wait_for_selector(f"{OFFERS}:has-text('zoo')")
    page.keyboard.press("Escape")
    page.wait_for_selector(OFFERS, state="detached")
    page.keyboard.type("o")
    page.click(f"{OFFERS}:has-text('zoo')")
    assert page.input_value(AREA) == "a zebra \\(animal\\), <lora:zebrastripes:1> __zoo__"

    page.fill(AREA, "a {tame|tame} __zoo__")
    visitor.generate("txt2img")
    text = visitor.infotext("txt2img")
    assert text.startswith("a tame okapi\n") and "Template: a {tame|tame} __zoo__" in text


def test_pieces_are_another_look_at_the_text_and_old_prompts_come_back(visitor: Visitor) -> None:
    page = visitor.page
    chips = "#txt2img_prompt .chips"
    page.click("#txt2img_prompt [aria-label='Show the prompt in pieces']")
    page.click(AREA)
    page.keyboard.type("a heron, mist, (reeds:1.2)")
    page.keyboard.press("Escape")
    page.wait_for_selector(f"{chips} li:nth-child(3).kind-stronger")
    page.click(f"{chips} li:nth-child(2) .chip-words")
    assert page.input_value(AREA) == "a heron,\n# mist,\n(reeds:1.2)"
    page.wait_for_selector(f"{chips} li:nth-child(2).off")
    page.click(f"{chips} li:nth-child(2) .chip-words")
    assert page.input_value(AREA) == "a heron, mist, (reeds:1.2)"
    page.keyboard.press("ArrowUp")
    assert page.input_value(AREA) == "a heron, (mist:1.1), (reeds:1.2)"
    page.keyboard.press("Alt+ArrowLeft")
    assert page.input_value(AREA) == "(mist:1.1), a heron, (reeds:1.2)"
    page.keyboard.press("Delete")
    assert page.input_value(AREA) == "a heron, (reeds:1.2)"
    page.drag_and_drop(f"{chips} li:nth-child(2)", f"{chips} li:nth-child(1)")
    assert page.input_value(AREA) == "(reeds:1.2), a heron"

    visitor.set("txt2img", **TINY).generate("txt2img")
    page.click(AREA)
    page.keyboard.press("Control+/")
    assert page.input_value(AREA) == "# (reeds:1.2), a heron"
    page.fill(AREA, "")
    page.click("#txt2img_prompt [aria-label='Prompts written before']")
    page.fill(".prompt-history input", "heron")
    page.click(".prompt-list .prompt-text:has-text('a heron')")
    assert page.input_value(AREA) == "(reeds:1.2), a heron"
    page.click("#txt2img_prompt [aria-label='Show the prompt in pieces']")
    assert page.locator(chips).is_hidden()
