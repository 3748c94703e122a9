"""Only the keyboard: from the opened page to a picture, looked at, sent on; whatever has the focus shows it."""

from __future__ import annotations

from tests.browser.visitor import TINY, Visitor

MOST = 400
"""Presses of Tab within which everything that a person needs is reached."""
FOCUSED = """selector => {
    const active = document.activeElement;
    return Boolean(active && active.matches(selector));
}"""
MARKED = """() => {
    const active = document.activeElement;
    const rings = [active, active.parentElement, active.closest('label, .block, .wrap, .container')].filter(Boolean);
    return rings.some(one => {
        const look = getComputedStyle(one);
        return look.outlineStyle !== 'none' || look.boxShadow !== 'none' || one.matches(':focus-within');
    });
}"""


def reach(visitor: Visitor, selector: str, key: str = "Tab") -> None:
    """Go there as somebody does who has no mouse."""
    for _ in range(MOST):
        if visitor.page.evaluate(FOCUSED, selector):
            assert visitor.page.evaluate(MARKED), f"the focus cannot be seen on {selector}"
            return
        visitor.page.keyboard.press(key)
    raise AssertionError(f"{selector} is not reached by {key}")


def test_a_picture_is_made_looked_at_and_sent_on_without_a_mouse(visitor: Visitor) -> None:
    visitor.set("txt2img", **TINY)
    press = visitor.page.keyboard.press
    visitor.page.evaluate("() => { document.activeElement?.blur(); scrollTo(0, 0); }")
    reach(visitor, "#txt2img_prompt textarea")
    visitor.page.keyboard.type("a lamp on a shelf")
    job = visitor.submit(press=lambda: press("Control+Enter"))
    visitor.until("id => modules.live.job(id)?.state === 'done'", job)

    reach(visitor, "#txt2img_controlnet > button")
    press("Enter")
    visitor.see("#txt2img_controlnet [role=tab]")
    reach(visitor, "#txt2img_script_list input")
    press("ArrowDown")
    visitor.see("[role=listbox]")
    press("Escape")

    reach(visitor, "#txt2img_enlarge")
    press("Enter")
    visitor.see("#lightbox.open img")
    press("Escape")
    visitor.until("() => !document.querySelector('#lightbox.open')")
    reach(visitor, "#txt2img_send_to_img2img")
    press("Enter")
    visitor.until("() => modules.tabs.openedTab() === 'img2img'")
    visitor.until("() => modules.dom.field('img2img_prompt').value === 'a lamp on a shelf'")
