"""A picture that follows another: a unit is set up with its map beside, acts, and comes back from an infotext."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import ROOT, RunningServer, made_controls
from tests.packaged import have_detectors
from tests.tensors import drawn, write_tensors

UNIT = "txt2img_controlnet_0"
CANNY = "control_v11p_sd15_canny_tiny"
OTHER = """([id, src]) => {
    const image = document.querySelector(`#${id}_image img`);
    return image && image.src !== src;
}"""
"""Whether a unit has another picture than before."""


@pytest.fixture
def networks(page_server: RunningServer, request: pytest.FixtureRequest) -> None:
    """The small networks, where the server looks for them."""
    folder = page_server.data / "models" / "ControlNet"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        folder.symlink_to(made_controls(request))


@pytest.mark.long
@pytest.mark.usefixtures("networks")
def test_a_unit_is_set_up_with_its_map_beside_and_acts(visitor: Visitor, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    picture = Image.new("RGB", (96, 64), "#203050")
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill="#406080")
    picture.save(photo)
    page = visitor.set("txt2img", **TINY).page
    page.click("#txt2img_controlnet > button")
    page.set_input_files(f"#{UNIT}_image input[type=file]", photo)

    page.locator(f"#{UNIT}_type label", has_text="Canny").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'canny'", UNIT)
    assert visitor.value(f"{UNIT}_model").startswith(CANNY), "of the kind's networks one is proposed"
    visitor.see(f"#{UNIT}_threshold_b :text('High Threshold')")
    visitor.see(f"#{UNIT}_map figcaption:text-is('Preview, 768x512')")
    plain = page.get_attribute(f"#{UNIT}_map img", "src")
    visitor.set(UNIT, threshold_a=1, threshold_b=2)
    visitor.until("([id, src]) => document.querySelector(`#${id}_map img`)?.src !== src", [UNIT, plain])
    page.check(f"#{UNIT}_pixel_perfect input")
    visitor.see(f"#{UNIT}_map figcaption:text-is('Preview, 96x64')")
    assert not page.is_visible(f"#{UNIT}_processor_res"), "it follows from the size"
    page.click(f"#{UNIT}_module input")
    offered = [option.strip("✓\n") for option in page.locator("[role=option]").all_inner_texts()]
    assert offered == ["none", "canny", "invert (from white bg & black line)"]
    page.keyboard.press("Escape")

    page.click(f"#{UNIT}_measure")
    visitor.until("() => document.querySelector('#txt2img_width input[type=number]').value === '96'")
    page.check(f"#{UNIT}_enabled input")
    visitor.see("#txt2img_controlnet_badge :text-is('1')")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    said = visitor.infotext()
    assert f'ControlNet 0: "Module: canny, Model: {CANNY}' in said, said
    assert "Threshold A: 1, Threshold B: 2" in said and "Pixel Perfect: True" in said

    # The picture may be followed by the next one: it goes to the first unit that has none, or to the one that is named.
    page.click("#txt2img_send_to_controlnet")
    visitor.until("id => document.querySelector(`#${id}_image img`)?.naturalHeight === 64", UNIT.replace("0", "1"))
    visitor.choose("txt2img_controlnet_target", "Unit 0")
    before = page.get_attribute(f"#{UNIT}_image img", "src")
    page.click("#txt2img_send_to_controlnet")
    visitor.until("([id, src]) => document.querySelector(`#${id}_image img`)?.src !== src", [UNIT, before])
    visitor.see(f"#{UNIT}_map figcaption:text-is('Preview, 96x64')")
    assert visitor.comes_to_rest

    page.locator(f"#{UNIT}_type label", has_text="Inpaint").click()
    page.wait_for_selector(f"#{UNIT}_map img", state="detached")
    assert not page.inner_text(f"#{UNIT}_map").strip(), "the map is the picture itself, and nothing is wrong with that"

    # It comes back into a form in which the unit's tab has never been opened.
    visitor.write("txt2img_prompt", said.replace("ControlNet 0:", "ControlNet 2:"))
    page.click("#txt2img_paste")
    visitor.until("id => !document.querySelector(`#${id}_enabled input`).checked", UNIT)
    visitor.see("#txt2img_controlnet_badge :text-is('1')")
    page.click("#txt2img_controlnet_2_tab-button")
    third = UNIT.replace("0", "2")
    visitor.see(f"#{third}_threshold_b :text('High Threshold')")
    assert page.is_checked(f"#{third}_enabled input") and page.is_checked(f"#{third}_pixel_perfect input")
    assert visitor.value(f"{third}_module") == "canny" and visitor.value(f"{third}_model").startswith(CANNY)
    assert page.input_value(f"#{third}_threshold_b input[type=number]") == "2"


@pytest.mark.long
@pytest.mark.usefixtures("networks")
def test_a_pose_is_found_by_what_comes_with_the_setup_and_followed(visitor: Visitor) -> None:
    have_detectors()
    page = visitor.set("txt2img", **TINY).page
    page.click("#txt2img_controlnet > button")
    page.set_input_files(f"#{UNIT}_image input[type=file]", ROOT / "tests" / "pictures" / "astronaut.jpg")
    page.locator(f"#{UNIT}_type label", has_text="OpenPose").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'openpose_full'", UNIT)
    visitor.see(f"#{UNIT}_map figcaption:text-is('Preview, 512x512')")
    visitor.see(f"#{UNIT}_map :text('The pose was found by MediaPipe')")
    page.locator(f"#{UNIT}_type label", has_text="All").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'none'", UNIT)
    visitor.choose(f"{UNIT}_module", "openpose_full")
    visitor.choose(f"{UNIT}_model", CANNY)
    page.check(f"#{UNIT}_enabled input")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done" and "openpose_full: The pose was found by" in " ".join(job["comments"]), job
    assert f"Module: openpose_full, Model: {CANNY}" in visitor.infotext()


@pytest.mark.usefixtures("networks")
def test_a_pose_is_edited_and_becomes_the_unit_s_picture(visitor: Visitor, tmp_path: Path) -> None:
    """From nothing: somebody who stands, whose joints are dragged, hidden and saved; then another, out of a file."""
    page = visitor.set("txt2img", **TINY).page
    page.click("#txt2img_controlnet > button")
    assert not page.is_visible(f"#{UNIT}_pose"), "nothing here is about poses yet"
    page.locator(f"#{UNIT}_type label", has_text="OpenPose").click()
    page.click(f"#{UNIT}_pose")
    editor = page.get_by_role("dialog", name="Pose editor")
    wrist = editor.get_by_role("button", name="Person 1: right wrist")
    before, sheet = wrist.bounding_box(), editor.locator("rect").bounding_box()
    assert before and sheet
    page.mouse.move(before["x"] + before["width"] / 2, before["y"] + before["height"] / 2)
    page.mouse.down()
    page.mouse.move(sheet["x"] + sheet["width"] * 0.25, sheet["y"] + sheet["height"] * 0.1, steps=3)
    page.mouse.up()
    editor.get_by_role("button", name="Person 1: left ankle").press("Delete")
    editor.get_by_role("button", name="Person 1: nose").press("ArrowUp")
    with page.expect_download() as saving:
        editor.get_by_role("button", name="Save JSON").click()
    saved = json.loads(Path(saving.value.path()).read_text("utf-8"))
    (person,) = saved["people"]
    joints = [person["pose_keypoints_2d"][at : at + 3] for at in range(0, 54, 3)]
    assert joints[4] == pytest.approx([0.25, 0.1, 1], abs=0.02)
    assert joints[13] == [0, 0, 0]

    editor.get_by_role("button", name="Use as picture").click()
    visitor.until("id => document.querySelector(`#${id}_image img`)?.naturalWidth > 0", UNIT)
    assert not editor.is_visible()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'none'", UNIT)
    first = page.get_attribute(f"#{UNIT}_image img", "src")

    pose = tmp_path / "pose.json"
    pose.write_text(json.dumps({**saved, "people": [person, person]}), "utf-8")
    page.click(f"#{UNIT}_pose")
    editor.locator("input[type=file]").set_input_files(pose)
    expect(editor.get_by_role("button", name="Person 2: nose")).to_be_visible()
    editor.get_by_role("button", name="Person 2: nose").press("Shift+ArrowRight")
    editor.get_by_role("button", name="Use as picture").click()
    visitor.until("([id, src]) => document.querySelector(`#${id}_image img`)?.src !== src", [UNIT, first])

    page.locator(f"#{UNIT}_type label", has_text="All").click()
    visitor.choose(f"{UNIT}_model", CANNY)
    page.check(f"#{UNIT}_enabled input")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    assert f"Module: none, Model: {CANNY}" in visitor.infotext()


@pytest.mark.usefixtures("networks")
def test_a_pose_that_was_found_is_edited(visitor: Visitor, tmp_path: Path) -> None:
    have_detectors()
    page = visitor.set("txt2img", **TINY).page
    page.click("#txt2img_controlnet > button")
    page.set_input_files(f"#{UNIT}_image input[type=file]", ROOT / "tests" / "pictures" / "astronaut.jpg")
    visitor.choose(f"{UNIT}_module", "openpose_full")
    visitor.see(f"#{UNIT}_map figcaption:text-is('Preview, 512x512')")
    page.click(f"#{UNIT}_pose")
    editor = page.get_by_role("dialog", name="Pose editor")
    expect(editor.get_by_role("button", name="Person 1: nose")).to_be_visible()
    assert not editor.get_by_role("button", name="Person 1: left knee").count(), "it is not in the picture"
    editor.get_by_role("button", name="Add missing joints").click()
    expect(editor.get_by_role("button", name="Person 1: left knee")).to_be_visible()
    editor.get_by_role("button", name="Undo").click()
    expect(editor.get_by_role("button", name="Person 1: left knee")).to_have_count(0)
    editor.get_by_role("button", name="Add person").click()
    editor.get_by_role("button", name="Use as picture").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'none'", UNIT)
    visitor.until("id => document.querySelector(`#${id}_image img`)?.src.includes('pose')", UNIT)


@pytest.mark.long
@pytest.mark.usefixtures("networks")
def test_what_is_drawn_is_followed(visitor: Visitor) -> None:
    """From nothing: a line on an empty sheet; then another one on top of it, and a sheet that is begun anew."""
    page = visitor.set("txt2img", **TINY).page
    visitor.set("txt2img", width=96, height=64)
    page.click("#txt2img_controlnet > button")
    page.click(f"#{UNIT}_draw")
    board = page.get_by_role("dialog", name="Draw")
    sheet = board.get_by_label("Sketch: paint on the picture")

    def line(*ends: tuple[float, float]) -> None:
        box = sheet.bounding_box()
        assert box
        for number, (x, y) in enumerate(ends):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if not number:
                page.mouse.down()
        page.mouse.up()

    def levels() -> list[int]:
        """The darkest of each eighth of a line through the middle of the unit's picture, from left to right."""
        return visitor.page.evaluate(
            """async (id) => {
                const image = document.querySelector(`#${id}_image img`);
                await image.decode();
                const canvas = Object.assign(document.createElement("canvas"), { width: 96, height: 64 });
                const pen = canvas.getContext("2d");
                pen.drawImage(image, 0, 0);
                const row = pen.getImageData(0, 32, 96, 1).data.filter((_, at) => at % 4 === 0);
                return [...Array(8).keys()].map((at) => Math.min(...row.slice(at * 12, at * 12 + 12)));
            }""",
            UNIT,
        )

    line((0.3, 0.1), (0.3, 0.9))
    board.get_by_role("button", name="Use as picture").click()
    visitor.until("id => document.querySelector(`#${id}_image img`)?.naturalWidth === 96", UNIT)
    assert not board.is_visible()
    first = levels()
    assert first[0] == first[4] == first[7] == 255 and min(first[1:4]) < 40, first

    page.locator(f"#{UNIT}_type label", has_text="Canny").click()
    visitor.see(f"#{UNIT}_map img")
    page.check(f"#{UNIT}_enabled input")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    assert f'ControlNet 0: "Module: canny, Model: {CANNY}' in visitor.infotext()

    before = page.get_attribute(f"#{UNIT}_image img", "src")
    page.click(f"#{UNIT}_draw")
    line((0.7, 0.1), (0.7, 0.9))
    line((0.9, 0.1), (0.9, 0.9))
    page.keyboard.press("Control+z")
    board.get_by_role("button", name="Use as picture").click()
    visitor.until(OTHER, [UNIT, before])
    second = levels()
    assert min(second[1:4]) < 40 and min(second[5:7]) < 40 and second[7] == 255, "both lines, and not the third"

    before = page.get_attribute(f"#{UNIT}_image img", "src")
    page.click(f"#{UNIT}_draw")
    board.get_by_role("button", name="Black sheet").click()
    board.get_by_role("button", name="Use as picture").click()
    visitor.until(OTHER, [UNIT, before])
    assert set(levels()) == {0}


