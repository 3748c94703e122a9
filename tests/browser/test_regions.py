"""Regions are drawn on the page, each with its prompt and its LoRA, and each LoRA acts where its region is."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer
from tests.tensors import write_tensors

FORM = "txt2img_regional_prompter"
CHOSEN = "([id, mode]) => document.querySelector(`#${id}_mode label.selected`).textContent.trim() === mode"
LAYERS = {
    "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_2": (32, 128),
    "lora_unet_up_blocks_3_resnets_2_conv2": (32, 32),
}
"""Near the end of the network: what it changes, it changes at its place. -> (outputs, inputs)"""


def lora(path: Path, seed: int) -> None:
    """A LoRA of rank 1, written without torch."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for layer, (outputs, inputs) in LAYERS.items():
        kernel = (1, 1) if "conv" in layer else ()
        for side, shape in (("up", (outputs, 1, *kernel)), ("down", (1, inputs, *(3 * one for one in kernel)))):
            tensors[f"{layer}.lora_{side}.weight"] = draw.normal(0, 0.3, size=shape).astype("<f4")
    write_tensors(path, tensors)


@pytest.fixture
def loras(page_server: RunningServer) -> None:
    for seed, name in enumerate(("left", "right")):
        lora(page_server.data / "models" / "Lora" / f"{name}.safetensors", seed)


def opened(visitor: Visitor) -> Visitor:
    """With the frame that regions are drawn in."""
    page = visitor.page
    page.click("#txt2img_features > button")
    page.check(f"#{FORM}_enabled input")
    page.locator(f"#{FORM}_mode label", has_text="Drawn").click()
    visitor.see(f"#{FORM}_regions .region-frame")
    return visitor


