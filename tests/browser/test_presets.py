"""Presets of a form: saved from what stands there, filled in by one press, undone; suggested for their checkpoint."""

from __future__ import annotations

from pathlib import Path

from tests.browser.visitor import Visitor


def test_a_preset_is_saved_filled_in_undone_taken_along_and_deleted(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    visitor.set("txt2img", steps=33, cfg_scale=4.5)
    page.wait_for_timeout(1500)
    page.click("#txt2img_settings .preset-add")
    page.fill(".preset-dialog [aria-label='Name of the preset']", "Soft")
    assert page.locator(".preset-field:has-text('Sampling steps') input").is_checked()
    page.click(".preset-dialog :text('Save')")
    chip = visitor.see("#txt2img_settings .preset-chip:text-is('Soft')")

    visitor.set("txt2img", steps=12, cfg_scale=7, width=256)
    page.wait_for_timeout(1500)
    chip.click()
    visitor.until("() => modules.dom.field('txt2img_steps').value === '33'")
    visitor.until("() => modules.dom.field('txt2img_cfg_scale').value === '4.5'")
    assert visitor.value("txt2img_width") == "256", "what a preset does not hold stays"
    page.click("#gesso_says :text('Undo')")
    visitor.until("() => modules.dom.field('txt2img_steps').value === '12'")

    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#txt2img_settings .preset-add")
    visitor.see(".preset-dialog .preset-kept")
    assert visitor.overflow <= 0
    with page.expect_download() as download:
        page.click(".preset-dialog :text('Export all')")
    download.value.save_as(tmp_path / "presets.json")
    page.click(".preset-dialog [aria-label='Delete Soft']")
    visitor.until("() => !document.querySelector('.preset-dialog .preset-kept')")
    page.set_input_files(".preset-dialog input[type=file]", tmp_path / "presets.json")
    visitor.see("#txt2img_settings .preset-chip:text-is('Soft')")
    page.click("#txt2img_settings .preset-add")
    page.click(".preset-dialog [aria-label='Delete Soft']")
    page.keyboard.press("Escape")
    visitor.until("() => !document.querySelector('.preset-chip')")


def test_a_preset_of_a_checkpoint_is_suggested_with_it_alone(visitor: Visitor) -> None:
    page = visitor.page
    answer = page.evaluate(
        """async () => {
            const models = await (await fetch('sdapi/v1/sd-models')).json();
            const other = models.find(model => model.model_name === 'other').title;
            const said = await modules.server.post('internal/form-presets/txt2img',
                {name: 'For other', values: {steps: 8}, checkpoint: other});
            return said.status;
        }"""
    )
    assert answer == 200
    visitor.load("tiny-sd1")
    visitor.reload()
    visitor.see("#txt2img_settings .preset-add")
    visitor.until("() => !document.querySelector('.preset-chip')")
    visitor.load("other")
    visitor.see("#txt2img_settings .preset-chip.suggested:text-is('For other')")
    page.evaluate("() => fetch('internal/form-presets/txt2img?name=For%20other', {method: 'DELETE'})")
