"""The page's modules come late, from another edition, or below a subpath: what is pressed is done all the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.browser.conftest import Enter
from tests.conftest import RunningServer

MODULES = re.compile(r"/page/[0-9a-f]{16}/\w+\.js$")


def test_the_page_leaves_nothing_in_the_window(enter: Enter) -> None:
    visitor = enter()
    found = visitor.page.evaluate("() => Object.keys(window).filter(name => /gesso/i.test(name))")
    assert found == []


@pytest.mark.long
def test_what_is_pressed_before_the_modules_are_there_is_done_when_they_are(enter: Enter) -> None:
    """Gradio's own scripts are ready first, as on a slow network."""
    held: list[Route] = []
    opened: list[bool] = []
    visitor = enter(stranger=True, arrive=False)
    visitor.page.route(MODULES, lambda route: route.continue_() if opened else held.append(route))
    visitor.page.goto(visitor.url)
    visitor.write("txt2img_prompt", "a cat")
    visitor.page.click("#txt2img_clear_prompt")
    opened.append(True)
    for route in held:
        route.continue_()
    visitor.settled()
    visitor.until("() => modules.dom.field('txt2img_prompt').value === ''")
    visitor.see("#gesso_says .said")


@pytest.mark.long
def test_a_page_of_an_edition_that_is_gone_is_fetched_anew_once(enter: Enter) -> None:
    """It came before the program became a newer one; its modules are asked for after that."""
    visitor = enter(stranger=True, arrive=False, strict=False)
    pages = []

    def old(route: Route) -> None:
        pages.append(route.request.url)
        answer = route.fetch()
        text = answer.text()
        route.fulfill(
            response=answer, body=re.sub(r"/page/[0-9a-f]{16}/(?=\w+\.js)", f"/page/{'0' * 16}/", text, count=0)
        )

    visitor.page.route(visitor.url, old, times=1)
    visitor.arrive()
    assert len(pages) == 1
    assert visitor.page.locator("script[type=module][src$='/main.js']").get_attribute("src") not in ("", None)


@pytest.mark.long
def test_below_a_subpath(serving: Callable[..., RunningServer], enter: Enter) -> None:
    server = serving("--subpath", "studio/art")
    server.wait_for_page()
    visitor = enter(url=server.url, stranger=True)
    asked = visitor.page.evaluate("() => performance.getEntriesByType('resource').map(one => one.name)")
    modules = [address for address in asked if MODULES.search(address)]
    assert modules
    assert all("/studio/art/page/" in address for address in modules)
    visitor.write("txt2img_prompt", "a cat").page.click("#txt2img_clear_prompt")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === ''")
