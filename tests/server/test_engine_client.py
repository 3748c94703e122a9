"""A real process is started, ends in every way that a process can, and is started again."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT, until
from webui.request.engine_options import EngineOptions
from webui.request.messages import DeviceInfo, Heartbeat, LivePreviews, Ready, Run, Unload
from webui.server.jobs import engine_client
from webui.server.jobs.engine_client import EngineState, Heard, LocalEngine, Lost, kernel_memory_kills

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

# An engine in ten lines: what it does is written in the module that is started instead of the real one.
HEALTHY = """
import os, sys, time
from multiprocessing.connection import Connection
from webui.request.messages import Heartbeat, DeviceInfo, Ready, Shutdown
connection = Connection(int(sys.argv[1]))
options = connection.recv()
connection.send(Ready(DeviceInfo("cpu", str(os.getpid()), "float32", "none", "0")))
connection.send(Heartbeat(resident=(options.device,)))
while not isinstance(command := connection.recv(), Shutdown):
    connection.send(Heartbeat(resident=(type(command).__name__,)))
"""
COMPLAINING = "import sys; sys.exit('ModuleNotFoundError: No module named torch')"
FOREIGN = """
import sys, fractions
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1])); connection.recv()
connection.send(fractions.Fraction(1, 2)); connection.recv()
"""

Start = Callable[..., tuple[LocalEngine, "queue.SimpleQueue[Heard]"]]


@pytest.fixture
def start(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    started: list[LocalEngine] = []

    def begin(program: str, **limits: Any) -> tuple[LocalEngine, queue.SimpleQueue[Heard]]:
        (tmp_path / "stand_in_engine.py").write_text(program)  # type: ignore[operator]
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(engine_client, "CHILD", "stand_in_engine")
        heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        engine = LocalEngine(EngineOptions(device="cpu"), **limits)
        engine.start(heard.put)
        started.append(engine)
        return engine, heard

    yield begin
    for engine in started:
        engine.close()


def next_of(heard: queue.SimpleQueue[Heard], kind: type) -> Heard:
    while not isinstance(found := heard.get(timeout=60), kind):
        pass
    return found


def test_it_comes_up_hears_its_options_and_answers(start: Start) -> None:
    engine, heard = start(HEALTHY)
    assert isinstance(heard.get(timeout=60), EngineState)
    assert isinstance(next_of(heard, Ready), Ready)
    assert next_of(heard, Heartbeat) == Heartbeat(resident=("cpu",))
    engine.send(LivePreviews(True))
    assert next_of(heard, Heartbeat) == Heartbeat(resident=("LivePreviews",))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_whatever_ends_it_another_one_comes(start: Start, number: signal.Signals) -> None:
    engine, heard = start(HEALTHY)
    first = next_of(heard, Ready)
    assert isinstance(first, Ready)
    engine.send(LivePreviews(True, 0.5))
    next_of(heard, Heartbeat), next_of(heard, Heartbeat)
    os.kill(int(first.info.name), number)
    lost = next_of(heard, Lost)
    assert isinstance(lost, Lost)
    assert number.name in lost.reason
    assert next_of(heard, EngineState).state == "restarting"  # type: ignore[union-attr]
    second = next_of(heard, Ready)
    assert isinstance(second, Ready)
    assert second.info.name != first.info.name
    next_of(heard, Heartbeat)
    assert next_of(heard, Heartbeat) == Heartbeat(resident=("LivePreviews",)), (
        "what holds for all engines is told to the new one"
    )


def test_its_first_start_lets_the_page_go_before(start: Start) -> None:
    page = threading.Event()
    engine, heard = start(HEALTHY, after=page)
    assert isinstance(heard.get(timeout=60), EngineState)
    with pytest.raises(queue.Empty):
        heard.get(timeout=0.5)
    assert engine.pid is None
    page.set()
    assert isinstance(next_of(heard, Ready), Ready)


def test_one_that_falls_silent_is_replaced(start: Start) -> None:
    engine, heard = start(HEALTHY, silence_limit=1.0)
    first = next_of(heard, Ready)
    assert isinstance(first, Ready)
    os.kill(int(first.info.name), signal.SIGSTOP)
    lost = next_of(heard, Lost)
    assert isinstance(lost, Lost)
    assert "did not respond" in lost.reason
    assert not psutil.pid_exists(int(first.info.name))
    assert isinstance(next_of(heard, Ready), Ready)
    assert engine.pid is not None


@pytest.mark.parametrize("jump", [130.0, 3 * 3600.0, 1e6])
def test_a_healthy_one_outlives_the_sleep_of_its_machine(
    start: Start, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """The lid is closed; when it is opened, the engine has said nothing for hours, and nobody has listened."""
    slept = 0.0
    monkeypatch.setattr(engine_client, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + slept))
    engine, heard = start(HEALTHY)
    first = next_of(heard, Ready)
    assert isinstance(first, Ready)
    slept = jump
    with pytest.raises(queue.Empty):
        while True:
            assert not isinstance(heard.get(timeout=2.5), Lost)
    engine.send(Unload())
    assert isinstance(next_of(heard, Heartbeat), Heartbeat)
    assert engine.pid == int(first.info.name)


HELD = """
import sys, threading, queue, time
from webui.request.engine_options import EngineOptions
from webui.request.messages import Heartbeat, Ready
from webui.server.jobs import engine_client
engine_client.CHILD, engine_client.JUMP = "stand_in_engine", 2.5
heard = queue.SimpleQueue()
engine = engine_client.LocalEngine(EngineOptions(device="cpu"), silence_limit=4.0)
engine.start(heard.put)
while True:
    found = heard.get()
    print(type(found).__name__, getattr(getattr(found, "info", None), "name", ""), flush=True)
