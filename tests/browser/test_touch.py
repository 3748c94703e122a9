"""With a finger on a narrow screen: regions, drawings and poses, and the page stays where it is meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor

UNIT = "txt2img_controlnet_0"
REGIONS = "txt2img_regional_prompter_regions"
Share = tuple[float, float]


@pytest.fixture
def phone(enter: Enter) -> Visitor:
    return enter(touch=True, width=390, height=844).set("txt2img", **TINY)


def over(visitor: Visitor, thing: Locator) -> Callable[..., None]:
    """A finger that moves over something, from place to place in shares of its width and height."""

    def swipe(*places: Share) -> None:
        thing.scroll_into_view_if_needed()
        box = thing.bounding_box()
        assert box is not None
        at = visitor.page.evaluate("() => scrollY")
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        (x, y), *rest = points
        steps = [(x + 4, y + 4), *rest] if rest else []
        visitor.swipe((x, y), *steps)
        assert visitor.page.evaluate("() => scrollY") == at, "the page scrolls away under the finger"

    return swipe


@pytest.mark.long
def test_regions_are_drawn_with_a_finger(phone: Visitor) -> None:
    page = phone.page
    page.tap("#txt2img_features > button")
    page.tap("#txt2img_regional_prompter_enabled input")
    page.locator("#txt2img_regional_prompter_mode label", has_text="Drawn").tap()
    frame = phone.see(f"#{REGIONS} .region-frame")
    swipe = over(phone, frame)

    def regions() -> list[dict[str, float]]:
        return list(json.loads(page.input_value(f"#{REGIONS} label textarea") or "{}").values())

    swipe((0.1, 0.1), (0.3, 0.3), (0.5, 0.5))
    (one,) = regions()
    assert abs(one["x"] - 0.1) < 0.03 and abs(one["w"] - 0.4) < 0.05, one
    swipe((0.3, 0.3), (0.4, 0.4), (0.5, 0.5))
    (moved,) = regions()
    assert abs(moved["x"] - 0.3) < 0.04 and moved["w"] == one["w"], moved
    corner = (moved["x"] + moved["w"], moved["y"] + moved["h"])
    swipe(corner, (0.8, 0.8), (0.95, 0.95))
    assert abs(regions()[0]["w"] - (0.95 - moved["x"])) < 0.05, regions()
    page.locator(f"#{REGIONS} .region-bar :text-is('Paint')").tap()
    swipe((0.05, 0.05), (0.2, 0.05), (0.9, 0.05))
    assert len(regions()) == 2 and "strokes" in regions()[1]
    assert phone.overflow == 0


@pytest.mark.long
def test_drawings_and_poses_are_made_with_a_finger(phone: Visitor) -> None:
    page = phone.page
    page.tap("#txt2img_controlnet > button")
    page.tap(f"#{UNIT}_draw")
    board = page.get_by_role("dialog", name="Draw")
    over(phone, board.get_by_label("Sketch: paint on the picture"))((0.2, 0.5), (0.4, 0.5), (0.8, 0.5))
    assert phone.overflow == 0
    board.get_by_role("button", name="Use as picture").tap()
    phone.until("id => document.querySelector(`#${id}_image img`)?.naturalWidth === 64", UNIT)
    darkest = """async (id) => {
        const image = document.querySelector(`#${id}_image img`);
        await image.decode();
        const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
        const pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        return [8, 32, 60].map((x) => Math.min(...pen.getImageData(x, 0, 1, 64).data.filter((_, at) => at % 4 === 0)));
    }"""
    left, middle, right = page.evaluate(darkest, UNIT)
    assert left == right == 255 and middle < 100, "the line goes as far as the finger went"

    page.locator(f"#{UNIT}_type label", has_text="OpenPose").tap()
    page.tap(f"#{UNIT}_pose")
    editor = page.get_by_role("dialog", name="Pose editor")
    sheet = editor.locator("rect")
    wrist = editor.get_by_role("button", name="Person 1: right wrist")
    ankle = editor.get_by_role("button", name="Person 1: left ankle")

    def place(joint: Locator) -> Share:
        box, whole = joint.bounding_box(), sheet.bounding_box()
        assert box and whole
        x, y = box["x"] + box["width"] / 2 - whole["x"], box["y"] + box["height"] / 2 - whole["y"]
        return x / whole["width"], y / whole["height"]

    stays, (x, y) = place(ankle), place(wrist)
    swipe = over(phone, sheet)
    swipe((x + 0.03, y), (0.3, 0.2), (0.25, 0.1))  # beside the joint, as fingers do
    assert place(wrist) == pytest.approx((0.25, 0.1), abs=0.03)
    assert place(ankle) == pytest.approx(stays, abs=0.01)
    swipe((0.02, 0.98), (0.1, 0.9))
    assert place(wrist) == pytest.approx((0.25, 0.1), abs=0.03), "where no joint is, nothing moves"
    assert phone.overflow == 0