def drag(visitor: Visitor, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place of the frame to another, as shares of its width and height."""
    frame = visitor.page.locator(f"#{FORM}_regions .region-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    (x, y), (to_x, to_y) = ((box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in (start, end))
    mouse = visitor.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move((x + to_x) / 2, (y + to_y) / 2)
    mouse.move(to_x, to_y)
    mouse.up()


def regions(visitor: Visitor) -> list[dict[str, Any]]:
    """Those that the form carries."""
    return list(json.loads(visitor.page.input_value(f"#{FORM}_regions label textarea") or "{}").values())


def prompts(visitor: Visitor, *texts: str) -> None:
    for number, text in enumerate(texts, 1):
        visitor.page.fill(f"#{FORM}_regions textarea[aria-label='Prompt of region {number}']", text)


def generated(visitor: Visitor) -> np.ndarray[Any, Any]:
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    assert all("applied 2 of 2 keys" in remark for remark in job.get("comments") or ()), job
    content = visitor.fetch(visitor.shown_picture())
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)


@pytest.mark.long
@pytest.mark.usefixtures("loras")
def test_two_regions_are_drawn_and_each_lora_acts_in_its_own(visitor: Visitor) -> None:
    visitor.set("txt2img", **{**TINY, "width": 128, "height": 64, "steps": 1, "seed": 5})
    visitor.write("txt2img_prompt", "a park")
    opened(visitor)
    drag(visitor, (0.5, 0.995), (0.003, 0.003))
    drag(visitor, (0.52, 0.003), (0.997, 0.997))
    left, right = regions(visitor)
    assert left["x"] < 0.02 and 0.48 < left["w"] < 0.51 and left["h"] > 0.95 and left["weight"] == 0.8
    assert right["x"] > 0.5 and right["x"] + right["w"] > 0.98

    pictures = []
    for of_left, of_right in (("", ""), ("<lora:left:1>", ""), ("", "<lora:right:1>")):
        prompts(visitor, f"a cat {of_left}", f"a dog {of_right}")
        pictures.append(generated(visitor))
    plain, with_left, with_right = pictures
    for made, own in ((with_left, 0), (with_right, 1)):
        apart = np.abs(made - plain).mean(axis=(0, 2))
        halves = apart[: len(apart) // 2].mean(), apart[len(apart) // 2 :].mean()
        assert halves[own] > 1.5 * halves[1 - own], halves

    # What an infotext says is shown in the frame again.
    said = visitor.infotext()
    assert "RP Divide mode: Drawn" in said and '"prompt": "a dog <lora:right:1>"' in said, said
    page = visitor.page
    page.click(f"#{FORM}_regions button[aria-label='Remove all regions']")
    assert regions(visitor) == []
    visitor.write("txt2img_prompt", said)
    page.click("#txt2img_paste")
    visitor.see(f"#{FORM}_regions .region-shape >> nth=1")
    assert page.input_value(f"#{FORM}_regions textarea[aria-label='Prompt of region 2']") == "a dog <lora:right:1>"
    assert visitor.value("txt2img_prompt") == "a park"


@pytest.mark.long
def test_regions_are_drawn_painted_moved_and_taken_back(enter: Enter) -> None:
    visitor = opened(enter(width=390, height=844).set("txt2img", width=96, height=192))
    page, form = visitor.page, f"#{FORM}_regions"
    visitor.until("id => document.querySelector(`${id} .region-frame`).style.aspectRatio.startsWith('96')", form)
    drag(visitor, (0.2, 0.2), (0.6, 0.4))
    (one,) = regions(visitor)
    assert abs(one["x"] - 0.2) < 0.02 and abs(one["w"] - 0.4) < 0.03

    drag(visitor, (0.4, 0.3), (0.5, 0.5))
    (moved,) = regions(visitor)
    assert abs(moved["x"] - 0.3) < 0.02 and abs(moved["y"] - 0.4) < 0.02 and moved["w"] == one["w"]
    drag(visitor, (moved["x"] + moved["w"], moved["y"] + moved["h"]), (0.9, 0.9))
    assert abs(regions(visitor)[0]["w"] - (0.9 - moved["x"])) < 0.03

    page.focus(f"{form} .region-shape")
    before = regions(visitor)[0]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    after = regions(visitor)[0]
    assert round(before["x"] - after["x"], 3) == 0.01 and round(before["h"] - after["h"], 3) == 0.01
    assert page.evaluate("() => document.activeElement.className").startswith("region-shape")

    page.click(f"{form} .region-bar :text-is('Paint')")
    drag(visitor, (0.1, 0.1), (0.9, 0.1))
    page.click(f"{form} .region-bar :text-is('Erase')")
    drag(visitor, (0.5, 0.05), (0.5, 0.15))
    _, painted = regions(visitor)
    assert [stroke[0] > 0 for stroke in painted["strokes"]] == [True, False]
    page.fill(f"{form} textarea[aria-label='Prompt of region 2']", "clouds")
    page.locator(f"{form} input[aria-label='Weight of region 2']").fill("0.5")
    assert regions(visitor)[1] | {"strokes": []} == painted | {"prompt": "clouds", "weight": 0.5, "strokes": []}
    page.click(f"{form} button[aria-label='Put Region 2 under the one before']")
    assert [each["prompt"] for each in regions(visitor)] == ["clouds", ""]

    page.click(f"{form} button[aria-label='Undo']")
    assert [each["prompt"] for each in regions(visitor)] == ["", "clouds"]
    page.click(f"{form} .region-bar :text-is('Rectangles')")
    page.focus(f"{form} .region-shape >> nth=1")
    page.keyboard.press("Delete")
    assert len(regions(visitor)) == 1
    assert visitor.overflow == 0
    assert visitor.comes_to_rest

    page.click(f"{form} button[aria-label='Show the regions as text']")
    page.fill(f"{form} label textarea", '{"Region 1": {"x": 0, "y": 0, "w": 1, "h": 0.5, "prompt": "sky"}}')
    visitor.until("id => document.querySelector(`${id} .region-list textarea`).value === 'sky'", form)
    page.fill(f"{form} label textarea", "{")
    visitor.see(f"{form} .region-note:text('no regions that can be drawn')")
    page.click("#txt2img_generate")
    visitor.see("#txt2img_notice .notice:has-text('not valid JSON')")


def rows(visitor: Visitor, *names: str) -> list[bool]:
    """Which of the controls are seen."""
    return [visitor.page.is_visible(f"#{FORM}_{name}") for name in names]


def test_controls_come_and_go_with_the_mode_and_keep_what_they_hold(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY)
    visitor.write("txt2img_prompt", "a park BREAK a cat")
    page = visitor.page
    page.click("#txt2img_features > button")
    page.check(f"#{FORM}_enabled input")
    visitor.see(f"#{FORM}_ratios")
    which = ("ratios", "flip", "mask", "threshold", "prompt_mode", "regions", "negative_unet", "base_ratios")
    assert rows(visitor, *which) == [True, True, False, False, False, False, False, True]
    page.fill(f"#{FORM}_ratios textarea", "2,1")
    for mode, seen in (
        ("Mask", [False, False, True, False, False, False, False, True]),
        ("Prompt", [False, False, False, True, True, False, False, True]),
        ("Drawn", [False, False, False, False, False, True, False, False]),
    ):
        page.locator(f"#{FORM}_mode label", has_text=mode).first.click()
        visitor.until(
            f"id => document.querySelector(`#${{id}}_mode label.selected`).textContent.trim() === '{mode}'", FORM
        )
        last = which[seen.index(True)]
        visitor.see(f"#{FORM}_{last}")
        assert rows(visitor, *which) == seen, mode
    page.locator(f"#{FORM}_calculation label", has_text="Latent").click()
    visitor.see(f"#{FORM}_negative_unet")

    # What is hidden is sent along, and what an infotext says shows what it needs.
    page.locator(f"#{FORM}_mode label", has_text="Matrix").click()
    visitor.see(f"#{FORM}_ratios")
    assert visitor.value(f"{FORM}_ratios") == "2,1"
    page.locator(f"#{FORM}_mode label", has_text="Prompt").click()
    visitor.see(f"#{FORM}_threshold")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    said = visitor.infotext()
    assert 'RP Ratios: "2,1"' in said and "RP Divide mode: Prompt" in said, said

    page.locator(f"#{FORM}_mode label", has_text="Matrix").click()
    visitor.write("txt2img_prompt", said)
    page.click("#txt2img_paste")
    visitor.see(f"#{FORM}_threshold")
    visitor.until(CHOSEN, [FORM, "Prompt"])
    assert rows(visitor, "ratios", "threshold") == [False, True]

    # The last result lies behind the regions, until somebody takes it away.
    page.locator(f"#{FORM}_mode label", has_text="Drawn").click()
    behind = visitor.see(f"#{FORM}_regions .region-frame").locator(".region-behind")
    assert not behind.is_visible()
    chooser = page.locator(f"#{FORM}_regions").get_by_label("Picture behind the regions")
    chooser.select_option("Last result behind")
    assert behind.get_attribute("src") == visitor.shown_picture()
    visitor.until("() => document.querySelector('.region-behind[src]').naturalWidth === 64")
    first = visitor.shown_picture()
    page.locator(f"#{FORM}_mode label", has_text="Matrix").click()
    visitor.generate()
    visitor.until("src => document.querySelector('.region-behind[src]').src !== src", first)
    page.locator(f"#{FORM}_mode label", has_text="Drawn").click()
    chooser.select_option("")
    assert behind.get_attribute("hidden") is not None
    assert visitor.comes_to_rest
