"""The scripts at the foot of the form."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.visitor import TINY, Visitor
from webui.request import infotext


@pytest.mark.long
def test_a_table_of_steps_and_scales_comes_with_its_sheet(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY, seed=3).write("txt2img_prompt", "a red apple")
    assert visitor.page.locator(".script-body >> visible=true").count() == 0
    visitor.choose("txt2img_script_list", "X/Y/Z plot")
    visitor.see("#txt2img_script_x_y_z_plot_x_values")
    visitor.choose("txt2img_script_x_y_z_plot_x_type", "Schedule type")
    visitor.page.click("#txt2img_script_x_y_z_plot_x_fill")
    visitor.until("() => modules.dom.field('txt2img_script_x_y_z_plot_x_values').value.includes('Karras,Exponential')")
    visitor.choose("txt2img_script_x_y_z_plot_x_type", "Steps").write("txt2img_script_x_y_z_plot_x_values", "few")
    visitor.page.click("#txt2img_generate")
    assert "Steps: 'few'" in visitor.notice()

    visitor.write("txt2img_script_x_y_z_plot_x_values", "1, 2")
    visitor.choose("txt2img_script_x_y_z_plot_y_type", "CFG Scale")
    visitor.write("txt2img_script_x_y_z_plot_y_values", "2-3")
    visitor.page.click("#txt2img_script_x_y_z_plot_swap_xy")
    visitor.until("() => modules.dom.field('txt2img_script_x_y_z_plot_y_values').value === '1, 2'")
    job = visitor.job(visitor.generate())
    assert [picture["seed"] for picture in job["pictures"]] == [3] * 4
    visitor.until("() => document.querySelector('#txt2img_results .layer.on')?.src.includes('-grid')")
    image = Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture())))
    found = infotext.read(image.info["parameters"]).labels
    assert (found["X Type"], found["Y Values"]) == ("CFG Scale", "1, 2")
    assert image.width == 48 + 2 * 64

    # What was asked for goes back into the form.
    visitor.choose("txt2img_script_list", "None")
    visitor.until("() => !document.querySelector('.script-body.chosen')")
    visitor.open("queue").see(f".gesso-jobs li[data-id='{job['id']}']").locator(".glyph-edit").click()
    visitor.see("#txt2img_script_x_y_z_plot_x_values")
    assert visitor.value("txt2img_script_x_y_z_plot_x_values") == "2-3"


@pytest.mark.long
def test_lines_become_pictures(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY)
    visitor.choose("txt2img_script_list", "Prompts from file")
    visitor.write("txt2img_script_prompts_from_file_or_textbox_lines", 'a cat\n--prompt "a dog" --steps 1')
    job = visitor.job(visitor.generate())
    told = [infotext.read(picture["infotext"]) for picture in job["pictures"]]
    assert [(each.prompt, each.labels["Steps"]) for each in told] == [("a cat", "2"), ("a dog", "1")]


@pytest.mark.long
def test_the_lines_of_an_uploaded_file_stand_in_the_textbox(visitor: Visitor, tmp_path: Path) -> None:
    visitor.choose("txt2img_script_list", "Prompts from file or textbox")
    prompts, broken = tmp_path / "prompts.txt", tmp_path / "broken.txt"
    prompts.write_text("a cat\na dog", "utf-8")
    broken.write_bytes(b"\xff\x00\x00")
    field = "txt2img_script_prompts_from_file_or_textbox"
    visitor.page.set_input_files(f"#{field}_file input[type=file]", prompts)
    visitor.until("id => modules.dom.field(id).value === 'a cat\\na dog'", f"{field}_lines")
    visitor.page.click(f"#{field}_file [aria-label='Clear']")
    visitor.page.set_input_files(f"#{field}_file input[type=file]", broken)
    assert "is not a text" in visitor.see(f"#{field}_notice >> text=not a text").inner_text()
    assert visitor.value(f"{field}_lines") == "a cat\na dog"


@pytest.mark.long
def test_a_picture_is_upscaled_in_tiles_and_then_outpainted(visitor: Visitor, tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 64), "#2f7d5b")
    image.paste("#f2b134", (48, 0, 96, 64))
    image.save(tmp_path / "photo.png")
    visitor.open("img2img")
    visitor.page.set_input_files("#img2img_image input[type=file]", tmp_path / "photo.png")
    visitor.see("#img2img_image img")
    visitor.set("img2img", **TINY, seed=3, denoising_strength=0.2)
    visitor.choose("img2img_script_list", "SD upscale")
    visitor.see("#img2img_script_sd_upscale_overlap")
    visitor.set("img2img_script_sd_upscale", overlap=64)
    visitor.page.click("#img2img_generate")
    assert "cannot overlap by 64 pixels" in visitor.notice("img2img")
    visitor.set("img2img_script_sd_upscale", overlap=16)
    visitor.choose("img2img_script_sd_upscale_upscaler", "Lanczos")
    (picture,) = visitor.job(visitor.generate("img2img"))["pictures"]
    assert (picture["width"], picture["height"]) == (192, 128)
    assert "SD upscale overlap: 16, SD upscale upscaler: Lanczos" in visitor.infotext("img2img")

    visitor.choose("img2img_script_list", "Poor man's outpainting")
    script = "#img2img_script_poor_man_s_outpainting"
    for side in ("right", "up", "down"):
        visitor.see(f"{script}_direction").get_by_label(side).uncheck()
    visitor.set("img2img_script_poor_man_s_outpainting", pixels=32)
    (picture,) = visitor.job(visitor.generate("img2img"))["pictures"]
    assert (picture["width"], picture["height"]) == (128, 64)
