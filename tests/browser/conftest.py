"""A real browser on the real server. Every test fails when the page's console has an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.visitor import Visitor
from tests.conftest import PATIENCE, RunningServer

ARGS = ("--no-sandbox", "--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
SYSTEM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    named = os.environ.get("GESSO_TEST_BROWSER", "")
    path = named or next((path for path in SYSTEM if shutil.which(path)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path or None, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page_server(server: RunningServer) -> RunningServer:
    """The server, with its page ready."""
    server.wait_for_page()
    return server


Enter = Callable[..., Visitor]


@pytest.fixture
def enter(browser: Browser, page_server: RunningServer) -> Iterator[Enter]:
    """Opens the page: in a browser of one's own, or (`beside`) in another tab of a visitor's browser."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
        page.on("console", lambda line: errors.append(f"{line.text} {line.location}") if line.type == "error" else None)

    def open_page(
        *,
        beside: Visitor | None = None,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        url: str = "",
        arrive: bool = True,
    ) -> Visitor:
        if beside is None:
            scheme = "dark" if dark else "light"
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            context.set_default_timeout(PATIENCE * 1000)
            contexts.append(context)
        else:
            context = beside.page.context
        page = context.new_page()
        watch(page)
        visitor = Visitor(page, url or page_server.url)
        return visitor.arrive() if arrive else visitor

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def visitor(enter: Enter) -> Visitor:
    return enter()
