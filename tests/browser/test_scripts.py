"""The scripts at the foot of the form."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.browser.visitor import TINY, Visitor
from webui.request import infotext

SHEETS = "#txt2img_results [aria-label='Additional pictures of this result'] a"


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
    (sheet,) = visitor.see(SHEETS).all()
    image = Image.open(io.BytesIO(visitor.fetch(str(sheet.evaluate("link => link.href")))))
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
