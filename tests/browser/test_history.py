"""The History tab: pictures come by themselves, are found again, sent on, judged, compared and deleted."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

CARD = ".history-card"


def cards(visitor: Visitor) -> list[str]:
    """Ids of the pictures on the page, in their order."""
    found = visitor.page.evaluate("() => [...document.querySelectorAll('.history-card')].map(card => card.dataset.id)")
    return [str(one) for one in found]


def search(visitor: Visitor, words: str, count: int) -> None:
    visitor.page.fill("#history_search", words)
    visitor.until("count => document.querySelectorAll('.history-card').length === count", count)


def test_a_picture_comes_by_itself_is_found_sent_on_and_deleted(visitor: Visitor) -> None:
    visitor.open("history")
    visitor.see("#history_search")
    visitor.open("txt2img").set("txt2img", **TINY, cfg_scale=6.5, n_iter=2)
    visitor.write("txt2img_prompt", "a heliotrope <img src=x onerror=alert(1)> in a vase")
    job = visitor.generate()
    made = [picture["id"] for picture in visitor.job(job)["pictures"]]
    visitor.open("history")
    visitor.until("id => document.querySelector(`.history-card[data-id='${id}']`)", made[1])
    search(visitor, "heliotr vase", 2)
    assert cards(visitor) == made[::-1]

    visitor.page.click(f"{CARD}[data-id='{made[0]}'] .history-open")
    assert "heliotrope <img src=x" in visitor.see(".history-detail .infotext").inner_text()
    assert not visitor.page.locator(".gesso-history img[src='x']").count()
    visitor.page.click(".history-stars [data-star='4']")
    visitor.see(f"{CARD}[data-id='{made[0]}'] .history-marks:text-is('★★★★')")
    visitor.page.click(".history-detail .glyph-heart")
    visitor.page.click(".history-filters .glyph-heart")
    visitor.until("() => document.querySelectorAll('.history-card').length === 1")
    visitor.page.click(".history-filters .glyph-heart")
    visitor.until("() => document.querySelectorAll('.history-card').length === 2")

    told = visitor.see(".history-detail .infotext").inner_text()
    for name, right in (("Sampler", "DPM++ 2M"), ("Model", told.split("Model: ")[1].split(",")[0]), ("Rating", "4")):
        chooser = visitor.page.locator(f".history-filters select[aria-label={name}]")
        chooser.select_option(right)
        visitor.until("n => document.querySelectorAll('.history-card').length === n", 1 if name == "Rating" else 2)
        chooser.select_option("")
    first_day = visitor.page.locator("input[title='From date']")
    first_day.fill("2200-01-01")
    visitor.until("() => !document.querySelector('.history-card')")
    first_day.fill("")
    visitor.until("() => document.querySelectorAll('.history-card').length === 2")
    visitor.page.click(f"{CARD}[data-id='{made[0]}'] .history-open")

    for picture in made:
        visitor.page.check(f"{CARD}[data-id='{picture}'] input", force=True)
    visitor.page.click(".history-bar .glyph-compare")
    assert "Seed" in visitor.see("#compare dl").inner_text()
    visitor.page.press("#compare input[type=range]", "Home")
    visitor.until("() => document.querySelector('#compare .compare-line').style.left === '0%'")
    visitor.page.keyboard.press("Escape")
    visitor.until("() => !document.querySelector('#compare')")

    visitor.page.click(".history-detail .glyph-image")
    visitor.see("#img2img_image img")
    visitor.until("() => modules.dom.field('img2img_prompt').value.startsWith('a heliotrope')")
    assert float(visitor.page.input_value("#img2img_cfg_scale input[type=number]")) == 6.5
    child = visitor.generate("img2img")
    visitor.open("history")
    visitor.until("() => document.querySelectorAll('.history-card').length === 3")
    born = str(visitor.job(child)["pictures"][0]["id"])
    visitor.page.click(f"{CARD}[data-id='{born}'] .history-open")
    visitor.page.click(".history-family :text('made from') >> nth=0")
    visitor.page.click(".history-family button >> nth=0")
    visitor.see(f"{CARD}.shown[data-id='{made[0]}']")

    answer = visitor.page.evaluate(
        "ids => modules.server.post('internal/history/delete', {ids, for_good: true}).then(answer => answer.json())",
        [born],
    )
    assert answer["deleted"] == [born]
    visitor.until("id => !modules.live.job(id).pictures.length", child)


@pytest.mark.long
def test_a_file_that_is_gone_and_one_that_is_damaged_are_told_apart(visitor: Visitor, server: RunningServer) -> None:
    """The page asks for nothing that is not there: the console would show it."""
    visitor.set("txt2img", **TINY, n_iter=2).write("txt2img_prompt", "a vase that breaks")
    gone, damaged = (picture["id"] for picture in visitor.job(visitor.generate())["pictures"])
    with server.client() as client:
        names = {one: client.get(f"internal/history/pictures/{one}").json()["name"] for one in (gone, damaged)}
        files = {one: next(server.data.rglob(name)) for one, name in names.items()}
        files[gone].unlink()
        files[damaged].write_bytes(files[damaged].read_bytes()[:200])
        for thumbnail in server.data.rglob(f"thumbnails/*/{damaged}.webp"):
            thumbnail.unlink()
        assert client.get(f"internal/pictures/{damaged}/thumbnail").status_code == 204
    visitor.job(visitor.set("txt2img", n_iter=1).generate())  # which the page shows after a reload
    visitor.page.context.new_cdp_session(visitor.page).send("Network.clearBrowserCache")
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    visitor.reload().open("history")
    for picture, words in ((gone, "The file is gone"), (damaged, "The file is damaged")):
        visitor.see(f"{CARD}[data-id='{picture}'] .history-fault:text-is('{words}')")
        visitor.page.click(f"{CARD}[data-id='{picture}'] .history-open")
        visitor.see(f".history-large .history-fault:text-is('{words}')")
        visitor.page.dblclick(f"{CARD}[data-id='{picture}'] .history-open")
        visitor.see(f"#lightbox.open .lightbox-fault:text-is('{words}')")
        visitor.page.keyboard.press("Escape")
    assert not {gone, damaged} & set(asked)
    with server.client() as client:
        client.post("internal/history/delete", json={"ids": [gone, damaged], "for_good": True})


@pytest.mark.long
def test_the_page_says_when_there_is_nothing(visitor: Visitor) -> None:
    visitor.open("history")
    for chooser in visitor.page.locator(".history-filters select").all():
        assert "gradient" in chooser.evaluate("box => getComputedStyle(box).backgroundImage"), "its arrow"
    search(visitor, "nothing is called xyzzy", 0)
    assert "No pictures match" in visitor.see(".history-empty").inner_text()


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.long)])
def test_history_and_queue_fit_into_the_window(enter: Enter, width: int) -> None:
    visitor = enter(width=width, height=844, dark=width == 390).set("txt2img", **TINY)
    visitor.write("txt2img_prompt", "word " * 60)
    visitor.generate()
    visitor.open("queue").see(".gesso-jobs li")
    assert visitor.overflow <= 0
    visitor.open("history").see(CARD)
    visitor.page.locator(".history-open").last.click()
    visitor.see(".history-detail .infotext")
    visitor.until(
        "() => document.querySelector('.history-detail').getBoundingClientRect().top.toFixed(0) >= 0"
        " && document.querySelector('.history-large').getBoundingClientRect().bottom <= innerHeight"
    )
    assert visitor.overflow <= 0
    for tab in ("queue", "history"):
        nameless = visitor.page.evaluate(
            """tab => [...document.querySelectorAll(`#tab_${tab} :is(button, input, select)`)].filter(item =>
              !(item.getAttribute('aria-label') || item.title || item.textContent.trim() || item.closest('label')))
              .map(item => item.outerHTML.slice(0, 200))""",
            tab,
        )
        assert not nameless, f"{tab}: {nameless}"