TEXT, SEES, SAYS = 128, 64, 48
"""Widths: of the checkpoint's text, of a small image encoder, and of what it says in the end."""
LAYERS = (32, 32, 64, 64, 128, 128, 128, 128, 128, 64, 64, 64, 32, 32, 32, 128)
"""Of each cross-attention: encoder, decoder, middle, as published files count them."""


def image_prompt() -> dict[str, tuple[int, ...]]:
    """An IP-Adapter by its published names."""
    found: dict[str, tuple[int, ...]] = {
        "image_proj.proj.weight": (4 * TEXT, SAYS),
        "image_proj.proj.bias": (4 * TEXT,),
        "image_proj.norm.weight": (TEXT,),
        "image_proj.norm.bias": (TEXT,),
    }
    for place, width in enumerate(LAYERS):
        for letter in "kv":
            found[f"ip_adapter.{2 * place + 1}.to_{letter}_ip.weight"] = (width, TEXT)
    return found


def image_encoder() -> dict[str, tuple[int, ...]]:
    """One layer of CLIP's vision, by its published names."""
    found: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (SEES,),
        "embeddings.patch_embedding.weight": (SEES, 3, 14, 14),
        "embeddings.position_embedding.weight": (5, SEES),
    }
    layer = "encoder.layers.0"
    for norm in ("pre_layrnorm", "post_layernorm", f"{layer}.layer_norm1", f"{layer}.layer_norm2"):
        found |= {f"{norm}.{end}": (SEES,) for end in ("weight", "bias")}
    for name, shape in (("fc1", (128, SEES)), ("fc2", (SEES, 128))):
        found |= {f"{layer}.mlp.{name}.weight": shape, f"{layer}.mlp.{name}.bias": shape[:1]}
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        found |= {f"{layer}.self_attn.{name}.weight": (SEES, SEES), f"{layer}.self_attn.{name}.bias": (SEES,)}
    return {f"vision_model.{name}": shape for name, shape in found.items()} | {"visual_projection.weight": (SAYS, SEES)}


