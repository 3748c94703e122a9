"""A long job's work goes on where the last engine stopped, whatever ended that one."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kinds import COUNTING, registered
from tests.kinds.counting.request import CountingPlan
from tests.kinds.counting.work import counted
from webui.engine.command_handler import CommandHandler
from webui.request.engine_options import EngineOptions
from webui.request.messages import Answered, Event, Finished, Interrupt, Others, Run, Saved, Yielded

UPTO = 4


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    with registered(COUNTING):
        yield


def run(state: Path) -> Run:
    return Run("job", CountingPlan(upto=UPTO, pause=0.0), state=str(state))


def events_of(handler: CommandHandler, command: Run) -> list[Event]:
    """What the engine says while it carries this out; `handler.emit` is a list's `append` from here on."""
    heard: list[Event] = []
    handler.emit = heard.append
    handler.hear(command)
    handler.serve(command)
    return heard


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_an_engine_killed_at_every_word_of_its_work_costs_nothing(tmp_path: Path) -> None:
    handler = CommandHandler(EngineOptions(device="cpu"), lambda _: None)
    words = len(events_of(handler, run(tmp_path / "undisturbed")))
    assert words > UPTO
    # Killed at its first word, before there is anything to go on from, it would begin for ever.
    for moment in range(2, words):
        command = run(tmp_path / str(moment))
        killed = sum(not life(handler, command, moment) for _ in range(UPTO))
        assert killed, "it came to that word"
        heard = life(handler, command, 0)
        assert Answered("job", counted(UPTO)) in heard


def life(handler: CommandHandler, command: Run, moment: int) -> list[Event]:
    """An engine that is killed when it has said so many words -> all of them, when it came to its end before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said: list[Event] = []

        def say(event: Event) -> None:
            said.append(event)
            if isinstance(event, Finished):
                os.write(writing, pickle.dumps(said))
            if len(said) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        handler.emit = say
        handler.hear(command)
        handler.serve(command)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(content) if content else []


def test_it_makes_way_for_others_at_its_next_resume_point_alone(tmp_path: Path) -> None:
    handler = CommandHandler(EngineOptions(device="cpu"), lambda _: None)
    command = run(tmp_path)
    for _ in range(UPTO):
        heard: list[Event] = []

        def say(event: Event, heard: list[Event] = heard) -> None:
            heard.append(event)
            handler.hear(Others(True))

        handler.emit = say
        handler.hear(command)
        handler.serve(command)
        assert len([event for event in heard if isinstance(event, Saved)]) == 1
        assert heard[-1] == Yielded("job") and not any(isinstance(event, Finished) for event in heard)
    heard = events_of(handler, command)
    assert isinstance(heard[-1], Finished) and Answered("job", counted(UPTO)) in heard


def test_nobody_waits_any_more_when_a_job_is_begun(tmp_path: Path) -> None:
    handler = CommandHandler(EngineOptions(device="cpu"), lambda _: None)
    handler.hear(Others(True))
    assert isinstance(events_of(handler, run(tmp_path))[-1], Finished)


def test_who_is_stopped_does_not_make_way_as_well(tmp_path: Path) -> None:
    handler = CommandHandler(EngineOptions(device="cpu"), lambda _: None)
    heard: list[Event] = []

    def say(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Saved):
            handler.hear(Others(True))
            handler.hear(Interrupt("job"))

    handler.emit = say
    handler.hear(run(tmp_path))
    handler.serve(run(tmp_path))
    assert isinstance(heard[-1], Finished) and heard[-1].interrupted
