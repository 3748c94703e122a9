"""`python -m webui bench queue`, `events` and `soak`: what many jobs, many pages and many pictures cost."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from websockets.sync.client import connect

from webui.base.errors import UserError
from webui.base.paths import PROGRAM
from webui.catalog.database import Database
from webui.catalog.job_table import JobTable

SHORT, QUEUED = 100, 10_000
SLOWEST_MS = 5.0
GROWTH = 2.0
"""How much slower a queue of 10,000 may be than one of 100."""
WATCHERS = 20
DEAREST = 1.03
ROUNDS = 5
GROWN = 1.10
"""How much memory may grow after the third round of a soak."""
PATIENCE = 600.0
REQUEST = json.dumps({"prompt": "a red apple on a table, " * 10, "steps": 30, "width": 768})


def main(argv: Sequence[str]) -> int:
    """Run one of them -> 1 when it costs too much."""
    benches: dict[str, Callable[[Sequence[str]], bool]] = {"queue": queue, "events": events, "soak": soak}
    return 0 if benches[argv[0]](argv[1:]) else 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------- queue


def queue(_argv: Sequence[str] = ()) -> bool:
    """Enqueue, list and claim, in a queue of 100 jobs and in one of 10,000 -> whether both bounds hold."""
    fine = True
    for action, (few, many) in queue_times((SHORT, QUEUED)).items():
        fine = fine and many <= SLOWEST_MS and many / few <= GROWTH
        say(f"queue: {action:8} {few:.2f} ms among {SHORT}, {many:.2f} ms among {QUEUED:,}: ratio {many / few:.2f}")
    say(f"queue: at most {SLOWEST_MS:.0f} ms each, and {GROWTH:.0f} times those of a short queue")
    return fine


def queue_times(lengths: Sequence[int], rounds: int = 200) -> dict[str, list[float]]:
    """Median milliseconds of each action in queues of these lengths, of 20 owners each, measured by turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        tables = []
        for length in lengths:
            database = Database(Path(folder) / f"{length}.sqlite3")
            opened.callback(database.close)
            tables.append(JobTable(database))
            with database.writing():
                for number in range(length):
                    tables[-1].submit("txt2img", f"owner {number % 20}", REQUEST, seed=number, subseed=0)
        actions: dict[str, Callable[[JobTable], object]] = {
            "enqueue": lambda table: table.submit("txt2img", "owner 3", REQUEST, seed=1, subseed=0),
            "list": lambda table: table.list(states=("running", "queued"), limit=SHORT // 2),
            "claim": lambda table: table.claim(),
        }
        found: dict[str, list[list[float]]] = {name: [[] for _ in tables] for name in actions}
        for _ in range(rounds):
            for name, action in actions.items():
                for times, table in zip(found[name], tables, strict=True):
                    began = time.perf_counter()
                    action(table)
                    times.append((time.perf_counter() - began) * 1000)
    return {name: [median(times) for times in columns] for name, columns in found.items()}


# ---------------------------------------------------------------- events, soak


def events(argv: Sequence[str]) -> bool:
    """The same job with nobody and with 20 pages watching, by turns -> whether the ratio of the times is small.

    An argument is the folder of the checkpoints.
    """
    with _serving(argv) as server:
        server.make(steps=4)
        alone: list[float] = []
        watched: list[float] = []
        for number in range(ROUNDS):
            for _ in range(2):
                watching = len(watched) + len(alone) & 1 == number & 1
                with ExitStack() as pages:
                    for _page in range(WATCHERS if watching else 0):
                        pages.enter_context(connect(server.events, max_queue=None))
                    (watched if watching else alone).append(server.make(steps=30, save_images=False))
        ratio = median(watched) / median(alone)
    say(f"events: {median(alone):.2f} s alone, {median(watched):.2f} s with {WATCHERS} pages: ratio {ratio:.3f}")
    say(f"events: at most {DEAREST}")
    return bool(ratio <= DEAREST)


def soak(argv: Sequence[str]) -> bool:
    """500 pictures and 50 changes of the checkpoint -> whether memory stays within 10 % of where it was after the third
    change. Writes the course as `soak.csv`. Arguments: the folder of the checkpoints, and the number of pictures."""
    pictures = int(argv[1]) if len(argv) > 1 else 500
    rounds = max(pictures // 10, 4)
    course: list[tuple[int, int, int]] = []
    with _serving(argv) as server:
        titles = server.titles()
        for number in range(rounds):
            title = titles[number % len(titles)]
            server.make(
                steps=2, n_iter=10, seed=random.randrange(2**32), override_settings={"sd_model_checkpoint": title}
            )
            course.append((number, *server.memory()))
    Path("soak.csv").write_text("round,server,engine\n" + "".join(f"{a},{b},{c}\n" for a, b, c in course), "utf-8")
    fine = True
    for column, who in ((1, "server"), (2, "engine")):
        sizes = [row[column] / 2**20 for row in course]
        settled, last = sizes[min(2 * len(titles), 3, len(sizes) - 1)], median(sizes[-3:])
        fine = fine and last <= settled * GROWN
        say(f"soak: {who} {settled:.0f} MiB after the third round, {last:.0f} at the end: ratio {last / settled:.3f}")
    say(f"soak: {rounds} changes of checkpoint, {rounds * 10} pictures; at most {GROWN}")
    return fine


class _Server:
    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self.process = port, process
        self.events = f"ws://127.0.0.1:{port}/internal/ws"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, json.dumps(body or {}), {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise UserError(f"{path} answered {answer.status}: {content[:300].decode('utf-8', 'replace')}")
        return json.loads(content)

    def make(self, **values: object) -> float:
        """Make pictures -> seconds."""
        began = time.perf_counter()
        self.call("POST", "/sdapi/v1/txt2img", {"prompt": "a cat", "width": 128, "height": 128, **values})
        return time.perf_counter() - began

    def titles(self) -> list[str]:
        return [str(model["title"]) for model in self.call("GET", "/sdapi/v1/sd-models")]

    def memory(self) -> tuple[int, int]:
        """Bytes of the server, and of its engine."""
        server = psutil.Process(self.process.pid)
        return server.memory_info().rss, sum(child.memory_info().rss for child in server.children())


@contextmanager
def _serving(argv: Sequence[str]) -> Iterator[_Server]:
    """A server of its own on the CPU, with the checkpoints of a folder."""
    checkpoints = Path(argv[0]) if argv else PROGRAM / "models" / "Stable-diffusion"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", folder, "--use-cpu", "all"]
        command += ["--nowebui", "--ckpt-dir", str(checkpoints)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = _Server(port, process)
        try:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end and process.poll() is None:
                try:
                    server.call("GET", "/internal/ping")
                    break
                except OSError:
                    time.sleep(0.2)
            yield server
        finally:
            process.terminate()
            process.wait(30)
