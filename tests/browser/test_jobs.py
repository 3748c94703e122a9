"""Jobs belong to the server: pages come and go, look on, and step in."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

LONG = {"width": 64, "height": 64, "steps": 12, "n_iter": 60}
"""A job during which there is time for something."""


@pytest.mark.long
def test_a_reloaded_page_and_a_second_one_show_the_job_in_work(visitor: Visitor, enter: Enter) -> None:
    visitor.set("txt2img", **LONG)
    job = visitor.submit()
    visitor.until("id => modules.live.job(id).pictures.length >= 1", job)
    visitor.reload()
    visitor.see("#txt2img_generate_box.running")
    visitor.until("id => modules.live.job(id).pictures.length >= 2", job)
    other = enter(beside=visitor)
    other.see("#txt2img_results .progress:not([hidden])")
    other.see("#txt2img_results .thumb")
    stranger = enter(stranger=True)
    assert stranger.page.locator("#txt2img_generate_box.running").count() == 0
    other.page.click("#txt2img_interrupt")
    visitor.until("id => modules.live.job(id).state !== 'running'", job)
    visitor.until("() => !document.querySelector('#txt2img_generate_box.running')")
    assert visitor.job(job)["pictures"]
    visitor.reload()
    visitor.see("#txt2img_results .stage.full .layer.on")


@pytest.mark.long
def test_esc_interrupts_and_what_is_finished_stays(visitor: Visitor) -> None:
    visitor.set("txt2img", **LONG)
    job = visitor.submit()
    visitor.until("id => modules.live.job(id).pictures.length >= 1", job)
    visitor.page.keyboard.press("Escape")
    visitor.until("id => modules.live.job(id).state !== 'running'", job)
    assert 1 <= len(visitor.job(job)["pictures"]) < LONG["n_iter"]
    visitor.until("() => !document.querySelector('#txt2img_generate_box.running')")
    assert "Stopped after" in visitor.see(".gesso-infotext[data-tab=txt2img] .comments").inner_text()


@pytest.mark.long
def test_more_presses_wait_in_line_and_can_be_taken_back(visitor: Visitor) -> None:
    visitor.set("txt2img", **LONG).write("txt2img_prompt", "the first")
    first = visitor.submit()
    visitor.write("txt2img_prompt", "the second")
    second = visitor.submit()
    toggle = visitor.see("#txt2img_results .queue-toggle")
    assert toggle.inner_text().strip() == "1 waiting"
    toggle.click()
    assert "the second" in visitor.see("#txt2img_results .queue li").inner_text()
    visitor.page.click("#txt2img_results .queue li button")
    visitor.until("id => modules.live.job(id).state === 'cancelled'", second)
    visitor.until("() => !document.querySelector('#txt2img_results .queue li')")
    assert visitor.job(first)["state"] == "running"
    visitor.page.keyboard.press("Escape")
    visitor.until("id => modules.live.job(id).state !== 'running'", first)


@pytest.mark.long
def test_alt_enter_skips_to_the_next_picture(visitor: Visitor) -> None:
    visitor.set("txt2img", width=64, height=64, steps=40, n_iter=2)
    job = visitor.submit()
    visitor.until("id => modules.live.job(id).step >= 1", job)
    visitor.page.press("#txt2img_prompt textarea", "Alt+Enter")
    visitor.until("id => modules.live.job(id).batch >= 1 || modules.live.job(id).state !== 'running'", job)
    visitor.until("id => modules.live.job(id).state !== 'running'", job)
    assert len(visitor.job(job)["pictures"]) == 1


@pytest.mark.long
def test_the_checkpoint_is_switched_and_one_that_cannot_be_loaded_is_taken_back(
    visitor: Visitor, enter: Enter, page_server: RunningServer
) -> None:
    folder = page_server.data / "models" / "Stable-diffusion"
    visitor.choose("setting_sd_model_checkpoint", "other")
    visitor.set("txt2img", **TINY)
    visitor.generate()
    assert "Model: other" in visitor.infotext()
    (folder / "zz-broken.safetensors").write_bytes(b"no weights")
    try:
        visitor.page.click("#refresh_sd_model_checkpoint")
        visitor.choose("setting_sd_model_checkpoint", "zz-broken")
        assert "zz-broken" in visitor.see("#gesso_model_notice").inner_text()
        visitor.until("() => modules.dom.field('setting_sd_model_checkpoint').value.startsWith('other')")
        visitor.generate()
        assert "Model: other" in visitor.infotext()
        later = enter(beside=visitor)
        assert not later.page.locator("#gesso_model_notice").count()
        later.load("tiny-sd1").set("txt2img", **TINY).generate()
        assert "Model: tiny-sd1" in later.infotext()
    finally:
        (folder / "zz-broken.safetensors").unlink()
