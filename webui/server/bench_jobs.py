"""`python -m webui bench queue`, `events` and `soak`: what many jobs, many pages and many pictures cost."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from websockets.sync.client import connect

from webui.base.errors import UserError
from webui.base.json_values import Json, objects_in
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
SOAKED, A_ROUND, THIRD = 500, 10, 3
"""Pictures of a soak, those between two changes of the checkpoint, and the round that the end is compared with."""
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


@dataclass(frozen=True)
class Round:
    """Where memory stands after a checkpoint was switched to and pictures were made with it, in bytes."""

    server: int
    engine: int


def soak(argv: Sequence[str]) -> bool:
    """500 pictures and 50 changes among three checkpoints -> whether memory stays within 10 % of where it was after the
    third. Writes the course as `soak.csv` and `soak.svg`.

    Arguments: the folder of the checkpoints (else the one that comes with the program, three times), and the number of
    pictures.
    """
    rounds = max((int(argv[1]) if len(argv) > 1 else SOAKED) // A_ROUND, THIRD + 1)
    with tempfile.TemporaryDirectory() as made, _serving(argv or [str(_three_times(Path(made)))]) as server:
        course = course_of(server, server.titles()[:3], rounds, A_ROUND)
    lines = [f"{number},{at.server},{at.engine}\n" for number, at in enumerate(course, 1)]
    Path("soak.csv").write_text("round,server,engine\n" + "".join(lines), "utf-8")
    Path("soak.svg").write_text(_plot(course), "utf-8")
    ratios = growth(course)
    for who, ratio in ratios.items():
        then, now = getattr(course[THIRD - 1], who) / 2**20, getattr(course[-1], who) / 2**20
        say(f"soak: {who} {then:.0f} MiB after the third round, {now:.0f} after the last: ratio {ratio:.3f}")
    say(f"soak: {rounds} changes of checkpoint, {rounds * A_ROUND} pictures; at most {GROWN}")
    return max(ratios.values()) <= GROWN


def course_of(server: MeasuredServer, titles: Sequence[str], rounds: int, pictures: int) -> list[Round]:
    """Switch from checkpoint to checkpoint, and make so many pictures with each."""
    course = []
    for number in range(rounds):
        title = titles[number % len(titles)]
        server.make(steps=2, width=64, height=64, n_iter=pictures, override_settings={"sd_model_checkpoint": title})
        course.append(server.memory())
    return course


def growth(course: Sequence[Round]) -> dict[str, float]:
    """How much more each process holds at the end (the median of three) than after the third round."""
    third = course[THIRD - 1]
    return {
        "server": median(at.server for at in course[-3:]) / third.server,
        "engine": median(at.engine for at in course[-3:]) / third.engine,
    }


def _three_times(folder: Path) -> Path:
    demo = next(iter(sorted((PROGRAM / "models" / "Stable-diffusion").glob("*.safetensors"))), None)
    if demo is None:
        raise UserError("There is no checkpoint to soak with.", hint="Name a folder of checkpoints.")
    for name in ("one", "two", "three"):
        shutil.copy(demo, folder / f"{name}.safetensors")
    return folder


def _plot(course: Sequence[Round]) -> str:
    """The course as an SVG picture: MiB over rounds, and the line that may not be crossed."""
    wide, high, left, foot = 720, 360, 60, 40
    top = max(max(at.server, at.engine) for at in course) * 1.2

    def x(number: int) -> float:
        return left + (wide - left - 10) * number / max(len(course) - 1, 1)

    def y(size: float) -> float:
        return high - foot - (high - foot - 10) * size / top

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif">']
    parts.append(f'<rect width="{wide}" height="{high}" fill="#fff"/>')
    for fifth in range(6):
        size = top * fifth / 5
        parts.append(f'<path d="M{left} {y(size):.1f}H{wide - 10}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y(size) + 4:.1f}" font-size="11" text-anchor="end">{size / 2**20:.0f}</text>'
        )
    for who, colour in (("server", "#b7791f"), ("engine", "#4a47dc")):
        sizes = [getattr(at, who) for at in course]
        points = " ".join(f"{x(number):.1f},{y(size):.1f}" for number, size in enumerate(sizes))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(sizes) >= THIRD:
            bound = y(sizes[THIRD - 1] * GROWN)
            parts.append(f'<path d="M{left} {bound:.1f}H{wide - 10}" stroke="{colour}" stroke-dasharray="3 4"/>')
        parts.append(f'<text x="{left + 8}" y="{y(sizes[-1]) - 6:.1f}" font-size="12" fill="{colour}">{who}</text>')
    parts.append(
        f'<text x="{wide / 2}" y="{high - 12}" font-size="12" text-anchor="middle">'
        f"MiB after each of {len(course)} changes of checkpoint</text></svg>\n"
    )
    return "".join(parts)


class MeasuredServer:
    """A running server, by its port on this machine and its process."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.process = port, psutil.Process(pid)
        self.events = f"ws://127.0.0.1:{port}/internal/ws"

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> Json:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, json.dumps(body or {}), {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise UserError(f"{path} answered {answer.status}: {content[:300].decode('utf-8', 'replace')}")
        answered: Json = json.loads(content)
        return answered

    def make(self, **values: object) -> float:
        """Make pictures -> seconds."""
        began = time.perf_counter()
        body = {"prompt": "a cat", "width": 128, "height": 128, "send_images": False, **values}
        self.call("POST", "/sdapi/v1/txt2img", body)
        return time.perf_counter() - began

    def titles(self) -> list[str]:
        return [str(model["title"]) for model in objects_in(self.call("GET", "/sdapi/v1/sd-models"))]

    def memory(self) -> Round:
        """What the server and its engines hold now."""
        engines = (child for child in self.process.children() if "engine_child" in " ".join(child.cmdline()))
        return Round(self.process.memory_info().rss, sum(engine.memory_info().rss for engine in engines))


@contextmanager
def _serving(argv: Sequence[str]) -> Iterator[MeasuredServer]:
    """A server of its own on the CPU, with the checkpoints of a folder."""
    checkpoints = Path(argv[0]) if argv else PROGRAM / "models" / "Stable-diffusion"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", folder, "--use-cpu", "all"]
        command += ["--nowebui", "--ckpt-dir", str(checkpoints)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = MeasuredServer(port, process.pid)
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
