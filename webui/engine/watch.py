"""What a running job hears (stop, skip) and tells (progress, previews, time spent in the networks)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from webui.base.errors import Interrupted
from webui.request.messages import Event, LivePreviews, Phase, Preview, PreviewFormat, Progress

PROGRESS_PERIOD = 0.1
"""Seconds between two words of progress."""
MEASURED: frozenset[Phase] = frozenset({"sampling", "hires", "upscaling"})
"""Phases of many alike steps, from which the length of the next one can be told."""
PATIENCE = 3600.0
"""Seconds for a single thing of unknown length: a large file from a slow disk, the first call of a large network."""
UNASKED = 10.0
"""Seconds without a question after which it was the process, or the machine, that did not run; a second is usual."""
STEP_PATIENCE, STEPS_PATIENCE = 300.0, 20
"""A step may take so many seconds, and so many times as long as the longest of its phase."""


HALFWAY = "Stopped halfway: this picture is unfinished."


class Skipped(Exception):
    """The batch in work is given up; the job goes on with the next one."""


class Cancel:
    """A job's stop button. Pressed by the reader thread, looked at by the job before each call of a network.

    half_done: whether the pictures in work are given as they are when it is pressed.
    """

    def __init__(self, *, half_done: bool = False) -> None:
        self.half_done = half_done
        self._giving = False
        self._stop = threading.Event()
        self._stop_after = threading.Event()
        self._skip = threading.Event()

    def interrupt(self, *, after_current: bool = False) -> None:
        """Stop at once, or when the batch in work is finished. A second wish for "after" still waits."""
        (self._stop_after if after_current else self._stop).set()

    def skip(self) -> None:
        self._skip.set()

    def give_half_done(self) -> None:
        """The pictures in work have been stopped, and are finished as they are: that is not stopped once more."""
        self._giving = True

    @property
    def gives_half_done(self) -> bool:
        """Whether it has been pressed, and what is there is given."""
        return self._giving

    def taken(self, wish: Interrupted | Skipped) -> bool:
        """Whether what is there is given, now that the work was stopped by this wish."""
        if self.half_done and isinstance(wish, Interrupted):
            self.give_half_done()
        return self.half_done

    @contextmanager
    def whole_or_not_at_all(self) -> Iterator[None]:
        """What is stopped in the block is not given half done."""
        before, self.half_done = self.half_done, False
        try:
            yield
        finally:
            self.half_done = before

    def check(self) -> None:
        """Raises Interrupted or Skipped when that is wished."""
        if self._stop.is_set() and not self._giving:
            raise Interrupted("Interrupted.")
        if self._skip.is_set():
            self._skip.clear()
            raise Skipped

    @property
    def ends_now(self) -> bool:
        """Whether no further batch shall begin."""
        return self._stop.is_set() or self._stop_after.is_set()


@dataclass
class Viewing:
    """Whether somebody looks at the previews, and how; set by the reader thread, read by the job."""

    wish: LivePreviews = field(default_factory=LivePreviews)


class Watchdog:
    """Whether the working thread goes on. It ticks there; `stuck` is asked by the thread that gives signs of life."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: float | None = None
        self._phase: Phase = "waiting"
        self._longest = 0.0
        self._asked = now()
        self._slept: tuple[float, float] = (0.0, 0.0)
        """A tick, and for how long since then nothing ran."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """Something is worked on."""
        self.enter("waiting")
        try:
            yield
        finally:
            self._since = None

    def enter(self, phase: Phase) -> None:
        """The work comes to another phase: how long its steps take is not known yet."""
        self._phase, self._longest, self._since = phase, 0.0, self._now()

    def tick(self) -> None:
        """One call of a network, one tile, one step is done."""
        now = self._now()
        if self._since is not None:
            self._longest = max(self._longest, now - self._since)
        self._since = now

    @property
    def stuck(self) -> float:
        """Seconds since the last tick in which we ran, where that is more than any step may take; else 0."""
        since, now = self._since, self._now()
        unasked, self._asked = now - self._asked, now
        if since is None:
            return 0.0
        if self._slept[0] != since:
            self._slept = (since, 0.0)
        if unasked > UNASKED:
            self._slept = (since, self._slept[1] + min(unasked, now - since))
        known = self._phase in MEASURED and self._longest > 0.0
        limit = max(STEP_PATIENCE, STEPS_PATIENCE * self._longest) if known else PATIENCE
        waited = now - since - self._slept[1]
        return waited if waited > limit else 0.0


class Stopwatch:
    """Seconds spent inside the networks. On a GPU measured by its own events, so that nothing waits."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds = 0.0
        self._pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._device.type == "cuda":
            begin, end = _timed_event(), _timed_event()
            begin.record()
            yield
            end.record()
            self._pairs.append((begin, end))
            return
        start = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - start

    @property
    def seconds(self) -> float:
        if self._pairs:
            self._pairs[-1][1].synchronize()
            self._seconds += sum(begin.elapsed_time(end) for begin, end in self._pairs) / 1000
            self._pairs.clear()
        return self._seconds


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Part:
    """One of several things that are alike and done one after the other."""

    name: str
    number: int
    count: int
    since: float
    """When the first of them was begun."""

    @property
    def words(self) -> str:
        return f"{self.name} {self.number + 1} of {self.count}"

    def seconds_left(self) -> float | None:
        """By those that are done."""
        if not self.number:
            return None
        spent = time.monotonic() - self.since
        return max(spent / self.number * self.count - spent, 0.0)


