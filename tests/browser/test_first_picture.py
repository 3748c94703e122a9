"""The newcomer's story, and what follows from it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGB").tobytes()


def parameters(content: bytes) -> str:
    with Image.open(io.BytesIO(content)) as image:
        return str(image.info["parameters"])


def test_from_opening_the_page_to_a_saved_file_that_gives_the_same_picture_again(
    visitor: Visitor, page_server: RunningServer, tmp_path: Path
) -> None:
    visitor.write("txt2img_prompt", "a red apple, (shiny:1.2)").write("txt2img_negative_prompt", "blurry")
    visitor.set("txt2img", **TINY, cfg_scale=5.5)
    visitor.choose("txt2img_sampler_name", "Euler a")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done"
    shown = visitor.fetch(visitor.shown_picture())
    visitor.page.click("#txt2img_save")
    saved = visitor.download("#txt2img_results .kept a")
    assert saved == shown
    files = list((page_server.data / "outputs" / "txt2img-images").rglob("*.png"))
    assert saved in [file.read_bytes() for file in files]

    infotext = parameters(saved)
    assert infotext == visitor.infotext()
    assert "Sampler: Euler a" in infotext
    assert "CFG scale: 5.5" in infotext

    visitor.reload()
    visitor.write("txt2img_prompt", infotext)
    visitor.page.click("#txt2img_paste")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === 'a red apple, (shiny:1.2)'")
    assert visitor.value("txt2img_negative_prompt") == "blurry"
    assert visitor.value("txt2img_seed") == str(job["seed"])
    assert visitor.value("txt2img_sampler_name") == "Euler a"
    again = visitor.job(visitor.generate())
    assert again["pictures"][0]["id"] != job["pictures"][0]["id"]
    visitor.until(
        "id => document.querySelector('#txt2img_results .layer.on')?.src.includes(id)", again["pictures"][0]["id"]
    )
    assert pixels(visitor.fetch(visitor.shown_picture())) == pixels(saved)


def test_ctrl_enter_generates_and_the_last_parameters_come_back_into_an_empty_form(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY, seed=77)
    visitor.write("txt2img_prompt", "a blue chair")
    job = visitor.submit(press=lambda: visitor.page.press("#txt2img_prompt textarea", "Control+Enter"))
    visitor.until("id => modules.live.job(id).state === 'done'", job)
    visitor.page.click("#txt2img_clear_prompt")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === ''")
    visitor.page.click("#txt2img_random_seed")
    visitor.until("() => modules.dom.field('txt2img_seed').value === '-1'")
    visitor.page.click("#txt2img_paste")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === 'a blue chair'")
    assert visitor.value("txt2img_seed") == "77"


@pytest.mark.long
def test_a_batch_is_looked_through_enlarged_and_taken_home(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY, n_iter=2, batch_size=2, seed=5)
    visitor.generate()
    visitor.until("() => document.querySelectorAll('#txt2img_results .thumb').length === 5")
    page = visitor.page
    page.locator("#txt2img_results .thumb").nth(3).click()
    visitor.until("() => document.querySelector('.gesso-infotext').textContent.includes('Seed: 7,')")
    page.focus("#txt2img_results .stage")
    page.keyboard.press("ArrowRight")
    visitor.until("() => document.querySelector('.gesso-infotext').textContent.includes('Seed: 8,')")
    page.click("#txt2img_reuse_seed")
    visitor.until("() => modules.dom.field('txt2img_seed').value === '8'")
    page.click("#txt2img_results .stage")
    assert visitor.see("#lightbox.open .counter").inner_text() == "5 / 5"
    page.keyboard.press("ArrowLeft")
    visitor.until("() => document.querySelector('#lightbox .counter').textContent === '4 / 5'")
    page.keyboard.press("Escape")
    visitor.until("() => !document.querySelector('#lightbox.open')")
    with zipfile.ZipFile(io.BytesIO(visitor.download("#txt2img_zip"))) as archive:
        assert archive.testzip() is None
        seeds = [
            f"Seed: {seed}," in parameters(archive.read(name))
            for seed, name in zip((5, 5, 6, 7, 8), archive.namelist(), strict=True)
        ]
    assert all(seeds)


@pytest.mark.long
def test_a_picture_tells_its_parameters_and_gives_them_back(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "two rockets").set("txt2img", **TINY, seed=12)
    visitor.generate()
    visitor.page.click("#txt2img_send_to_pnginfo")
    assert "two rockets" in visitor.see("#pnginfo_report pre").inner_text()
    visitor.page.click("#pnginfo_send_to_img2img")
    visitor.see("#img2img_image img")
    visitor.until("() => modules.dom.field('img2img_prompt').value === 'two rockets'")
    assert visitor.value("img2img_seed") == "12"


def test_a_wrong_value_is_named_where_the_person_looks(visitor: Visitor) -> None:
    visitor.page.fill("#txt2img_seed input", "")
    visitor.page.press("#txt2img_seed input", "Tab")
    visitor.page.click("#txt2img_generate")
    assert "Seed" in visitor.notice()
    visitor.set("txt2img", **TINY, seed=3)
    visitor.generate()
    visitor.until("() => !document.querySelector('#txt2img_notice .notice')")
