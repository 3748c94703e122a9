"""An engine without pictures, for tests of the queue's logic alone: it does what the test says, when it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import until
from webui.request.messages import (
    Answered,
    Aside,
    AsideDone,
    AsidePicture,
    AsideResult,
    Command,
    DeviceInfo,
    ExtraPicture,
    Failed,
    Finished,
    Interrupt,
    Pictured,
    Preload,
    Preloaded,
    Preview,
    Progress,
    Ready,
    Run,
    Saved,
    Yielded,
)
from webui.server.jobs.engine_client import EngineState, Heard, Lost


class StandIn:
    """Implements `Engine`. `paint` finishes pictures of the job that it was given last, one colour a seed."""

    def __init__(self, *, by_itself: bool = True, devices: int = 1) -> None:
        self.sent: list[Command] = []
        self.by_itself, self.devices = by_itself, devices
        self.extras: tuple[ExtraPicture, ...] = ()
        """What comes with each picture."""
        self.refused: set[str] = set()
        """Names of checkpoints that it cannot load."""
        self._hear: Callable[[Heard], None] = lambda heard: None
        self._run: Run | None = None
        self._left: list[tuple[int, int]] = []

    # --- Engine -----------------------------------------------------------------------------------------------------

    def start(self, hear: Callable[[Heard], None]) -> None:
        self._hear = hear
        self.come_up()

    def send(self, command: Command) -> None:
        self.sent.append(command)
        match command:
            case Run():
                self._left = [(p.position, p.seed) for batch in command.plan.batches for p in batch]
                self._run = command
                if self.by_itself:
                    self.paint(len(self._left))
            case Aside() if self.by_itself and command.plan is not None:
                self.look(command)
            case Preload():
                path = command.checkpoint.path
                broken = Path(path).stem in self.refused
                self._hear(Preloaded(path, failure=f"{Path(path).name} is no checkpoint." if broken else ""))
            case Interrupt() if self._run is not None and self._run.job_id == command.job_id:
                self.finish(interrupted=True)

    def close(self) -> None:
        pass

    # --- what tests make it do --------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[str]:
        """Ids of the jobs that it was given, in order."""
        return [command.job_id for command in self.sent if isinstance(command, Run)]

    @property
    def kind(self) -> str:
        """Of the work that it has; "" is none."""
        run = self._run
        return run.plan.kind if run is not None else ""

    def come_up(self) -> None:
        self._hear(EngineState("ready", "stands in"))
        self._hear(Ready(DeviceInfo("cpu", "stand-in", "float32", "none", "0", devices=self.devices)))

    def die(self, *, out_of_memory: bool = False) -> None:
        self._run = None
        self._hear(Lost("The engine was ended by SIGKILL.", out_of_memory))
        self._hear(EngineState("restarting", "A new one starts."))

    def break_down(self) -> None:
        """It does not start any more."""
        self._run = None
        self._hear(EngineState("failed", "The engine does not start: it lacks torch."))

    def _given(self) -> Run:
        """What it was given to do; a job is in work a moment before its engine has it."""
        return until(lambda: self._run, "work")

    @property
    def left(self) -> int:
        """How many pictures of its work are still to be painted."""
        self._given()
        return len(self._left)

    def step(self, fraction: float) -> None:
        self._hear(Progress(self._given().job_id, "sampling", 1, 10, 0, 1, fraction))

    def preview(self, jpeg: bytes) -> None:
        self._hear(Preview(self._given().job_id, 1, jpeg))

    def paint(self, count: int = 1) -> None:
        run = self._given()
        for _ in range(count):
            position, seed = self._left.pop(0)
            rgb = bytes((seed % 256, position % 256, 0)) * 64
            self._hear(Pictured(run.job_id, position, 8, 8, rgb, extras=self.extras))
        if not self._left:
            self.finish()

    @property
    def asides(self) -> list[Aside]:
        """What it was asked beside jobs, in order."""
        return [command for command in self.sent if isinstance(command, Aside)]

    def look(self, asked: Aside, *, refuses: str = "") -> None:
        """It answers what it was asked beside its job."""
        if refuses:
            self._hear(AsideDone(asked.key, asked.number, code="bad_request", message=refuses))
            return
        pictures = (AsidePicture(80, 40, b"RIFF....WEBP"),)
        self._hear(AsideDone(asked.key, asked.number, AsideResult(pictures, (f"Look {asked.number}.",))))

    def give_half_done(self) -> None:
        """It is stopped, and gives the picture in work as it is."""
        run = self._given()
        self._hear(Pictured(run.job_id, self._left.pop(0)[0], 8, 8, bytes(192), half_done=True))
        self.finish(interrupted=True)

    def answer(self, text: str) -> None:
        """It is through with a job of which no pictures come."""
        self._hear(Answered(self._given().job_id, text))
        self.finish()

    def make_way(self) -> None:
        """It leaves a long job at a resume point."""
        run, self._run = self._given(), None
        self._hear(Saved(run.job_id, "a point"))
        self._hear(Yielded(run.job_id))

    def finish(self, *, interrupted: bool = False) -> None:
        run, self._run = self._given(), None
        self._hear(Finished(run.job_id, interrupted))

    def fail(self, message: str, code: str = "out_of_memory") -> None:
        run, self._run = self._given(), None
        self._hear(Failed(run.job_id, code, message, "Make it smaller."))
