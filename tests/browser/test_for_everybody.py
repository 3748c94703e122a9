"""The page for people who cannot see it well, or use no mouse, and for those who see it for the first time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import Visitor

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
"""What the page's checks bring (`tests/js/package.json`)."""
TABS = ("txt2img", "img2img", "extras", "pnginfo", "merge", "queue", "history", "settings")
ASK = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`))"""
OPEN = """() => document.querySelectorAll("button.label-wrap:not(.open)")
    .forEach((one) => one.offsetParent && one.click())"""


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there; `npm ci` in tests/js brings it")
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious_on_any_tab(enter: Enter, dark: bool) -> None:
    visitor = enter(dark=dark)
    visitor.page.evaluate(AXE.read_text("utf-8"))
    wrong: dict[str, list[str]] = {}
    for tab in TABS:
        visitor.open(tab)
        visitor.page.evaluate(OPEN)
        visitor.page.wait_for_timeout(500)
        if visitor.page.evaluate(ASK):
            visitor.page.wait_for_timeout(3000)  # What a fold builds gets its names a moment after it is there.
            if found := visitor.page.evaluate(ASK):
                wrong[tab] = found
    assert not wrong


def test_all_keys_stand_on_a_sheet(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#txt2img_prompt textarea").press("?")
    assert visitor.value("txt2img_prompt") == "?"
    page.locator("#txt2img_generate").focus()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    sheet.get_by_text("Ctrl").first.wait_for()
    page.keyboard.press("Escape")
    sheet.wait_for(state="detached")
    page.get_by_role("button", name=re.compile("Keyboard shortcuts")).click()
    sheet.wait_for()


def test_the_tips_are_seen_once(enter: Enter) -> None:
    newcomer = enter(stranger=True)
    tips = newcomer.page.get_by_role("group", name="First steps")
    tips.get_by_role("button", name="Next").press("Enter")
    tips.get_by_text("2 of 4").wait_for()
    newcomer.page.keyboard.press("Enter")
    tips.get_by_text("3 of 4").wait_for()
    tips.get_by_role("button", name="Hide tips").click()
    tips.wait_for(state="hidden")
    again = enter(beside=newcomer)
    again.page.get_by_text("Pictures appear here.").first.wait_for()
    assert not again.page.get_by_role("group", name="First steps").count()
