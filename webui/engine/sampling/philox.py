"""NVIDIA's generator of normal numbers on any device: the same as torch.randn gives on CUDA for pictures of usual size.

Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) and the Box-Muller transform as cuRAND publishes them:
thread i of call k holds the counter (k, 0, i, 0) and the seed as its key, and uses the first of its four numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_UNIT = 2.3283064365386963e-10  # 2^-32
_TURN = 1.4629180792671596e-09  # 2 pi 2^-32 in float32


class Philox:
    """A stream of normal numbers from one seed; each call of `normal` continues it."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.device = torch.device(device)
        self.offset = 0

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32, on the stream's device."""
        # Metal has no float64, which the rounding of the last bit needs.
        device = torch.device("cpu") if self.device.type == "mps" else self.device
        index = torch.arange(math.prod(shape), dtype=torch.int64, device=device)
        first, second = _philox(self.offset, index, self.seed)
        self.offset += 1
        return _box_muller(first, second).reshape(tuple(shape)).to(self.device)


def _philox(offset: int, index: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The first two of the four 32-bit numbers of each counter (offset, 0, index, 0), as int64."""
    key = [seed & _MASK, seed >> 32]
    c0, c1, c2, c3 = torch.full_like(index, offset), torch.zeros_like(index), index, torch.zeros_like(index)
    for _ in range(_ROUNDS):
        low, high = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]  # 64 bits; a sign is no harm, as bits are cut out below
        c0, c1, c2, c3 = (
            ((high >> 32) & _MASK).bitwise_xor_(c1).bitwise_xor_(key[0]),
            high.bitwise_and_(_MASK),
            ((low >> 32) & _MASK).bitwise_xor_(c3).bitwise_xor_(key[1]),
            low.bitwise_and_(_MASK),
        )
        key = [(k + w) & _MASK for k, w in zip(key, _WEYL, strict=True)]
    return c0, c1


def _box_muller(first: Tensor, second: Tensor) -> Tensor:
    u = first.double() * _UNIT + _UNIT / 2
    v = second.double() * _TURN + _TURN / 2
    return (torch.sqrt(-2.0 * torch.log(u)) * torch.sin(v)).float()
