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


class PinnedUploader:
    """Brings tensors from the host, also mapped ones, to one device."""

    def __init__(self, device: torch.device, piece: int = PIECE) -> None:
        cuda = device.type == "cuda"
        self._device = device
        self._piece = piece
        self._buffers = [torch.empty(piece, dtype=torch.uint8, pin_memory=cuda) for _ in range(PIECES)]
        self._sent: list[Mark] = [torch.cuda.Event() if cuda else _Nothing() for _ in range(PIECES)]  # type: ignore[no-untyped-call]
        self._sent_chunks = 0

    def upload(self, tensor: Tensor) -> Tensor:
        """A copy on the device, contiguous, of the same dtype. It is there for whatever is asked of the device next."""
        arrived = torch.empty(tensor.shape, dtype=tensor.dtype, device=self._device)
        source, target = (flat.view(torch.uint8) for flat in (tensor.reshape(-1), arrived.view(-1)))
        for start in range(0, source.numel(), self._piece):
            buffer, sent = self._buffers[self._sent_chunks % PIECES], self._sent[self._sent_chunks % PIECES]
            self._sent_chunks += 1
            chunk = source[start : start + self._piece]
            sent.synchronize()  # its last chunk has left it
            buffer[: chunk.numel()].copy_(chunk)
            target[start : start + chunk.numel()].copy_(buffer[: chunk.numel()], non_blocking=True)
            sent.record()
        return arrived