@pytest.mark.long
@pytest.mark.usefixtures("networks")
def test_a_picture_is_a_prompt(visitor: Visitor, page_server: RunningServer, tmp_path: Path) -> None:
    """An IP-Adapter is chosen, given a picture, and the result follows it: another picture, another result."""
    models = page_server.data / "models"
    write_tensors(tmp_path / "adapters" / "ip-adapter_sd15_tiny.safetensors", drawn(image_prompt()))
    write_tensors(models / "clip_vision" / "clip_h.safetensors", drawn(image_encoder()))
    with page_server.client() as client:
        answer = client.post("/sdapi/v1/options", json={"control_net_models_path": str(tmp_path / "adapters")})
        assert answer.status_code == 200, answer.text
    photo, other = tmp_path / "photo.png", tmp_path / "other.png"
    picture = Image.new("RGB", (64, 64), "#f0d030")
    ImageDraw.Draw(picture).ellipse((10, 10, 54, 54), fill="#d01010")
    picture.save(photo)
    Image.new("RGB", (64, 64), "#101060").save(other)
    page = visitor.set("txt2img", **TINY, seed=4).page

    def made() -> np.ndarray[Any, Any]:
        job = visitor.job(visitor.generate())
        assert job["state"] == "done" and not job.get("comments"), job
        content = visitor.fetch(visitor.shown_picture())
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)

    plain = made()
    page.click("#txt2img_controlnet > button")
    page.click(f"#{UNIT}_refresh")
    page.locator(f"#{UNIT}_type label", has_text="IP-Adapter").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'ip-adapter-auto'", UNIT)
    visitor.until("id => document.querySelector(`#${id}_model input`).value.startsWith('ip-adapter_sd15_tiny')", UNIT)
    page.set_input_files(f"#{UNIT}_image input[type=file]", photo)
    visitor.until("id => document.querySelector(`#${id}_image img`)?.naturalWidth === 64", UNIT)
    page.check(f"#{UNIT}_enabled input")
    followed = made()
    said = visitor.infotext()
    assert 'ControlNet 0: "Module: ip-adapter-auto, Model: ip-adapter_sd15_tiny' in said, said
    before = page.get_attribute(f"#{UNIT}_image img", "src")
    page.set_input_files(f"#{UNIT}_image input[type=file]", other)
    visitor.until(OTHER, [UNIT, before])
    followed_other = made()
    for one, two in ((plain, followed), (plain, followed_other), (followed, followed_other)):
        assert np.abs(one - two).mean() > 1, "the picture says something"