@dataclass
class Watch:
    """The eyes and ears of one job. `emit` must not block."""

    job_id: str
    emit: Callable[[Event], None]
    cancel: Cancel
    viewing: Viewing
    stopwatch: Stopwatch
    batches: int = 1
    batch: int = 0
    comments: list[str] = field(default_factory=list)
    """Remarks for the person, of the batch in work."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    progress_period: float = PROGRESS_PERIOD
    _phase: Phase = "waiting"
    _begin: float = 0.0
    _share: float = 1.0
    _part: tuple[float, float] = (0.0, 1.0)
    """Where the phases lie in the batch's work: from, and how much."""
    _reached: float = 0.0
    _told: float = 0.0
    _seen: float = 0.0
    _number: int = 0
    _by_prompt: tuple[torch.Tensor, torch.Tensor] | None = None
    _one_of: _Part | None = None

    def begin_batch(self, number: int) -> None:
        self.batch = number
        self.comments.clear()
        self.enter("encoding", 0.0, 0.0)

    def enter(self, phase: Phase, begin: float, end: float) -> None:
        """The batch comes to another phase, which reaches over this part (0 to 1) of its work."""
        start, length = self._part
        self._phase, self._begin, self._share = phase, start + begin * length, (end - begin) * length
        self.watchdog.enter(phase)
        self._tell(0, 1)

    @contextmanager
    def within(self) -> Iterator[None]:
        """What is worked on in the block, which has phases of its own, makes up half of what is left of the batch; one
        of several things (`parts`), its share of what is left."""
        phase, outer, one = self._phase, self._part, self._one_of
        shares = one.count - one.number + 1 if one is not None else 2
        self._part = (self._reached, (sum(outer) - self._reached) / shares)
        try:
            yield
        finally:
            self._part, self._phase = outer, phase
            self._begin, self._share = self._reached, sum(outer) - self._reached
            self.watchdog.enter(phase)

    def parts(self, names: Sequence[str]) -> Iterator[int]:
        """The places of things that are alike and are worked on one after the other, such as faces: until the next one
        is asked for, the progress says which of how many it is."""
        since = time.monotonic()
        try:
            for number, name in enumerate(names):
                self._one_of = _Part(name, number, len(names), since)
                yield number
        finally:
            self._one_of = None

    def check(self) -> None:
        """Raises Interrupted or Skipped when that is wished."""
        self.watchdog.tick()
        self.cancel.check()

    def remark(self, text: str) -> None:
        """Something for the person to know; said once a batch."""
        if text not in self.comments:
            self.comments.append(text)

    def step(self, step: int, steps: int) -> None:
        """`step` of `steps` of this phase are done."""
        if time.monotonic() - self._told >= self.progress_period or step == steps:
            self._tell(step, steps)

    def wants_preview(self, step: int = 0, steps: int = 0) -> bool:
        """Somebody looks, wants to see this of so many steps, and the last preview is old enough."""
        wish = self.viewing.wish
        wanted = step >= steps if wish.every < 1 else step % wish.every == 0
        return wish.watched and wanted and time.monotonic() - self._seen >= wish.period

    @property
    def shows_prompts(self) -> bool:
        """Whether previews show what one of the prompts alone leads to."""
        return self.viewing.wish.watched and self.viewing.wish.subject != "Combined"

    def note_prompts(self, positive: torch.Tensor, negative: torch.Tensor | None) -> None:
        """What the prompts alone lead to at this call: x0 by each, (b, c, h, w)."""
        self._by_prompt = positive, positive if negative is None else negative

    def subject(self, x0: torch.Tensor) -> torch.Tensor:
        """What is to be seen at this call, where the guided prediction is `x0`."""
        if self._by_prompt is None or self._by_prompt[0].shape != x0.shape:
            return x0
        (positive, negative), self._by_prompt = self._by_prompt, None
        return {"Prompt": positive, "Negative prompt": negative}.get(self.viewing.wish.subject, x0)

    def show(self, content: bytes, kind: PreviewFormat) -> None:
        self._seen = time.monotonic()
        self._number += 1
        self.emit(Preview(self.job_id, self._number, content, kind))

    def _tell(self, step: int, steps: int) -> None:
        self._told = time.monotonic()
        self._reached = self._begin + self._share * min(step / max(steps, 1), 1.0)
        fraction = (self.batch + self._reached) / max(self.batches, 1)
        one = self._one_of
        part, left = (one.words, one.seconds_left()) if one is not None else ("", None)
        at = min(step, steps)
        self.emit(Progress(self.job_id, self._phase, at, steps, self.batch, self.batches, fraction, part, left))
