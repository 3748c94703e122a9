"""The engine as a process: it works, it listens, and it does not outlive its server."""

from __future__ import annotations

import io
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.engine.conftest import OPTIONS, SMALL, Names, reference
from webui.engine.worker import main
from webui.jobs.extras.request import Extras, ExtrasPreview
from webui.request.engine_options import EngineOptions
from webui.request.fields import Txt2Img
from webui.request.messages import (
    Aside,
    AsideDone,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Interrupt,
    LivePreviews,
    Loading,
    Pictured,
    Preload,
    Preloaded,
    Preview,
    Progress,
    Ready,
    Run,
    Shutdown,
    Unload,
)
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings
from webui.server.jobs.engine_client import Heard, LocalEngine, Lost

PATIENCE = 300.0


@dataclass
class Worker:
    process: BaseProcess
    connection: Connection
    events: list[Event] = field(default_factory=list)

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is wanted; all are kept."""
        deadline = time.monotonic() + PATIENCE
        while self.connection.poll(max(deadline - time.monotonic(), 0)):
            event: Event = self.connection.recv()
            self.events.append(event)
            if wanted(event):
                return event
        pytest.fail(f"It never came; last were {self.events[-3:]}")

    def run(self, job_id: str, plan: Plan) -> Event:
        self.connection.send(Run(job_id, plan))
        return self.until(lambda event: isinstance(event, Finished | Failed) and event.job_id == job_id)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(theirs, OPTIONS), daemon=True)
    process.start()
    theirs.close()
    started = Worker(process, ours)
    started.until(lambda event: isinstance(event, Ready))
    yield started
    ours.send(Shutdown())
    process.join(PATIENCE)
    assert process.exitcode == 0


def plan(checkpoint: Path, **changes: object) -> Plan:
    request = Txt2Img.model_validate({"prompt": "a cat", **SMALL, **changes})
    return resolve(request, Settings(), Names(reference(checkpoint)), lambda: 1)


def test_it_makes_pictures_and_tells_how_far_it_is(worker: Worker, tiny_checkpoint: Path) -> None:
    worker.connection.send(LivePreviews(True, 0.0))
    finished = worker.run("one", plan(tiny_checkpoint, batch_size=2))
    assert isinstance(finished, Finished)
    assert not finished.interrupted
    assert 0 < finished.network_seconds < finished.sampling_seconds
    pictures = [event for event in worker.events if isinstance(event, Pictured)]
    assert [len(picture.rgb) for picture in pictures] == [64 * 64 * 3] * 2
    kinds = {type(event) for event in worker.events}
    assert {Loading, Progress, Preview} <= kinds
    worker.connection.send(LivePreviews(False))


def test_an_interrupt_arrives_while_a_picture_is_made(worker: Worker, tiny_checkpoint: Path) -> None:
    worker.connection.send(Run("long", plan(tiny_checkpoint, steps=10000)))
    worker.until(lambda event: isinstance(event, Progress) and event.job_id == "long" and event.step >= 2)
    worker.connection.send(Interrupt("long"))
    finished = worker.until(lambda event: isinstance(event, Finished) and event.job_id == "long")
    assert isinstance(finished, Finished)
    assert finished.interrupted
    after = worker.run("after", plan(tiny_checkpoint))
    assert isinstance(after, Finished)
    assert not after.interrupted


def test_a_preview_comes_while_a_picture_is_made_which_does_not_notice(worker: Worker, tiny_checkpoint: Path) -> None:
    def steps() -> list[int]:
        found = (event for event in worker.events if isinstance(event, Progress) and event.job_id == "beside")
        return [event.step for event in found]

    content = io.BytesIO()
    Image.new("RGB", (64, 32), "teal").save(content, "PNG")
    request = Extras(upscaler_1="Lanczos", upscaling_resize=4)
    wish = ExtrasPreview(request, content.getvalue(), (6400, 3200), {"Lanczos": "Lanczos"}, 10**9)
    worker.events.clear()
    worker.connection.send(Run("beside", plan(tiny_checkpoint, steps=10000)))
    worker.until(lambda event: isinstance(event, Progress) and event.job_id == "beside" and event.step >= 2)
    for number in range(20):
        worker.connection.send(Aside("me", number, wish))
    answer = worker.until(lambda event: isinstance(event, AsideDone) and event.number == 19)
    assert isinstance(answer, AsideDone) and answer.result is not None
    assert [(each.width, each.height) for each in answer.result.pictures] == [(25600, 12800)]
    before = steps()[-1]
    worker.until(lambda event: isinstance(event, Progress) and event.job_id == "beside" and event.step > before)
    worker.connection.send(Interrupt("beside"))
    worker.until(lambda event: isinstance(event, Finished) and event.job_id == "beside")
    assert steps() == sorted(steps()), "it went on, step by step"


@pytest.mark.parametrize(
    "more", [{}, {"enable_hr": True}, {"batch_size": 2, "n_iter": 2}, {"sampler_name": "UniPC", "steps": 900}]
)
def test_an_interrupted_picture_is_given_as_it_is_where_that_is_wished(
    worker: Worker, tiny_checkpoint: Path, more: dict[str, object]
) -> None:
    worker.events.clear()
    worker.connection.send(Run("half", plan(tiny_checkpoint, **{"steps": 10000, **more}), half_done=True))
    worker.until(lambda event: isinstance(event, Progress) and event.job_id == "half" and event.step >= 2)
    for _ in range(3):  # those who press the button again and again get it all the same
        worker.connection.send(Interrupt("half"))
    finished = worker.until(lambda event: isinstance(event, Finished) and event.job_id == "half")
    assert isinstance(finished, Finished)
    assert finished.interrupted
    pictures = [event for event in worker.events if isinstance(event, Pictured)]
    assert [picture.position for picture in pictures] == list(range(int(str(more.get("batch_size", 1)))))
    assert all(picture.half_done and len(picture.rgb) == 64 * 64 * 3 for picture in pictures)
    assert all("halfway" in picture.comments[-1] for picture in pictures)


def test_a_job_that_waits_can_be_interrupted_before_it_begins(worker: Worker, tiny_checkpoint: Path) -> None:
    worker.connection.send(Run("first", plan(tiny_checkpoint, steps=20)))
    worker.connection.send(Run("second", plan(tiny_checkpoint)))
    worker.connection.send(Interrupt("second"))
    worker.until(lambda event: isinstance(event, Finished) and event.job_id == "second")
    assert not [event for event in worker.events if isinstance(event, Pictured) and event.job_id == "second"]
    assert [event for event in worker.events if isinstance(event, Pictured) and event.job_id == "first"]


def test_what_goes_wrong_is_told_and_the_engine_goes_on(worker: Worker, tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no model")
    failed = worker.run("broken", plan(broken))
    assert isinstance(failed, Failed)
    assert failed.code == "model_error"
    assert "broken.safetensors" in failed.message
    worker.connection.send(Preload(reference(broken)))
    refused = worker.until(lambda event: isinstance(event, Preloaded))
    assert isinstance(refused, Preloaded)
    assert "broken.safetensors" in refused.failure
    for _ in range(2):  # the second time it is there already, which is said all the same
        worker.connection.send(Preload(reference(tiny_checkpoint)))
        assert worker.until(lambda event: isinstance(event, Preloaded)) == Preloaded(str(tiny_checkpoint))
    assert isinstance(worker.run("well", plan(tiny_checkpoint)), Finished)


def test_it_beats_and_names_what_is_in_memory(worker: Worker, tiny_checkpoint: Path) -> None:
    worker.connection.send(Preload(reference(tiny_checkpoint)))
    worker.until(lambda event: isinstance(event, Heartbeat) and event.resident == (tiny_checkpoint.name,))
    worker.connection.send(Unload())
    heartbeat = worker.until(lambda event: isinstance(event, Heartbeat) and event.resident == ())
    assert isinstance(heartbeat, Heartbeat)
    assert heartbeat.ram_used > 0


def test_an_impossible_device_is_told_at_once() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(theirs, EngineOptions(device="cuda:99")), daemon=True)
    process.start()
    failed = Worker(process, ours).until(lambda event: True)
    assert isinstance(failed, Failed)
    assert "cuda:99" in failed.message
    process.join(PATIENCE)


PARENT = """
    import multiprocessing, sys, time
    from webui.engine.worker import main
    from webui.request.engine_options import EngineOptions

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=main, args=(theirs, EngineOptions(device="cpu", threads=1)))
        process.start()
        theirs.close()
        ours.recv()
        print(process.pid, flush=True)
        time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed differently there")
