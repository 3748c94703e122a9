"""Keys in the prompt, what the numbers at its edge count, and what the page shows for which checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import PATIENCE, RunningServer

LONG = {"width": 64, "height": 64, "steps": 150, "n_iter": 50}
PROMPT = "#txt2img_prompt textarea"


@contextmanager
def options(server: RunningServer, **values: Any) -> Iterator[None]:
    """Settings that hold meanwhile, changed by somebody else than the page."""
    before = httpx.get(f"{server.url}sdapi/v1/options", timeout=PATIENCE).json()
    httpx.post(f"{server.url}sdapi/v1/options", json=values, timeout=PATIENCE).raise_for_status()
    yield
    old = {key: before[key] for key in values}
    httpx.post(f"{server.url}sdapi/v1/options", json=old, timeout=PATIENCE).raise_for_status()


@pytest.mark.long
def test_shift_enter_in_a_prompt_generates_and_adds_no_line(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY)
    for field in ("prompt", "negative_prompt"):
        visitor.write(f"txt2img_{field}", "a chair")
        job = visitor.submit(press=lambda: visitor.page.press(f"#txt2img_{field} textarea", "Shift+Enter"))  # noqa: B023
        visitor.until("id => modules.live.job(id).state === 'done'", job)
        assert visitor.value(f"txt2img_{field}") == "a chair"
    visitor.page.press(PROMPT, "Enter")
    assert visitor.value("txt2img_prompt") == "a chair\n"


@pytest.mark.long
def test_ctrl_enter_while_a_picture_is_made_interrupts_it_and_begins_anew(visitor: Visitor) -> None:
    visitor.set("txt2img", **LONG).write("txt2img_prompt", "the first")
    first = visitor.submit()
    visitor.until("id => modules.live.job(id).step >= 1", first)
    visitor.set("txt2img", **TINY, n_iter=1).write("txt2img_prompt", "the second")
    second = visitor.submit(press=lambda: visitor.page.press(PROMPT, "Control+Enter"))
    visitor.write("txt2img_prompt", "the third")
    third = visitor.submit(press=lambda: visitor.page.press(PROMPT, "Control+Enter"))
    visitor.until("id => modules.live.job(id).state === 'done'", third)
    assert visitor.job(first)["state"] in ("done", "cancelled")
    assert len(visitor.job(first)["pictures"]) < LONG["n_iter"]
    assert visitor.job(third)["prompt"] == "the third"
    assert visitor.job(second)["state"] in ("cancelled", "done"), (
        "it was taken back, or was quicker than the third press"
    )


@pytest.mark.long
def test_ctrl_enter_adds_a_job_where_the_settings_say_so(visitor: Visitor, page_server: RunningServer) -> None:
    with options(page_server, while_running="One more job, after those that wait"):
        visitor.until("() => modules.facts.begins_anew === false")
        visitor.set("txt2img", **LONG)
        first = visitor.submit()
        visitor.until("id => modules.live.job(id).step >= 1", first)
        second = visitor.submit(press=lambda: visitor.page.press(PROMPT, "Control+Enter"))
        assert visitor.job(first)["state"] == "running"
        assert visitor.job(second)["state"] == "queued"
        visitor.page.evaluate("() => modules.server.post('internal/jobs/cancel').then(() => null)")
        visitor.until("id => modules.live.job(id).state !== 'running'", first)
    visitor.until("() => modules.facts.begins_anew === true")


@pytest.mark.long
def test_the_counter_counts_styles_and_obeys_the_settings_at_once(visitor: Visitor, page_server: RunningServer) -> None:
    page = visitor.page
    page.click("#txt2img_style_edit")
    page.fill("#styles_name input", "Long")
    page.press("#styles_name input", "Enter")
    visitor.write("styles_prompt", "one two three").write("styles_negative", "four five")
    page.click("#styles_save")
    visitor.see("#styles_notice .notice")
    page.keyboard.press("Escape")
    visitor.write("txt2img_prompt", "a boat")
    counts = "(n) => document.querySelector('#txt2img_prompt_tokens').textContent === n"
    visitor.until(counts, "2/75")
    visitor.choose("txt2img_styles", "Long")
    page.keyboard.press("Escape")
    visitor.until(counts, "6/75")  # The comma between them is one, too.
    visitor.until("() => document.querySelector('#txt2img_negative_prompt_tokens').textContent === '2/75'")
    with options(page_server, include_styles_into_token_counters=False):
        visitor.until(counts, "2/75")
    visitor.until(counts, "6/75")
    with options(page_server, disable_token_counters=True):
        visitor.until("() => !document.querySelector('#txt2img_prompt_tokens').checkVisibility()")
    visitor.until("() => document.querySelector('#txt2img_prompt_tokens').checkVisibility()")


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "setting", "once", "then"),
    [
        ("boat", "keyedit_precision_attention", "(boat:1.1)", "(boat:1.12)"),
        ("<lora:boat:1>", "keyedit_precision_extra", "<lora:boat:1.05>", "<lora:boat:1.07>"),
    ],
)
def test_the_step_of_ctrl_up_is_that_of_the_settings_now(
    visitor: Visitor, page_server: RunningServer, text: str, setting: str, once: str, then: str
) -> None:
    def press() -> None:
        area = visitor.page.locator(PROMPT)
        area.evaluate("area => { area.focus(); area.setSelectionRange(2, 2); }")
        visitor.page.keyboard.press("Control+ArrowUp")

    visitor.write("txt2img_prompt", text)
    press()
    assert visitor.value("txt2img_prompt") == once
    with options(page_server, **{setting: 0.02}):
        visitor.until("() => modules.facts.precision === 0.02 || modules.facts.precision_extra === 0.02")
        press()
        assert visitor.value("txt2img_prompt") == then


@pytest.mark.long
def test_image_cfg_is_there_for_checkpoints_that_edit_by_instruction(
    enter: Enter, page_server: RunningServer, tiny_checkpoint: Path
) -> None:
    weights, first = load_file(tiny_checkpoint), "model.diffusion_model.input_blocks.0.0.weight"
    weights[first] = np.concatenate([weights[first], np.zeros_like(weights[first])], axis=1)
    edit = page_server.data / "models" / "Stable-diffusion" / "zz-edit.safetensors"
    save_file(weights, edit)
    config = tiny_checkpoint.with_suffix(".yaml").read_text("utf-8")
    edit.with_suffix(".yaml").write_text(config.replace("in_channels: 4", "in_channels: 8", 1), "utf-8")
    shown = "yes => document.querySelector('#img2img_image_cfg_scale')?.checkVisibility() === yes"
    try:
        visitor = enter()
        visitor.page.click("#refresh_sd_model_checkpoint")
        visitor.open("img2img")
        assert not visitor.page.locator("#img2img_image_cfg_scale").is_visible()
        visitor.load("zz-edit").until(shown, True)
        visitor.reload().open("img2img").until(shown, True)
        visitor.load("tiny-sd1").until("() => !document.querySelector('#img2img_image_cfg_scale')?.checkVisibility()")
    finally:
        edit.unlink()
        edit.with_suffix(".yaml").unlink()
