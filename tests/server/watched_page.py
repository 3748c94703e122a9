"""The whole server with its page over an engine that stands in, in a process that watches itself.

It says how long its event loop was held up, how much memory it has, and which watched files anybody has opened.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.conftest import PATIENCE, ROOT, until

HEART = "/watched"
HEARTBEAT = 0.002
"""Seconds between two looks at the clock."""
WATCHED = "GESSO_TEST_WATCHED"
"""Variable of the environment: a word in the names of files that nobody may open."""


class Loop:
    """Measures the longest pause of the event loop that it is started in."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def heartbeat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(HEARTBEAT)
            now = time.perf_counter()
            self.worst = max(self.worst, now - last - HEARTBEAT)
            last = now


class WatchedApp:
    """An ASGI application around the server's: one more route tells what was seen."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._loop = Loop()
        self._beating: asyncio.Task[None] | None = None
        self._opened: list[str] = []
        word = os.environ.get(WATCHED, "")
        if word:
            sys.addaudithook(lambda event, told: self._look(event, told, word))

    def _look(self, event: str, told: tuple[Any, ...], word: str) -> None:
        if event == "open" and isinstance(told[0], str | bytes) and word in os.fsdecode(told[0]):
            self._opened.append(os.fsdecode(told[0]))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._beating is None:
            self._beating = asyncio.create_task(self._loop.heartbeat())
        if scope.get("path") != HEART:
            await self._inner(scope, receive, send)
            return
        found = {"worst": self._loop.worst, "opened": self._opened}
        self._loop.worst = 0.0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})


def main(line: list[str]) -> None:
    from tests.server.stand_in import StandIn
    from webui import flags
    from webui.app import App
    from webui.request.messages import Command
    from webui.server.serve import Server, listen

    class Forgetful(StandIn):
        """Keeps nothing of what it was given, as the real one: the memory is measured."""

        def send(self, command: Command) -> None:
            super().send(command)
            self.sent.clear()

    chosen = flags.read([*line, "--port", "0"])
    app = App(chosen, Forgetful())
    app.start()
    server = Server(app, listen(chosen))
    app.stoppable(server.stop)
    config = server._server.config
    config.loaded_app = WatchedApp(config.loaded_app)
    sys.stdout.write(f"at {server.url}\n")
    sys.stdout.flush()
    try:
        server.run()
    finally:
        app.close()


def idle() -> None:
    """An event loop that does nothing: what the machine itself does to one. A line of input is answered."""

    async def rest() -> None:
        loop = Loop()
        working = asyncio.create_task(loop.heartbeat())
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(f"{loop.worst}\n")
            sys.stdout.flush()
        working.cancel()

    asyncio.run(rest())


class Page:
    """A running server, as callers see it."""

    def __init__(self, url: str, process: subprocess.Popen[str], data: Path) -> None:
        self.url, self.process, self.data = url, process, data
        self.output: list[str] = []
        self.callers: list[Caller] = []

    def seen(self) -> Any:
        return httpx.get(f"{self.url}{HEART}", timeout=PATIENCE).json()

    def memory(self) -> int:
        """Bytes of its resident memory, once it has come to rest."""
        process = psutil.Process(self.process.pid)
        found = [process.memory_info().rss]
        while len(found) < 3 or found[-1] < 0.99 * found[-3]:
            time.sleep(0.5)
            found.append(process.memory_info().rss)
        return found[-1]

    def caller(self, name: str = "", password: str = "") -> Caller:
        """Somebody with a name and a password, or a visitor with a browser of their own."""
        self.callers.append(Caller(self, name, password))
        return self.callers[-1]


class Caller:
    """A browser of somebody's."""

    def __init__(self, page: Page, name: str, password: str) -> None:
        headers = {}
        if name:
            headers["authorization"] = f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
        self.http = httpx.Client(base_url=page.url, timeout=PATIENCE, headers=headers)
        until(lambda: self.http.get("/", headers={"accept": "text/html"}).status_code == 200, "the page", page.process)
        config = self.http.get("/config").json()
        self.components: dict[int, Any] = {one["id"]: one for one in config["components"]}
        self.events = [one for one in config["dependencies"] if one["backend_fn"]]

    def event(self, elem_id: str, kind: str) -> Any:
        """The event that happens when something is done to a component."""
        number = next(one for one, found in self.components.items() if found["props"].get("elem_id") == elem_id)
        return next(one for one in self.events if [number, kind] in one["targets"])

    def usual(self, event: Any) -> list[Any]:
        """The values that a page would send that nobody has touched."""
        return [self.components[one]["props"].get("value") for one in event["inputs"]]

    def send(self, event: Any, values: list[Any], **more: Any) -> httpx.Response:
        body = {"data": values, "fn_index": event["id"], "session_hash": "a", **more}
        return self.http.post(
            "/gradio_api/run/predict", content=json.dumps(body), headers={"content-type": "application/json"}
        )

    def upload(self, content: bytes, name: str) -> str:
        answer = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        assert answer.status_code == 200, answer.text
        return str(answer.json()[0])

    def file(self, path: str) -> httpx.Response:
        return self.http.get(f"/gradio_api/file={path}")


@contextmanager
def opened(data: Path, *line: str, watched: str = "") -> Iterator[Page]:
    """The server on this folder, until the block ends."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), WATCHED: watched}
    command = [sys.executable, "-m", "tests.server.watched_page", "--data-dir", str(data), *line]
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    page = Page("", process, data)

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            page.output.extend(iter(process.stdout.readline, ""))

    threading.Thread(target=listen, daemon=True).start()
    try:
        until(lambda: re.search(r"at (http\S+)", "".join(page.output)), "the server", process)
        found = re.search(r"at (http\S+)", "".join(page.output))
        assert found is not None
        page.url = found[1].rstrip("/")
        until(lambda: httpx.get(f"{page.url}/login", timeout=PATIENCE).status_code < 500, "an answer", process)
        yield page
    finally:
        for caller in page.callers:
            caller.http.close()
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    idle() if sys.argv[1:] == ["idle"] else main(sys.argv[1:])