def test_it_ends_when_the_server_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT), "utf-8")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True)
    assert parent.stdout is not None
    engine = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    engine.wait(PATIENCE)
    assert not engine.is_running()


HANGS_ONCE = """
import pathlib, sys, threading, time

def lay_hands_on(watch):
    marker = pathlib.Path(__file__).with_name("hung")
    if marker.exists():
        return  # the next engine is as it is
    marker.touch()
    watch.STEP_PATIENCE, watch.STEPS_PATIENCE = 1.0, 1
    check, calls = watch.Watch.check, []

    def hanging(self):
        check(self)
        calls.append(1)
        if len(calls) == 4:
            threading.Event().wait()

    watch.Watch.check = hanging

def wait():
    while not hasattr(sys.modules.get("webui.engine.watch"), "Watch"):
        time.sleep(0.001)
    lay_hands_on(sys.modules["webui.engine.watch"])

threading.Thread(target=wait, daemon=True).start()
"""


@pytest.mark.long
def test_one_whose_working_thread_hangs_is_ended_and_the_next_one_makes_the_picture(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other threads go on meanwhile, and give signs of life."""
    (tmp_path / "sitecustomize.py").write_text(HANGS_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
    engine = LocalEngine(OPTIONS)
    engine.start(heard.put)
    try:
        for wanted in (Lost, Finished):
            while not isinstance(heard.get(timeout=PATIENCE), Ready):
                pass
            engine.send(Run("one", plan(tiny_checkpoint, steps=6)))
            while not isinstance(event := heard.get(timeout=PATIENCE), Lost | Finished | Failed):
                pass
            assert isinstance(event, wanted), event
            if isinstance(event, Lost):
                assert "stuck" in event.reason
    finally:
        engine.close()
