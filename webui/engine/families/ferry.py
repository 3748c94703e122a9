"""Weights on their way to a GPU: through page-locked memory, one piece being read while the one before is sent."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

PIECE = 32 * 2**20
"""Bytes sent at a time."""
PIECES = 3
"""Under way at once."""


class Mark(Protocol):
    """A place in the device's queue of work."""

    def record(self) -> None: ...
    def synchronize(self) -> None: ...


class _Nothing:
    """Where nothing is under way behind one's back."""

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


class Ferry:
    """Brings tensors from the host, also mapped ones, to one device."""

    def __init__(self, device: torch.device, piece: int = PIECE) -> None:
        cuda = device.type == "cuda"
        self._device = device
        self._piece = piece
        self._boats = [torch.empty(piece, dtype=torch.uint8, pin_memory=cuda) for _ in range(PIECES)]
        self._sent: list[Mark] = [torch.cuda.Event() if cuda else _Nothing() for _ in range(PIECES)]  # type: ignore[no-untyped-call]
        self._trips = 0

    def bring(self, tensor: Tensor) -> Tensor:
        """A copy on the device, contiguous, of the same dtype. It is there for whatever is asked of the device next."""
        arrived = torch.empty(tensor.shape, dtype=tensor.dtype, device=self._device)
        cargo, quay = (flat.view(torch.uint8) for flat in (tensor.reshape(-1), arrived.view(-1)))
        for start in range(0, cargo.numel(), self._piece):
            boat, sent = self._boats[self._trips % PIECES], self._sent[self._trips % PIECES]
            self._trips += 1
            load = cargo[start : start + self._piece]
            sent.synchronize()  # its last load has left it
            boat[: load.numel()].copy_(load)
            quay[start : start + load.numel()].copy_(boat[: load.numel()], non_blocking=True)
            sent.record()
        return arrived
