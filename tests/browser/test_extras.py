"""A picture made larger, and sent around."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.visitor import Visitor

JOBS = "async () => (await (await fetch('internal/jobs')).json()).jobs.map(job => job.id)"


def test_an_uploaded_picture_is_made_larger_and_sent_on(visitor: Visitor, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (48, 32), "#2f7d5b").save(photo)
    page = visitor.open("extras").page
    page.set_input_files("#extras_image input[type=file]", photo)
    visitor.see("#extras_image img")
    visitor.choose("extras_upscaler_1", "Nearest")
    visitor.set("extras", upscaling_resize=2)
    job = visitor.job(visitor.generate("extras"))
    assert [(made["width"], made["height"]) for made in job["pictures"]] == [(96, 64)]
    assert visitor.infotext("extras") == "Postprocess upscale by: 2.0, Postprocess upscaler: Nearest"
    with Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture("extras")))) as made:
        assert made.size == (96, 64)
        assert made.info["postprocessing"].startswith("Postprocess upscale by")
    page.click("#extras_send_to_pnginfo")
    visitor.until("() => document.querySelector('#pnginfo_image img')?.naturalWidth === 96")
    page.click("#pnginfo_send_to_inpaint")
    visitor.until("() => document.querySelector('#img2img_inpaint_image img')?.naturalWidth === 96")
    assert page.evaluate("modules.tabs.openedMode()") == "inpaint"
    assert visitor.comes_to_rest


@pytest.mark.long
def test_what_would_be_made_is_seen_while_settings_change(visitor: Visitor, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (480, 320), "#2f7d5b").save(photo)
    page = visitor.open("extras").page
    page.set_input_files("#extras_image input[type=file]", photo)
    visitor.see("#extras_preview :text('Nothing changes yet')")
    before = page.evaluate(JOBS)
    visitor.choose("extras_upscaler_1", "Lanczos")
    visitor.see("#extras_preview figcaption:text-is('Preview, 1920x1280')")
    visitor.set("extras", upscaling_resize=2)
    visitor.see("#extras_preview figcaption:text-is('Preview, 960x640')")
    visitor.until("() => document.querySelector('#extras_preview img')?.naturalWidth === 640")
    assert page.locator("#extras_preview .preview-says").count() == 0
    assert page.evaluate(JOBS) == before, "no job comes of it"
    page.get_by_role("tab", name="Scale to").click()
    visitor.set("extras", upscaling_resize_w=64)
    visitor.see("#extras_preview figcaption:text-is('Preview, 64x512')")
