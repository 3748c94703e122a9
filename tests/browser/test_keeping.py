"""Keeping: deleted by mistake and brought back, put into an album, found by likeness, compared, shown one by one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from tests.browser.visitor import TINY, Visitor

CARD = ".history-card"


def made(visitor: Visitor, prompt: str, count: int = 2) -> list[str]:
    visitor.set("txt2img", **TINY, n_iter=count).write("txt2img_prompt", prompt)
    job = visitor.generate()
    visitor.open("history")
    visitor.page.fill("#history_search", prompt.split()[-1])
    visitor.until("count => document.querySelectorAll('.history-card[data-id]').length === count", count)
    return [str(picture["id"]) for picture in visitor.job(job)["pictures"]]


def shown(visitor: Visitor, *ids: str) -> None:
    visitor.until(
        "ids => [...document.querySelectorAll('.history-card[data-id]')].map(c => c.dataset.id).sort().join() === ids",
        ",".join(sorted(ids)),
    )


def test_what_was_deleted_by_mistake_comes_back(visitor: Visitor) -> None:
    one, two = made(visitor, "a vase of zinnias")
    visitor.page.click(f"{CARD}[data-id='{one}'] .history-open")
    visitor.page.click(".history-detail .glyph-bin")
    shown(visitor, two)
    visitor.page.click("#gesso_says :text('Undo')")
    shown(visitor, one, two)
    visitor.page.focus(f"{CARD}[data-id='{two}'] .history-open")
    visitor.page.keyboard.press("Delete")
    shown(visitor, one)
    visitor.page.click(".history-filters .glyph-bin")
    visitor.see(f".trash-card[data-id='{two}'] img")
    visitor.page.click(f".trash-card[data-id='{two}'] .glyph-undo")
    visitor.until("id => !document.querySelector(`.trash-card[data-id='${id}']`)", two)
    visitor.page.click(".history-filters .glyph-bin")
    shown(visitor, one, two)
    assert visitor.overflow <= 0


def test_pictures_are_kept_in_an_album_compared_and_exported(visitor: Visitor, tmp_path: Path) -> None:
    one, two = made(visitor, "a field of gentians")
    for picture in (one, two):
        visitor.page.check(f"{CARD}[data-id='{picture}'] input", force=True)
    visitor.page.click(".history-bar .glyph-folder")
    visitor.page.fill(".history-dialog input", "Alps")
    visitor.page.keyboard.press("Enter")
    visitor.until("() => !document.querySelector('.history-dialog')")
    visitor.page.fill("#history_search", "")
    visitor.until("() => [...document.querySelectorAll('[aria-label=Album] option')].some(o => o.text === 'Alps (2)')")
    visitor.page.select_option("select[aria-label=Album]", label="Alps (2)")
    shown(visitor, one, two)
    visitor.page.check(f"{CARD}[data-id='{one}'] input", force=True)
    visitor.page.click(".history-bar [aria-label='Take out of the album']")
    shown(visitor, two)
    visitor.page.click("[aria-label='Rename or delete this album']")
    visitor.page.click(".history-dialog :text('Delete the album')")
    visitor.until("() => !document.querySelector('.history-dialog')")
    visitor.page.fill("#history_search", "gentians")
    shown(visitor, one, two)

    for picture in (one, two):
        visitor.page.check(f"{CARD}[data-id='{picture}'] input", force=True)
    visitor.page.click(".history-bar .glyph-zip")
    with visitor.page.expect_download() as download:
        visitor.page.click(".history-dialog :text('Without metadata')")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert sorted(archive.namelist()) == sorted((f"{one}.png", f"{two}.png"))
        assert all(b"gentians" not in archive.read(name) for name in archive.namelist())
    visitor.page.click(".history-bar .glyph-compare")
    visitor.page.click(".compare-ways [data-way='beside']")
    left, right = (visitor.page.locator(".compare-stage img").nth(at).bounding_box() for at in (0, 1))
    assert left and right and left["x"] + left["width"] <= right["x"]
    visitor.page.click(".compare-ways [data-way='slider']")
    visitor.page.keyboard.press("Escape")


def test_pictures_like_one_are_listed_and_a_slideshow_goes_through_them(visitor: Visitor) -> None:
    one, two = made(visitor, "a pot of oleander")
    visitor.page.click(f"{CARD}[data-id='{one}'] .history-open")
    visitor.page.click(".history-family :text('More like this')")
    visitor.see(".history-alike:has-text('the most similar first')")
    visitor.until("id => document.querySelector('.history-card')?.dataset.id === id", one)
    visitor.page.click(".history-alike :text('Show all pictures')")
    shown(visitor, one, two)
    visitor.page.click(f"{CARD}[data-id='{two}'] .history-open")
    visitor.page.click(".history-enlarge")
    visitor.page.keyboard.press("p")
    visitor.see("#lightbox.open [aria-pressed=true].glyph-forever")
    visitor.until("id => document.querySelector('#lightbox img').src.endsWith(id)", one)
    visitor.page.keyboard.press("ArrowLeft")
    visitor.see("#lightbox.open [aria-pressed=false].glyph-forever")
    visitor.page.keyboard.press("Escape")
