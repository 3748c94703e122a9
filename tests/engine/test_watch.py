"""Whether the work goes on: laws of the watchdog, with a clock that is turned by hand."""

from __future__ import annotations

import pytest

from webui.engine.watch import PATIENCE, STEP_PATIENCE, STEPS_PATIENCE, Watchdog
from webui.request.messages import Phase


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def pass_by(watchdog: Watchdog, clock: Clock, seconds: float) -> float:
    """So many seconds in which nothing happens, but that it is asked every second -> what it says at the end."""
    end, said = clock.now + seconds, 0.0
    while clock.now < end:
        clock.now = min(clock.now + 1, end)
        said = watchdog.stuck
    return said


def waited(watchdog: Watchdog, clock: Clock, seconds: float) -> float:
    """What the watchdog would say after so many seconds."""
    before = clock.now
    said = pass_by(watchdog, clock, seconds)
    clock.now = before
    return said


def test_who_has_nothing_to_do_is_never_stuck() -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    assert waited(watchdog, clock, 1e5) == 0
    with watchdog.working():
        watchdog.tick()
    assert waited(watchdog, clock, 1e5) == 0


@pytest.mark.parametrize("phase", ["waiting", "loading", "encoding", "sampling", "hires", "decoding"])
def test_a_thing_of_unknown_length_has_an_hour(phase: Phase) -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    with watchdog.working():
        watchdog.enter(phase)
        assert waited(watchdog, clock, PATIENCE) == 0
        assert waited(watchdog, clock, PATIENCE + 1) == PATIENCE + 1


@pytest.mark.parametrize("step", [0.01, 10.0, 100.0])
def test_a_step_may_take_many_times_as_long_as_the_longest_before(step: float) -> None:
    clock = Clock()
    watchdog = Watchdog(clock)
    with watchdog.working():
        watchdog.enter("sampling")
        for length in (step / 2, step, step / 3):
            pass_by(watchdog, clock, length)
            watchdog.tick()
        limit = max(STEP_PATIENCE, STEPS_PATIENCE * step)
        assert waited(watchdog, clock, limit - 1) == 0
        assert waited(watchdog, clock, limit + 1) == pytest.approx(limit + 1)
        watchdog.enter("decoding")
        assert waited(watchdog, clock, limit + 1) == 0 or limit + 1 > PATIENCE


def test_sleep_is_no_waiting() -> None:
    """A laptop is closed for a day in the middle of a step; what went before and comes after counts."""
    clock = Clock()
    watchdog = Watchdog(clock)
    with watchdog.working():
        watchdog.enter("sampling")
        pass_by(watchdog, clock, 1)
        watchdog.tick()
        assert pass_by(watchdog, clock, 100) == 0
        for _ in range(3):
            clock.now += 24 * 3600
            assert watchdog.stuck == 0
        assert pass_by(watchdog, clock, 150) == 0
        assert pass_by(watchdog, clock, STEP_PATIENCE) > STEP_PATIENCE, "stuck is stuck"
        watchdog.tick()
        assert pass_by(watchdog, clock, STEP_PATIENCE) == 0
