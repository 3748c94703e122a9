"""Somebody at the page: what they do, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from playwright.sync_api import Locator, Page, Request
from playwright.sync_api import TimeoutError as Slow

TINY = {"width": 64, "height": 64, "steps": 2}
"""A picture that takes no time."""
MENU = {
    "extras": "Extras",
    "pnginfo": "PNG Info",
    "merge": "Checkpoint Merger",
    "queue": "Queue",
    "history": "History",
    "settings": "Settings",
}
TRIES = 20
EVENTS = ("/gradio_api/queue/join", "/gradio_api/run/")
"""Where the page sends its events."""
AT_REST_MS = 4000
"""In which a page at rest asks for nothing: events that answer each other come every second."""
HANDLE = """document.addEventListener("gesso:ready", async () => {
    const entry = document.querySelector("script[type=module][src$='/main.js']").src;
    const of = name => import(new URL(`${name}.js`, entry));
    const [live, dom, tabs, server, remembering, { facts }] =
        await Promise.all(["live", "dom", "tabs", "server", "remembering", "facts"].map(of));
    window.modules = { live, dom, tabs, server, remembering, facts };
}, { once: true })"""
"""For the tests alone: the page's modules by their names. The page itself leaves nothing in `window`."""
BAR = "#tabs > .tab-wrapper"


class Visitor:
    """A browser tab on the page. Waits for what the page itself shows, never for a time."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        page.add_init_script(HANDLE)
        self._events = 0
        page.on("request", self._count)

    def _count(self, request: Request) -> None:
        self._events += any(place in request.url for place in EVENTS)

    def arrive(self) -> Visitor:
        self.page.goto(self.url)
        return self.settled()

    def reload(self) -> Visitor:
        self.page.reload()
        return self.settled()

    def settled(self) -> Visitor:
        """The page is built, shows the server's values, and the stream has said where things stand."""
        self.page.wait_for_selector("html.arrived.remembered #txt2img_generate", state="attached")
        self.until("() => window.modules?.live.isConnected() && modules.live.engine()?.state === 'ready'")
        return self

    def until(self, script: str, given: object = None) -> None:
        """Until the script's answer is true; asks by the clock, for a page behind another one draws no frames."""
        self.page.wait_for_function(script, arg=given, polling=100)

    def see(self, selector: str) -> Locator:
        found = self.page.locator(selector)
        found.first.wait_for()
        return found

    # --- doing --------------------------------------------------------------------------------------------------------

    def open(self, tab: str) -> Visitor:
        """Press a tab, or pick it from the menu that a narrow window has for those without room."""
        for _ in range(TRIES):
            with suppress(Slow):
                self._press_tab(tab)
                self.until("tab => modules.tabs.openedTab() === tab", tab)
                return self
        raise AssertionError(f"The tab {tab} does not open.")

    def _press_tab(self, tab: str) -> None:
        """While the bar is laid out, a tab may move into its menu, and an open menu closes. Raises Slow then."""
        button = self.page.locator(f"#tab_{tab}-button")
        if not button.count():
            button = self.page.locator(f"{BAR} .overflow-dropdown button:text-is('{MENU[tab]}')")
            if not button.is_visible():
                self.page.click(f"{BAR} .overflow-menu > button")
        button.click(timeout=3000)

    def write(self, name: str, text: str) -> Visitor:
        self.page.fill(f"#{name} textarea", text)
        return self

    def set(self, tab: str, **numbers: float) -> Visitor:
        """Type numbers into boxes, and leave them."""
        for name, number in numbers.items():
            box = f"#{tab}_{name} input[type=number]"
            self.page.fill(box, str(number))
            self.page.press(box, "Tab")
        return self

    def choose(self, elem_id: str, option: str) -> Visitor:
        """Pick from a dropdown by a part of the option's text."""
        self.page.click(f"#{elem_id} input")
        self.page.locator("[role=option]", has_text=option).first.click()
        return self

    def load(self, checkpoint: str) -> Visitor:
        """Pick a checkpoint, and wait until it is loaded."""
        self.choose("setting_sd_model_checkpoint", checkpoint)
        self.until("name => modules.live.models().resident?.some(title => title.startsWith(name))", checkpoint)
        return self

    def generate(self, tab: str = "txt2img") -> str:
        """Press Generate, and wait until that job is over -> its id."""
        job = self.submit(tab)
        self.until("id => !['queued', 'running'].includes(modules.live.job(id)?.state)", job)
        return job

    def submit(self, tab: str = "txt2img", press: Callable[[], None] | None = None) -> str:
        """Press Generate, and wait until the job is in the stream -> its id."""
        known = [job["id"] for job in self.jobs()]
        (press or (lambda: self.page.click(f"#{tab}_generate")))()
        self.until("known => modules.live.jobs().some(job => !known.includes(job.id))", known)
        return str(next(job["id"] for job in self.jobs() if job["id"] not in known))

    def swipe(self, *places: tuple[float, float]) -> None:
        """Put a finger down at the first place of the window, move it through the others, rest at the last, lift it:
        lifted in full flight, it would throw something, and the next tap would only stop that."""
        session = self.page.context.new_cdp_session(self.page)
        for number, (x, y) in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        self.page.wait_for_timeout(150)
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 1, "y": y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()

    def download(self, button: str) -> bytes:
        with self.page.expect_download() as waiting:
            self.page.click(button)
        return waiting.value.path().read_bytes()

    # --- seeing -------------------------------------------------------------------------------------------------------

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("() => modules.live.jobs()"))

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.page.evaluate("id => modules.live.job(id)", job_id))

    def value(self, elem_id: str) -> str:
        return str(self.page.input_value(f"#{elem_id} :is(textarea, input)"))

    def shown_picture(self, tab: str = "txt2img") -> str:
        """The address of the picture on the stage."""
        layer = self.see(f"#{tab}_results .stage .layer.on:not(.preview)")
        return str(layer.get_attribute("src"))

    def infotext(self, tab: str = "txt2img") -> str:
        return str(self.see(f".gesso-infotext[data-tab={tab}] .infotext").text_content())

    def notice(self, tab: str = "txt2img") -> str:
        return self.see(f"#{tab}_notice .notice").inner_text()

    def fetch(self, address: str) -> bytes:
        return self.page.request.get(address).body()

    @property
    def comes_to_rest(self) -> bool:
        """Whether the page stops sending events while nobody touches it: none of them is the cause of the next."""
        for _ in range(TRIES):
            before = self._events
            self.page.wait_for_timeout(AT_REST_MS)
            if self._events == before:
                return True
        return False

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth"))
