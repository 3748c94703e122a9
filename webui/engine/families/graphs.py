"""A network's calls recorded once as a CUDA graph and replayed: a step then costs one launch instead of thousands.

A graph holds addresses, not values: weights that are patched in place (LoRAs) stay valid, weights that moved do not,
and whatever Python does between the layers is not in it. So it is thrown away when an address changes, and not used
while the network is patched. https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

MOST = 4
"""Recordings kept of a network: each holds the memory of its layers' results."""
AFTER = 2
"""Calls of one shape within a pass before the next is recorded: fewer do not repay it."""
WARM_UPS = 2
"""Calls on a stream of its own before a recording: libraries choose their ways and take their memory then."""

Inputs: TypeAlias = Mapping[str, Tensor | None]
Network: TypeAlias = Callable[[Inputs], Tensor]
_Key: TypeAlias = tuple[tuple[str, tuple[int, ...], torch.dtype] | None, ...]


class Recording(Protocol):
    """A recorded call."""

    output: Tensor
    """Filled anew by each replay."""

    def replay(self) -> None: ...


Record: TypeAlias = Callable[[Callable[[], Tensor]], Recording]


class Graphs:
    """The recordings of one network."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._made: OrderedDict[_Key, tuple[dict[str, Tensor], Recording]] = OrderedDict()
        self._counts: dict[_Key, int] = {}
        self._addresses = 0
        self._on = False

    def __len__(self) -> int:
        return len(self._made)

    @contextmanager
    def steady(self, network: nn.Module) -> Iterator[None]:
        """Within, the network stays as it is, so that its calls may be recorded and replayed."""
        addresses = hash(tuple(parameter.data_ptr() for parameter in network.parameters()))
        if addresses != self._addresses:
            self.forget()
            self._addresses = addresses
        self._counts.clear()
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def forget(self) -> None:
        """Let all recordings go, and their memory."""
        self._made.clear()

    def __call__(self, network: Network, inputs: Inputs) -> Tensor:
        """`network(inputs)`, replayed where it was recorded for these shapes. The answer is the caller's own."""
        if not self._on:
            return network(inputs)
        key = tuple(
            None if tensor is None else (name, tuple(tensor.shape), tensor.dtype) for name, tensor in inputs.items()
        )
        if key not in self._made:
            self._counts[key] = self._counts.get(key, 0) + 1
            if self._counts[key] <= AFTER or not self._recorded(key, network, inputs):
                return network(inputs)
        self._made.move_to_end(key)
        held, recording = self._made[key]
        for name, tensor in inputs.items():
            if tensor is not None:
                held[name].copy_(tensor)
        recording.replay()
        return recording.output.clone()

    def _recorded(self, key: _Key, network: Network, inputs: Inputs) -> bool:
        """Record this call -> whether that went well; if not, this pass goes on without."""
        held = {name: tensor.clone() for name, tensor in inputs.items() if tensor is not None}
        given: dict[str, Tensor | None] = {name: held.get(name) for name in inputs}
        while len(self._made) >= MOST:
            self._made.popitem(last=False)
        try:
            self._made[key] = (held, self._record(lambda: network(given)))
        except RuntimeError as error:  # out of memory, or a layer that cannot be recorded
            log.warning("The network's calls are not recorded: %s", error)
            self.forget()
            self._on = False
            return False
        return True


class _CudaRecording:
    def __init__(self, graph: torch.cuda.CUDAGraph, output: Tensor) -> None:
        self._graph, self.output = graph, output

    def replay(self) -> None:
        self._graph.replay()


def cuda_recorder(device: torch.device) -> Record:
    """Records on this device."""

    def record(call: Callable[[], Tensor]) -> Recording:
        with torch.cuda.device(device):
            aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    call()
            torch.cuda.current_stream(device).wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = call()
        return _CudaRecording(graph, output)

    return record
