"""The Queue tab: waiting jobs change places, pause, go again, are edited."""

from __future__ import annotations

import pytest

from tests.browser.test_jobs import LONG
from tests.browser.visitor import TINY, Visitor

WAITING = ".gesso-jobs li.queued"


def waiting(visitor: Visitor) -> list[str]:
    return visitor.page.locator(f"{WAITING} .job-prompt").all_inner_texts()


@pytest.mark.long
def test_waiting_jobs_change_places_and_all_are_cancelled(visitor: Visitor) -> None:
    visitor.set("txt2img", **LONG)
    for prompt in ("in work", "one", "two", "three"):
        visitor.write("txt2img_prompt", prompt).submit()
    visitor.open("queue").see(f"{WAITING} >> nth=2")
    assert waiting(visitor) == ["one", "two", "three"]
    visitor.page.locator(WAITING, has_text="three").locator(".glyph-top").click()
    visitor.until("() => document.querySelector('.gesso-jobs li.queued .job-prompt').textContent === 'three'")
    visitor.page.locator(WAITING, has_text="one").locator(".glyph-down").click()
    visitor.until(
        "() => [...document.querySelectorAll('.gesso-jobs li.queued .job-prompt')].at(-1).textContent === 'one'"
    )
    assert waiting(visitor) == ["three", "two", "one"]
    visitor.page.click("#queue_cancel_all")
    visitor.until("() => modules.live.jobs().every(job => !['queued', 'running'].includes(job.state))")
    visitor.until("() => !document.querySelector('.gesso-jobs li.queued')")


@pytest.mark.long
def test_a_job_goes_again_and_is_edited_while_the_queue_rests(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY, cfg_scale=5.5).write("txt2img_prompt", "as it was")
    first = visitor.generate()
    visitor.open("queue")
    visitor.page.click("#queue_pause")
    visitor.see("#queue_says:text('Paused')")
    try:
        over = visitor.page.locator(f".gesso-jobs li[data-id='{first}']")
        again = visitor.submit(press=lambda: over.locator(".glyph-stack").click())
        visitor.see(f"{WAITING}[data-id='{again}']")
        visitor.open("txt2img").set("txt2img", cfg_scale=9).write("txt2img_prompt", "something else")
        visitor.open("queue")
        visitor.page.click(f"{WAITING}[data-id='{again}'] .glyph-edit")
        visitor.until("() => modules.dom.field('txt2img_prompt').value === 'as it was'")
        assert float(visitor.page.input_value("#txt2img_cfg_scale input[type=number]")) == 5.5
        assert visitor.job(again)["state"] == "queued"
    finally:
        visitor.open("queue")
        visitor.page.click("#queue_pause")
    visitor.until("id => modules.live.job(id).state === 'done'", again)
    assert len(visitor.job(again)["pictures"]) == 1


@pytest.mark.long
def test_pictures_for_ever_until_it_is_enough(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY).write("txt2img_prompt", "without end")
    first = visitor.generate()
    visitor.open("queue")
    visitor.page.locator(f".gesso-jobs li[data-id='{first}'] .glyph-forever").click()
    visitor.until("() => modules.live.jobs().filter(job => job.prompt === 'without end').length >= 3")
    visitor.page.click(".jobs-bar :text('Stop generating forever')")
    visitor.until("() => !document.querySelector('.jobs-bar .link')")
    visitor.until("() => modules.live.jobs().every(job => !['queued', 'running'].includes(job.state))")


@pytest.mark.long
def test_pictures_that_are_finished_are_there_after_a_reload(visitor: Visitor) -> None:
    visitor.set("txt2img", **LONG)
    job = visitor.submit()
    visitor.until("id => modules.live.job(id).pictures.length >= 2", job)
    visitor.reload()
    visitor.until("() => document.querySelectorAll('#txt2img_results .thumb').length >= 2")
    visitor.open("queue").see(".gesso-jobs li.running .job-thumbs img >> nth=1")
    visitor.page.click("#queue_cancel_all")
    visitor.until("id => !['queued', 'running'].includes(modules.live.job(id).state)", job)
