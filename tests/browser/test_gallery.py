"""What stands beside the form: the gallery with its grid, its buttons, the viewer, and what the page does meanwhile."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.test_keys import options
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

THUMBS = "() => document.querySelectorAll('#txt2img_results .thumb').length"


def shot(visitor: Visitor, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        visitor.page.screenshot(path=f"{folder}/{name}.png")


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


def test_the_grid_comes_first_and_is_sent_saved_and_enlarged_like_any_picture(
    visitor: Visitor, page_server: RunningServer
) -> None:
    page = visitor.page
    visitor.write("txt2img_prompt", "two boats").set("txt2img", **TINY, n_iter=2, seed=41)
    visitor.generate()
    visitor.until(f"{THUMBS} === 3")
    visitor.until("() => document.querySelector('#txt2img_results .layer.on')?.src.includes('99-grid')")
    assert size_of(visitor.fetch(visitor.shown_picture())) == (128, 64)
    assert "Time taken:" in visitor.see(".gesso-infotext[data-tab=txt2img] .took").inner_text()

    assert page.is_visible("#txt2img_open_folder"), "who looks sits at the machine"
    page.click("#txt2img_save")
    link = visitor.see("#txt2img_results .kept a")
    shot(visitor, "grid")
    folder = page_server.data / "log" / "images"
    assert size_of((folder / link.inner_text()).read_bytes()) == (128, 64)
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[-1]["prompt"], rows[-1]["seed"], rows[-1]["filename"]) == ("two boats", "41", link.inner_text())

    page.click("#txt2img_results .stage")
    assert visitor.see("#lightbox.open .counter").inner_text() == "1 / 3"
    page.keyboard.press("t")
    assert "grid" in str(page.locator(".lightbox-tiles").evaluate("tiles => tiles.style.backgroundImage"))
    shot(visitor, "tiles")
    page.keyboard.press("t")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    visitor.until("text => document.querySelector('#txt2img_results .kept a').textContent !== text", link.inner_text())
    page.keyboard.press("Escape")
    page.locator("#txt2img_results .thumb").first.click()
    page.click("#txt2img_send_to_img2img")
    visitor.until("() => document.querySelector('#img2img_image img')?.naturalWidth === 128")
    visitor.until("() => document.querySelector('#img2img_width input[type=number]').value === '128'")

    page.fill("#img2img_width input[type=number]", "64")
    frame = visitor.see(".aspect-frame")
    box, image = frame.bounding_box(), page.locator("#img2img_image img").bounding_box()
    assert box is not None and image is not None
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert box["height"] <= image["height"] + 1
    shot(visitor, "aspect")


def test_a_selected_picture_is_made_larger_in_its_place(visitor: Visitor) -> None:
    page = visitor.page
    visitor.write("txt2img_prompt", "a hill").set("txt2img", **TINY, n_iter=2, seed=51)
    visitor.generate()
    visitor.until(f"{THUMBS} === 3")
    page.click("#txt2img_upscale")
    assert "single picture" in visitor.see("#gesso_says .said").inner_text()
    page.locator("#txt2img_results .thumb").nth(2).click()
    before = visitor.shown_picture()
    job = visitor.job(visitor.submit(press=lambda: page.click("#txt2img_upscale")))
    visitor.until("id => modules.live.job(id).state === 'done'", job["id"])
    visitor.until("src => document.querySelector('#txt2img_results .layer.on').src !== src", before)
    made = visitor.job(job["id"])["pictures"][0]
    assert made["seed"] == 52
    assert made["replaces"]
    assert size_of(visitor.fetch(visitor.shown_picture())) == (128, 128)
    assert page.locator("#txt2img_results .thumb").count() == 3
    shot(visitor, "upscaled")
    assert page.locator("#txt2img_results .thumb[aria-selected=true]").get_attribute("title") == "Picture 3, seed 52"
    visitor.reload()
    visitor.until(f"{THUMBS} === 3")


def test_generate_forever_goes_on_with_the_form_as_it_is_now(visitor: Visitor) -> None:
    page = visitor.page
    visitor.write("txt2img_prompt", "first words").set("txt2img", **TINY)
    page.click("#txt2img_generate", button="right")
    shot(visitor, "menu")
    page.click(".menu button:text-is('Generate forever')")
    visitor.see("#txt2img_forever")
    visitor.until("() => modules.live.jobs().some(job => job.prompt === 'first words' && job.state === 'done')")
    visitor.write("txt2img_prompt", "other words")
    visitor.until("() => modules.live.jobs().some(job => job.prompt === 'other words' && job.state === 'done')")
    shot(visitor, "forever")
    page.locator("#txt2img_generate").focus()
    page.keyboard.press("Shift+F10")
    page.keyboard.press("Enter")
    visitor.until("() => !document.querySelector('#txt2img_forever')")
    visitor.until("() => modules.live.jobs().every(job => ['done', 'failed', 'cancelled'].includes(job.state))")
    count = len(visitor.jobs())
    page.wait_for_timeout(1500)
    assert len(visitor.jobs()) == count


HEARD = """
window.heard = [];
class Spoken { constructor(title, { body }) { heard.push(`says ${body}`); } close() {} }
Spoken.permission = "granted";
window.Notification = Spoken;
HTMLMediaElement.prototype.play = function () { heard.push(`plays at ${this.volume}`); return Promise.resolve(); };
Object.defineProperty(document, "hasFocus", { value: () => false });
Object.defineProperty(navigator, "wakeLock", { value: { request: async () => {
  heard.push("awake");
  return { released: false, async release() { this.released = true; heard.push("asleep"); } };
} } });
"""


def test_a_job_that_ends_is_heard_and_the_screen_stays_awake_meanwhile(
    visitor: Visitor, page_server: RunningServer
) -> None:
    (page_server.data / "notification.mp3").write_bytes(b"ID3 a sound")
    visitor.page.evaluate(f"() => {{ {HEARD} }}")
    with options(page_server, notification_volume=40):
        visitor.until("() => modules.facts.volume === 0.4")
        visitor.set("txt2img", **TINY, n_iter=2)
        visitor.generate()
        visitor.until("() => heard.includes('asleep') && heard.some(word => word.startsWith('plays'))")
    heard = visitor.page.evaluate("() => heard")
    assert sorted(heard) == ["asleep", "awake", "plays at 0.4", "says Generated 2 images"]
    with options(page_server, notification_audio=False, show_progress_in_title=False):
        visitor.until("() => modules.facts.volume === 0")
        visitor.generate()
        assert visitor.page.title() == "Gesso"
    assert len([word for word in visitor.page.evaluate("() => heard") if word.startswith("plays")]) == 1


@pytest.mark.long
def test_the_viewer_obeys_the_settings_and_shows_what_is_made(visitor: Visitor, page_server: RunningServer) -> None:
    page = visitor.page
    visitor.set("txt2img", **TINY)
    visitor.generate()
    with options(page_server, js_modal_lightbox=False, gallery_height="333px", show_progressbar=False):
        visitor.until("() => document.querySelector('#txt2img_results .stage').offsetHeight === 333")
        page.click("#txt2img_results .stage")
        assert not page.locator("#lightbox.open").count()
    with options(
        page_server, js_live_preview_in_modal_lightbox=True, js_modal_lightbox_initially_zoomed=False,
        live_previews_image_format="webp", live_preview_refresh_period=50, sd_webui_modal_lightbox_toolbar_opacity=0.5,
    ):  # fmt: skip
        visitor.until("() => modules.facts.lightbox_live")
        visitor.set("txt2img", width=256, height=256, steps=150)
        job = visitor.submit()
        page.click("#txt2img_results .stage")
        visitor.until("() => /preview.*webp/.test(document.querySelector('#lightbox > img').src)")
        visitor.until("() => document.querySelector('#lightbox > img').naturalWidth === 32")
        visitor.until("() => /ETA/.test(document.title)")
        shot(visitor, "live")
        page.keyboard.press("l")
        visitor.until("() => !/preview/.test(document.querySelector('#lightbox > img').src)")
        assert page.locator("#lightbox > img").evaluate("image => getComputedStyle(image).objectFit") == "scale-down"
        assert page.locator(".lightbox-bar").evaluate("bar => getComputedStyle(bar).opacity") == "0.5"
        page.keyboard.press("Escape")
        page.evaluate("id => modules.server.post(`internal/jobs/${id}/cancel`).then(() => null)", job)
        visitor.until("id => modules.live.job(id).state !== 'running'", job)
    with options(page_server, do_not_show_images=True):
        visitor.until("() => !document.querySelector('#txt2img_results .layer.on')")
        assert "settings hide" in visitor.see("#txt2img_results .empty").inner_text()


@pytest.mark.long
def test_a_picture_whose_file_is_gone_is_not_asked_for(visitor: Visitor, page_server: RunningServer) -> None:
    visitor.set("txt2img", **TINY, seed=61)
    job = visitor.job(visitor.generate())
    visitor.shown_picture()
    number = job["pictures"][0]["id"]
    content = visitor.fetch(f"{visitor.url}internal/pictures/{number}")
    (path,) = [each for each in Path(page_server.data / "outputs").rglob("*.png") if each.read_bytes() == content]
    path.unlink()
    visitor.reload()
    visitor.until("() => /has been deleted/.test(document.querySelector('#txt2img_results .empty').innerText)")
    shot(visitor, "gone")
