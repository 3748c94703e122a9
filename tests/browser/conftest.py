"""A real browser on the real server. Every test fails when the page's console has an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.browser.visitor import Visitor
from tests.conftest import RunningServer

OWN = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "AimEnabled", "HttpsUpgrades", "LensOverlay",
    "MediaRouter", "OptimizationHints",
)  # fmt: skip
"""What the browser does for itself. For the bar of each window it makes two pages more, a sixth of all its work."""
ARGS = (
    "--no-sandbox", "--headless=new", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    f"--disable-features={','.join(OWN)}",
)  # fmt: skip
WAIT = 120_000
"""Milliseconds until a visitor gives up: other things may keep the machine busy."""
SYSTEM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with this folder's tests: while Playwright lives, the thread counts as one with a running event loop."""
    named = os.environ.get("GESSO_TEST_BROWSER", "")
    path = named or next((path for path in SYSTEM if shutil.which(path)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path or None, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def page_server(server: RunningServer) -> RunningServer:
    """The server, with its page ready."""
    server.wait_for_page()
    return server


def url_of(page: Page, usual: str) -> str:
    """Where the page's server is; `usual`, where it has not come that far."""
    found = urlsplit(page.url)
    return f"{found.scheme}://{found.netloc}/" if found.scheme.startswith("http") else usual


def forget(page: Page, url: str) -> None:
    """The browser has never been on that server's page."""
    where = urlsplit(url)
    asked = {"origin": f"{where.scheme}://{where.netloc}", "storageTypes": "local_storage"}
    page.context.new_cdp_session(page).send("Storage.clearDataForOrigin", asked)


Enter = Callable[..., Visitor]


@pytest.fixture(scope="package")
def home(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile for most visitors, so that the page's files are fetched once."""
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    yield context
    context.close()


def _is_wrong(line: ConsoleMessage) -> bool:
    # A preview is gone once its picture is finished; a page that asked a moment before is told so.
    return line.type == "error" and "/internal/preview/" not in line.location["url"]


@pytest.fixture
def enter(browser: Browser, home: BrowserContext, page_server: RunningServer) -> Iterator[Enter]:
    """Opens the page as somebody new; or `beside` a visitor, in another tab; or as a `stranger` with a browser of
    their own, while others are there, with a phone (`touch`), or with a
    browser in another language (`locale`). Unless it is `strict`, the console may show errors."""
    opened: list[Page | BrowserContext] = []
    errors: list[str] = []
    home.clear_cookies()

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
        page.on("console", lambda line: errors.append(f"{line.text} {line.location}") if _is_wrong(line) else None)

    def open_page(
        *,
        beside: Visitor | None = None,
        stranger: bool = False,
        touch: bool = False,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        locale: str = "",
        url: str = "",
        arrive: bool = True,
        strict: bool = True,
    ) -> Visitor:
        context = home
        if beside is not None:
            context = beside.page.context
        elif stranger or touch or locale:
            context = browser.new_context(has_touch=touch, is_mobile=touch, locale=locale or None)
            context.set_default_timeout(WAIT)
            opened.append(context)
        page = context.new_page()
        opened.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if dark else "light")
        if strict:
            watch(page)
        if context is home and beside is None:
            forget(page, url or page_server.url)
        visitor = Visitor(page, url or page_server.url)
        return visitor.arrive() if arrive else visitor

    yield open_page
    for page in [thing for thing in opened if isinstance(thing, Page)]:
        # Not by the page itself: after a test that failed it may be frozen, or its network may be cut.
        for server in {page_server.url, url_of(page, page_server.url)}:
            with suppress(PlaywrightError):
                page.context.request.post(f"{server}internal/jobs/cancel", timeout=10_000)
    for thing in reversed(opened):
        thing.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def visitor(enter: Enter) -> Visitor:
    return enter()