"""
BEATING = HEALTHY.split("while not")[0] + "while True: time.sleep(0.2); connection.send(Heartbeat())\n"


@pytest.mark.long
def test_a_machine_that_is_held_for_a_while_goes_on(tmp_path: Path) -> None:
    """Both processes stop and go on, as when a virtual machine is paused."""
    (tmp_path / "stand_in_engine.py").write_text(BEATING)
    (tmp_path / "held.py").write_text(HELD)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "held.py")], stdout=subprocess.PIPE, text=True, env=env
    ) as server:
        assert server.stdout is not None
        try:
            said = iter(server.stdout.readline, "")
            first = next(line.split()[1] for line in said if line.startswith("Ready"))
            assert next(said).startswith("Heartbeat")
            for number, pause in ((signal.SIGSTOP, 6.0), (signal.SIGCONT, 0.0)):
                os.kill(server.pid, number)
                os.kill(int(first), number)
                time.sleep(pause)
            after = [next(said).split()[0] for _ in range(60)]
            assert set(after) == {"Heartbeat"}
            assert psutil.pid_exists(int(first))
        finally:
            server.kill()


def test_one_whose_work_does_not_move_is_replaced(start: Start) -> None:
    engine, heard = start(HEALTHY.replace("resident=(type(command).__name__,)", "stuck=400.0"))
    first = next_of(heard, Ready)
    assert isinstance(first, Ready)
    engine.send(Unload())
    lost = next_of(heard, Lost)
    assert isinstance(lost, Lost)
    assert (lost.reason, lost.out_of_memory) == ("The engine was stuck: it made no progress for 400 s.", False)
    assert not psutil.pid_exists(int(first.info.name))
    assert isinstance(next_of(heard, Ready), Ready)


def test_want_of_memory_is_told_from_other_ends(start: Start) -> None:
    kills = iter([7, 8, 8, 8, 8])
    _, heard = start(HEALTHY, memory_kills=lambda: next(kills))
    for starved, told in ((True, "SIGKILL: memory ran out"), (False, "perhaps")):
        ready = next_of(heard, Ready)
        assert isinstance(ready, Ready)
        os.kill(int(ready.info.name), signal.SIGKILL)
        lost = next_of(heard, Lost)
        assert isinstance(lost, Lost)
        assert lost.out_of_memory is starved
        assert told in lost.reason


@pytest.mark.parametrize(("text", "kills"), [("oom_kill 3\n", 3), ("pgfault 1\noom_kill 12\nswap_ra 0\n", 12), ("", 0)])
def test_linux_counts_what_it_ends_for_want_of_memory(text: str, kills: int, tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text(text)
    assert kernel_memory_kills(tmp_path / "vmstat") == kills
    assert kernel_memory_kills(tmp_path / "missing") == 0


def test_a_stopped_reader_makes_nobody_wait(start: Start) -> None:
    engine, heard = start(HEALTHY)
    first = next_of(heard, Ready)
    assert isinstance(first, Ready)
    os.kill(int(first.info.name), signal.SIGSTOP)
    for _ in range(2000):
        engine.send(Run("x" * 1000, None))  # type: ignore[arg-type]  # more than a pipe holds
    os.kill(int(first.info.name), signal.SIGCONT)
    next_of(heard, Heartbeat)


def test_one_that_cannot_start_says_why(start: Start) -> None:
    _, heard = start(COMPLAINING)
    while (state := next_of(heard, EngineState)).state != "failed":  # type: ignore[union-attr]
        pass
    assert isinstance(state, EngineState)
    assert "No module named torch" in state.text


def test_nothing_but_messages_is_read(start: Start) -> None:
    _, heard = start(FOREIGN)
    lost = next_of(heard, Lost)
    assert isinstance(lost, Lost)
    assert "not a message" in lost.reason


def test_it_ends_with_its_owner(start: Start) -> None:
    engine, heard = start(HEALTHY)
    next_of(heard, Ready)
    number = engine.pid
    assert number is not None
    engine.close()
    until(lambda: not psutil.pid_exists(number), "the end of the process")


def test_device_info_is_plain_text() -> None:
    """A string class of torch's would make the server import torch."""
    info = DeviceInfo("cpu", "a", "float32", "sdpa", "2.13")
    assert all(type(value) in (str, int) for value in vars(info).values())
