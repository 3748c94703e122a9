"""What is drawn without end, by workers beside the training where there are processors for it.

A worker is a process of torch's `DataLoader`; what it draws is sent as arrays, without shared memory, of which
containers have little.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

T = TypeVar("T")
Drawing: TypeAlias = Callable[[np.random.Generator], Iterator[T]]
AHEAD = 4
"""What each worker has ready at most."""


def streamed(drawing: Drawing[T], seed: tuple[int, ...], workers: int) -> Iterator[T]:
    """What `drawing` yields, drawn by so many workers, each with a seed of its own; 0: here, when it is asked for."""
    if not workers:
        return drawing(np.random.default_rng(seed))
    loader: DataLoader[T] = DataLoader(
        _Stream(drawing, seed),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=AHEAD,
        multiprocessing_context="fork",
    )
    return iter(loader)


def workers_for(device: torch.device) -> int:
    """All processors but one beside a GPU; none beside a CPU, which has enough to do. Linux only: others would send
    the training pictures to each worker."""
    if device.type == "cpu" or sys.platform != "linux":
        return 0
    return max(len(os.sched_getaffinity(0)) - 1, 0)


class _Stream(IterableDataset[T], Generic[T]):
    def __init__(self, drawing: Drawing[T], seed: tuple[int, ...]) -> None:
        self.drawing, self.seed = drawing, seed

    def __iter__(self) -> Iterator[T]:
        worker = get_worker_info()
        return self.drawing(np.random.default_rng([*self.seed, worker.id if worker is not None else 0]))


def _as_it_is(drawn: T) -> T:
    return drawn
