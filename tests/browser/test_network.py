"""Networks that drop, and pages that sleep: afterwards the page shows the true state again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import Visitor
from tests.conftest import RunningServer

LONG = {"width": 64, "height": 64, "steps": 6, "n_iter": 60}


class Wire:
    """What lies between a page and its server. It can be cut; or connections stay, but nothing flows through them."""

    def __init__(self, server: str) -> None:
        self.far = (urlsplit(server).hostname, urlsplit(server).port)
        self.flows = threading.Event()
        self.flows.set()
        self.is_cut = False
        self.ends: list[socket.socket] = []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}/"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def cut(self) -> None:
        self.is_cut = True
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.is_cut = False
        self.flows.set()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self.door.accept()
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            far = socket.create_connection(self.far)
            self.ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                self.flows.wait()
                other.sendall(content)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self.flows.set()
        self.door.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.door.close()
        for end in self.ends:
            end.close()


@pytest.fixture
def wire(page_server: RunningServer) -> Iterator[Wire]:
    wire = Wire(page_server.url)
    yield wire
    wire.close()


def pictures(visitor: Visitor, job_id: str) -> int:
    return len(visitor.job(job_id)["pictures"])


@pytest.mark.long
def test_a_page_catches_up_after_its_network_and_after_a_sleep(wire: Wire, enter: Enter) -> None:
    away = enter(url=wire.url, strict=False)
    away.set("txt2img", **LONG)
    job_id = away.submit()
    here = enter(beside=away)
    """Another device of the same person, whose network is well."""
    more = "([id, count]) => modules.live.job(id).pictures.length > count"

    def goes_on_without_it() -> None:
        here.until(more, [job_id, pictures(away, job_id) + 1])

    def catches_up() -> None:
        away.until(more, [job_id, pictures(here, job_id) - 1])
        away.until("() => modules.live.isConnected()")

    here.until(more, [job_id, 0])
    wire.cut()
    away.until("() => document.querySelector('#gesso_status').textContent.includes('Connection lost')")
    goes_on_without_it()
    wire.mend()
    catches_up()

    wire.flows.clear()
    goes_on_without_it()
    away.until("() => !modules.live.isConnected()")
    wire.mend()
    catches_up()

    session = away.page.context.new_cdp_session(away.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    goes_on_without_it()
    session.send("Page.setWebLifecycleState", {"state": "active"})
    catches_up()

    here.page.click("#txt2img_interrupt")
    away.until("id => modules.live.job(id).state !== 'running'", job_id)
    away.until("() => !document.querySelector('#txt2img_generate_box.running')")
    away.see("#txt2img_results .thumb")
