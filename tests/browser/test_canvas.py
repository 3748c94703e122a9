"""The canvas: an area drawn around and taken back in another tab, a pen that presses, layers that hide."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.visitor import Visitor

PLACE = "img2img_sketch_image"


@pytest.fixture
def sketching(visitor: Visitor, tmp_path: Path) -> Visitor:
    """A visitor before a white picture of 400 by 300 pixels, to sketch on."""
    Image.new("RGB", (400, 300), "white").save(tmp_path / "white.png")
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_sketch-button")
    visitor.page.set_input_files(f"#{PLACE} input[type=file]", tmp_path / "white.png")
    visitor.see(f"#{PLACE} .canvas-paper").scroll_into_view_if_needed()
    return visitor


def at(visitor: Visitor, x: float, y: float) -> tuple[float, float]:
    """Where a place of the picture is in the window, both as shares."""
    box = visitor.see(f"#{PLACE} .canvas-paper").bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(visitor: Visitor, *places: tuple[float, float]) -> None:
    mouse = visitor.page.mouse
    mouse.move(*at(visitor, *places[0]))
    mouse.down()
    for place in places[1:]:
        mouse.move(*at(visitor, *place), steps=4)
    mouse.up()


def paint(visitor: Visitor) -> Image.Image:
    """What was drawn, as it is sent along."""
    visitor.until("() => modules.dom.field('img2img_sketch_strokes').value.length > 100")
    visitor.page.wait_for_timeout(300)
    content = visitor.page.evaluate("() => modules.dom.field('img2img_sketch_strokes').value")
    return Image.open(io.BytesIO(base64.b64decode(content.partition(",")[2]))).convert("RGBA")


def opaque(image: Image.Image, x: float) -> int:
    """How many pixels of a column are painted."""
    column = image.getchannel("A").crop((int(x * image.width), 0, int(x * image.width) + 1, image.height))
    return sum(count for level, count in enumerate(column.histogram()) if level > 127)


def test_an_area_is_filled_and_taken_back_after_another_tab(sketching: Visitor) -> None:
    sketching.page.locator(f"#{PLACE} .canvas-paper").hover()
    sketching.page.keyboard.press("l")
    drag(sketching, (0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2))
    drawn = paint(sketching)
    assert drawn.size == (400, 300)
    assert drawn.getpixel((200, 150))[3] > 250  # type: ignore[index]
    assert drawn.getpixel((20, 150))[3] == 0  # type: ignore[index]
    sketching.open("txt2img").open("img2img")
    sketching.page.locator(f"#{PLACE} .canvas-paper").hover()
    sketching.page.keyboard.press("Control+z")
    sketching.until("() => modules.dom.field('img2img_sketch_strokes').value === ''")
    sketching.page.keyboard.press("Control+Shift+z")
    assert opaque(paint(sketching), 0.5) > 150


def test_a_pen_that_presses_harder_draws_thicker(sketching: Visitor) -> None:
    session = sketching.page.context.new_cdp_session(sketching.page)

    def pen(kind: str, x: float, y: float, force: float) -> None:
        place = at(sketching, x, y)
        session.send(
            "Input.dispatchMouseEvent",
            {
                "type": kind, "x": place[0], "y": place[1], "button": "left", "buttons": 1, "pointerType": "pen",
                "force": force, "clickCount": 1,
            },
        )  # fmt: skip

    for x, force in ((0.25, 0.15), (0.75, 1.0)):
        pen("mouseMoved", x, 0.5, force)
        pen("mousePressed", x, 0.5, force)
        for step in range(6):
            pen("mouseMoved", x - 0.1 + 0.04 * step, 0.5, force)
        pen("mouseReleased", x + 0.1, 0.5, 0)
    drawn = paint(sketching)
    light, heavy = opaque(drawn, 0.25), opaque(drawn, 0.75)
    assert 0 < light * 1.5 < heavy, (light, heavy)


def test_a_layer_that_is_hidden_is_not_sent(sketching: Visitor) -> None:
    drag(sketching, (0.1, 0.3), (0.9, 0.3))
    sketching.page.click(f"#{PLACE} .canvas-corner .glyph-stack")
    panel = sketching.page.locator(f"#{PLACE}")
    panel.get_by_label("Add a layer").select_option(index=1)
    drag(sketching, (0.1, 0.7), (0.6, 0.7))
    both = paint(sketching)
    painted = both.getchannel("A")
    assert painted.crop((0, 60, 400, 120)).getextrema()[1] > 250
    assert painted.crop((0, 180, 400, 240)).getextrema()[1] > 250
    panel.locator(".glyph-eye").first.click()
    sketching.until(
        "before => modules.dom.field('img2img_sketch_strokes').value !== before",
        sketching.page.evaluate("() => modules.dom.field('img2img_sketch_strokes').value"),
    )
    one = paint(sketching).getchannel("A")
    assert one.crop((0, 60, 400, 120)).getextrema()[1] > 250
    assert one.crop((0, 180, 400, 240)).getextrema()[1] == 0


def test_wheel_and_keys_zoom_move_and_fill_the_window(sketching: Visitor) -> None:
    page = sketching.page
    place = page.locator(f"#{PLACE} .canvas-paper")
    said = page.locator(f"#{PLACE} .canvas-corner")
    place.hover()
    fitting = said.inner_text()
    page.keyboard.down("Alt")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Alt")
    sketching.until(
        "before => document.querySelector('#img2img_sketch_image .canvas-corner').innerText !== before", fitting
    )
    page.keyboard.press("r")
    sketching.until(
        "before => document.querySelector('#img2img_sketch_image .canvas-corner').innerText === before", fitting
    )
    before = place.bounding_box()
    page.keyboard.press("s")
    sketching.until(
        "width => document.querySelector('#img2img_sketch_image .canvas-paper').clientWidth > width",
        before["width"] if before else 0,
    )
    page.keyboard.press("Escape")
    sketching.until(
        "width => document.querySelector('#img2img_sketch_image .canvas-paper').clientWidth <= width + 1",
        before["width"] if before else 0,
    )
    assert sketching.overflow <= 0
