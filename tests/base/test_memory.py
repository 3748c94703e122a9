"""Memory that large things have left is given back, and not once for each of them."""

from __future__ import annotations

import threading

from webui.base.memory import Leftovers

PATIENCE = 60.0


def test_what_is_noted_while_memory_is_given_back_is_given_back_once_more() -> None:
    rounds = threading.Semaphore(0)
    giving, go_on = threading.Event(), threading.Event()

    def give_back() -> None:
        giving.set()
        assert go_on.wait(PATIENCE)
        rounds.release()

    leftovers = Leftovers(give_back, calm=0.01)
    for _ in range(50):
        leftovers.note()
    assert giving.wait(PATIENCE)
    for _ in range(50):  # It holds some of it still.
        leftovers.note()
    go_on.set()
    assert rounds.acquire(timeout=PATIENCE)
    assert rounds.acquire(timeout=PATIENCE), "the second fifty are forgotten"


def test_a_burst_is_given_back_once() -> None:
    rounds: list[None] = []
    one = threading.Event()

    def give_back() -> None:
        rounds.append(None)
        one.set()

    leftovers = Leftovers(give_back, calm=1.0)
    for _ in range(1000):
        leftovers.note()
    assert one.wait(PATIENCE)
    assert len(rounds) == 1
