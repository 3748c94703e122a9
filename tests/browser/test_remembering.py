"""Nothing that was typed, chosen, dropped or painted is lost with the page."""

from __future__ import annotations

import io

from PIL import Image

from tests.browser.conftest import Enter
from tests.browser.visitor import Visitor

KEPT = "() => !modules.remembering.isWaiting()"


def red(side: int = 96) -> dict[str, object]:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return {"name": "red.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_a_reload_in_mid_edit_loses_nothing(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "half a sen").set("txt2img", steps=37)
    visitor.choose("txt2img_sampler_name", "LCM")
    visitor.page.locator("#txt2img_enable_hr input").check()
    visitor.until(KEPT)
    visitor.reload()
    assert visitor.value("txt2img_prompt") == "half a sen"
    assert visitor.page.locator("#txt2img_steps input[type=number]").input_value() == "37"
    assert visitor.page.locator("#txt2img_sampler_name input").input_value() == "LCM"
    assert visitor.page.locator("#txt2img_enable_hr input").is_checked()
    assert not visitor.page.locator("[id$=_keep]:visible, [id$=_recall]:visible, [id^=remember_]:visible").count()


def test_a_picture_what_is_painted_on_it_and_the_open_tabs_come_back(visitor: Visitor) -> None:
    page = visitor.open("img2img").page
    page.get_by_role("tab", name="Inpaint", exact=True).click()
    page.set_input_files("#img2img_inpaint_image input[type=file]", [red()])  # type: ignore[list-item]
    canvas = page.locator("#img2img_inpaint_image .canvas-paper")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.up()
    visitor.until(KEPT)
    visitor.reload()
    page.locator("#img2img_inpaint_image .image-frame img").wait_for()
    visitor.until("() => (document.querySelector('#img2img_inpaint_mask textarea')?.value ?? '').startsWith('data:')")


def test_what_filled_the_form_can_be_undone(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "a cat\nSteps: 9, Sampler: Euler, CFG scale: 3, Size: 64x64")
    visitor.page.locator("#txt2img_paste").click()
    visitor.until("() => document.querySelector('#txt2img_steps input[type=number]').value === '9'")
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.until("() => document.querySelector('#txt2img_steps input[type=number]').value === '20'")
    assert visitor.value("txt2img_prompt").startswith("a cat\nSteps: 9")
    visitor.page.get_by_role("button", name="Reset the form").first.click()
    visitor.until("() => document.querySelector('#txt2img_prompt textarea').value === ''")


def test_another_browser_sees_nothing_of_it(enter: Enter) -> None:
    one = enter()
    one.write("txt2img_prompt", "my secret")
    one.until(KEPT)
    assert enter(beside=one).value("txt2img_prompt") == "my secret"
    assert enter(stranger=True).value("txt2img_prompt") == ""
