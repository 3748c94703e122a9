"""When calls of a network are recorded and replayed; on the CPU a stand-in records by remembering the call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from webui.engine.families.graphs import AFTER, MOST, Graphs, Inputs, Recording


class Replayed:
    """What a graph does, by calling again: reads the held inputs, writes the held output."""

    def __init__(self, call: Callable[[], Tensor]) -> None:
        self._call = call
        self.output = call()
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self.output.copy_(self._call())


class Case:
    """A network of one layer, counted."""

    def __init__(self, fail: str = "") -> None:
        self.net = nn.Linear(3, 2)
        self.fail = fail
        self.made: list[Replayed] = []
        self.plain = 0
        self.graphs = Graphs(self.record)

    def record(self, call: Callable[[], Tensor]) -> Recording:
        if self.fail:
            raise RuntimeError(self.fail)
        before = self.plain
        self.made.append(Replayed(call))
        self.plain = before
        return self.made[-1]

    def network(self, inputs: Inputs) -> Tensor:
        self.plain += 1
        x, shift = inputs["x"], inputs["shift"]
        assert x is not None
        made: Tensor = self.net(x)
        return made if shift is None else made + shift

    def ask(self, batch: int = 1, shift: float | None = None) -> None:
        """One call, whose answer is the network's."""
        inputs = {"x": torch.randn(batch, 3), "shift": None if shift is None else torch.full((batch, 2), shift)}
        torch.testing.assert_close(self.graphs(self.network, inputs), self.network(inputs))


@torch.inference_mode()
def test_a_call_that_comes_again_is_recorded_and_answers_as_the_network_does() -> None:
    case = Case()
    with case.graphs.steady(case.net):
        for _ in range(AFTER + 4):
            case.ask(2, shift=0.5)
    assert len(case.made) == 1
    assert case.made[0].replays == 4
    with case.graphs.steady(case.net):
        case.ask(2, shift=1.5)
    assert case.made[0].replays == 5, "the next pass goes on with it"


@torch.inference_mode()
def test_an_answer_is_not_overwritten_by_the_next() -> None:
    case = Case()
    with case.graphs.steady(case.net):
        for _ in range(AFTER + 1):
            case.ask()
        first = case.graphs(case.network, {"x": torch.ones(1, 3), "shift": None})
        kept = first.clone()
        case.graphs(case.network, {"x": torch.zeros(1, 3), "shift": None})
    assert torch.equal(first, kept)


@torch.inference_mode()
def test_shapes_and_missing_inputs_have_recordings_of_their_own_and_the_oldest_goes() -> None:
    case = Case()
    with case.graphs.steady(case.net):
        for batch in range(1, MOST + 2):
            for _ in range(AFTER + 1):
                case.ask(batch)
        for _ in range(AFTER + 1):
            case.ask(MOST + 1, shift=1.0)
    assert len(case.made) == MOST + 2
    assert len(case.graphs) == MOST


@torch.inference_mode()
def test_weights_patched_in_place_stay_valid_and_moved_ones_do_not() -> None:
    case = Case()
    for change in (lambda: case.net.weight.mul_(2), lambda: case.net.weight.data.add_(1)):
        with case.graphs.steady(case.net):
            for _ in range(AFTER + 2):
                case.ask()
        change()
    assert len(case.made) == 1
    case.net.weight = nn.Parameter(torch.randn(2, 3), requires_grad=False)
    with case.graphs.steady(case.net):
        case.ask()
        assert len(case.graphs) == 0
        for _ in range(AFTER + 1):
            case.ask()
    assert len(case.made) == 2


@torch.inference_mode()
def test_outside_a_steady_pass_nothing_is_recorded_or_replayed() -> None:
    case = Case()
    for _ in range(AFTER + 3):
        case.ask()
    assert not case.made


@torch.inference_mode()
def test_what_cannot_be_recorded_is_computed(caplog: pytest.LogCaptureFixture) -> None:
    case = Case("CUDA out of memory")
    with case.graphs.steady(case.net):
        for _ in range(AFTER + 5):
            case.ask()
    assert caplog.text.count("out of memory") == 1