@pytest.mark.usefixtures("networks")
def test_a_preset_sets_up_the_unit_that_is_open_or_all_of_them(visitor: Visitor, enter: Enter) -> None:
    page = visitor.page
    block, second = UNIT.removesuffix("_0"), UNIT.replace("0", "1")
    page.click(f"#{block} > button")
    page.locator(f"#{UNIT}_type label", has_text="Canny").click()
    visitor.until("id => document.querySelector(`#${id}_module input`).value === 'canny'", UNIT)
    visitor.set(UNIT, weight=0.35, threshold_a=12)
    page.fill(f"#{block}_preset input", "Faint edges")
    page.click(f"#{block}_preset_save")
    visitor.see(f"#{block}_preset_notice :text('Saved unit 0 as')")

    page.click(f"#{second}_tab-button")
    visitor.see(f"#{second}_weight")
    visitor.choose(f"{block}_preset", "Faint edges")
    visitor.until("id => document.querySelector(`#${id}_weight input[type=number]`).value === '0.35'", second)
    assert visitor.value(f"{second}_module") == "canny" and visitor.value(f"{second}_model").startswith(CANNY)
    assert page.is_checked(f"#{second}_enabled input")
    assert page.input_value(f"#{second}_threshold_a input[type=number]") == "12"
    visitor.see(f"#{block}_badge :text-is('1')")

    page.fill(f"#{block}_preset input", "The second alone")
    page.click(f"#{block}_preset_save_all")
    visitor.see(f"#{block}_preset_notice :text('Saved all units')")
    page.uncheck(f"#{second}_enabled input")

    # In another form of a page that comes later: what was on is on, and what was off is off.
    other = enter(beside=visitor).open("img2img")
    theirs = block.replace("txt2img", "img2img")
    other.page.click(f"#{theirs} > button")
    other.page.check(f"#{theirs}_0_enabled input")
    other.choose(f"{theirs}_preset", "The second alone")
    other.until("id => !document.querySelector(`#${id}_0_enabled input`).checked", theirs)
    other.see(f"#{theirs}_badge :text-is('1')")
    other.page.click(f"#{theirs}_1_tab-button")
    other.see(f"#{theirs}_1_weight")
    assert other.page.is_checked(f"#{theirs}_1_enabled input")
    assert other.page.input_value(f"#{theirs}_1_weight input[type=number]") == "0.35"
    other.page.click(f"#{theirs}_preset_delete")
    other.see(f"#{theirs}_preset_notice :text('Deleted')")
    page.click(f"#{block}_preset input")
    assert page.locator("[role=option]").all_inner_texts() == ["Faint edges"]
    page.keyboard.press("Escape")
    page.fill(f"#{block}_preset input", "Nothing like it")
    page.click(f"#{block}_preset_delete")
    visitor.see(f"#{block}_preset_notice :text('There is no preset')")
