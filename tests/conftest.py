"""What tests in several folders need: a small real checkpoint, an installation with it, and the real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
"""Seconds until a test gives up waiting: other things may keep the machine busy."""
MACHINE = ("--use-cpu", "all", "--no-half")


FIRST = ("test_launch.py", "browser", "server", "engine", "api", "storey", "golden")
"""The folders and files that take longest: when they come first, no worker is left alone with one at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests as well that take long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=place)
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long; runs with --long"))


@pytest.fixture(scope="session")
def tiny_checkpoint(request: pytest.FixtureRequest) -> Path:
    """A whole SD1 checkpoint of a few megabytes with random weights, with its yaml file beside it."""
    return made_checkpoint("tiny-sd1", request)


def made_checkpoint(name: str, request: pytest.FixtureRequest) -> Path:
    """One of the small checkpoints of `golden/make_checkpoints.py`, with its yaml file; made once and kept."""
    kept = Path(request.config.cache.mkdir("checkpoints")) / f"{name}.safetensors"
    if not kept.is_file():
        # In a process of its own: most tests never import torch.
        code = f"import sys, pathlib, make_checkpoints\nmake_checkpoints.make('{name}', pathlib.Path(sys.argv[1]))"
        making = kept.parent / f"making-{os.getpid()}"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "golden"), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", code, str(making)], env=env, check=True, timeout=PATIENCE)
        config = shutil.copy(ROOT / "tests" / "golden" / "checkpoints" / f"{name}.yaml", making)
        Path(config).replace(kept.with_suffix(".yaml"))  # whole at once: other workers may be reading it
        (making / kept.name).replace(kept)
    return kept


def made_controls(request: pytest.FixtureRequest) -> Path:
    """The folder of the small control networks of `golden/make_controls.py`; made once and kept."""
    maker = ROOT / "tests" / "golden" / "make_controls.py"
    kept = Path(request.config.cache.mkdir("checkpoints")) / f"controls-{sha256(maker.read_bytes()).hexdigest()[:8]}"
    if not kept.is_dir():
        code = "import sys, pathlib, make_controls\nmake_controls.make(pathlib.Path(sys.argv[1]))"
        making = kept.parent / f"making-controls-{os.getpid()}"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "golden"), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", code, str(making)], env=env, check=True, timeout=PATIENCE)
        try:
            making.rename(kept)
        except OSError:  # another worker was faster
            shutil.rmtree(making)
    return kept


def furnish(data: Path, checkpoint: Path) -> Path:
    """An installation in an empty folder, with one checkpoint under two names."""
    folder = data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    for name in ("tiny-sd1", "other"):
        shutil.copy(checkpoint, folder / f"{name}.safetensors")
        shutil.copy(checkpoint.with_suffix(".yaml"), folder / f"{name}.yaml")
    return data


@pytest.fixture
def installation(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return furnish(tmp_path / "data", tiny_checkpoint)


@dataclass
class RunningServer:
    """`python -m webui` in a process of its own."""

    process: subprocess.Popen[str]
    data: Path
    url: str = ""
    output: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        return "".join(self.output)

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)  # type: ignore[arg-type]

    def engines(self) -> list[psutil.Process]:
        """The engine processes that live now."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "engine_child" in " ".join(_command(child))]

    def engine(self) -> psutil.Process:
        """The engine process that lives now."""
        return until(lambda: next(iter(self.engines()), None), "an engine process")

    def wait_for_page(self) -> None:
        """Until the real page answers instead of the waiting one."""
        until(lambda: httpx.get(self.url, timeout=PATIENCE).status_code == 200, "the page", self.process)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # It has just ended.


def until(look: Callable[[], T], what: str, process: subprocess.Popen[str] | None = None) -> T:
    """The first answer that is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            break
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def start_server(data: Path, *flags: str, path: Sequence[Path] = ()) -> RunningServer:
    """Start the program and wait until it says where it is. path: more folders with packages."""
    command = [sys.executable, "-m", "webui", "--port", "0", "--data-dir", str(data), *MACHINE, *flags]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path)))}
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    server = RunningServer(process, data)

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            server.output.extend(iter(process.stdout.readline, ""))

    threading.Thread(target=listen, daemon=True).start()
    found = until(lambda: re.search(r"Gesso is at (http\S+)", server.log) or process.poll() is not None, "the server")
    assert not isinstance(found, bool), server.log
    server.url = found[1]
    until(lambda: _answers(server), "an answer", process)
    return server


def _answers(server: RunningServer) -> bool:
    try:
        return httpx.get(f"{server.url}internal/ping", timeout=5.0).status_code < 500
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[RunningServer]:
    """The real server with its page, started once for all tests that only use it."""
    running = start_server(furnish(tmp_path_factory.mktemp("server") / "data", tiny_checkpoint))
    yield running
    running.stop()


@pytest.fixture
def serving(installation: Path) -> Iterator[Callable[..., RunningServer]]:
    """Starts servers of the test's own, all on one installation; ends them afterwards."""
    started: list[RunningServer] = []

    def start(*flags: str) -> RunningServer:
        started.append(start_server(installation, *flags))
        return started[-1]

    yield start
    for running in started:
        running.stop(signal.SIGKILL)
