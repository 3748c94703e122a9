"""The film strip beside the picture that it belongs to."""

from __future__ import annotations

from tests.browser.visitor import TINY, Visitor

EXTRAS = "#txt2img_results [aria-label='Additional pictures of this result'] a"


def test_ticking_the_box_gives_a_sheet_and_an_animation_beside_the_picture(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY)
    visitor.page.check("#txt2img_show_film input")
    job = visitor.generate()
    assert len(visitor.job(job)["pictures"]) == 1
    shown = visitor.see(EXTRAS)
    visitor.until("where => document.querySelectorAll(where).length === 2", EXTRAS)
    assert [str(link.get_attribute("title")) for link in shown.all()] == ["film strip", "film"]
    sheet, film = (visitor.fetch(str(link.evaluate("link => link.href"))) for link in shown.all())
    assert sheet.startswith(b"\x89PNG") and film[8:12] == b"WEBP" and b"ANIM" in film
