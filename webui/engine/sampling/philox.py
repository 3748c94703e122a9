"""NVIDIA's generator of normal numbers on any device: the same as torch.randn gives on CUDA for pictures of usual size.

Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) and the Box-Muller transform as cuRAND publishes them:
number i of call k comes from the counter (k, 0, i, 0) with the seed as its key, of whose four words two are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_UNIT = 2.3283064365386963e-10  # 2^-32
_TURN = 1.462918119976564e-09  # 2 pi 2^-32, rounded to float32
_BLOCK = 1 << 14
"""Numbers worked on at a time on the CPU, so that they stay in its cache."""


class Philox:
    """A stream of normal numbers from one seed; each call of `normal` continues it."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.device = torch.device(device)
        self.offset = 0

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32, on the stream's device."""
        self.offset += 1
        return normals([self.seed], shape, self.device, offset=self.offset - 1)[0]


def normals(seeds: Sequence[int], shape: Sequence[int], device: torch.device | str, *, offset: int = 0) -> Tensor:
    """For each seed the draw number `offset` of its stream: (len(seeds), *shape), float32."""
    wanted = torch.device(device)
    # Apple's and many of Intel's GPUs have no float64, on which the rounding of the last bit rests.
    device = wanted if wanted.type == "cuda" else torch.device("cpu")
    n = math.prod(shape)
    block = _BLOCK if device.type == "cpu" else max(n, 1)
    keys = torch.tensor([[seed & _WORD, seed >> 32 & _WORD] for seed in seeds], device=device)
    low, high = keys.unsqueeze(-1).unbind(1)
    out = torch.empty(len(seeds), n, device=device)
    words = _philox_on_host if device.type == "cpu" else _philox
    for start in range(0, n, block):
        index = torch.arange(start, min(start + block, n), device=device)
        out[:, start : start + block] = _box_muller(*words(offset, index, low, high))
    return out.reshape(len(seeds), *shape).to(wanted)


def _philox(offset: int, index: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The first two words of each counter (offset, 0, index, 0), as int64: (seeds, n); the key's halves: (seeds, 1)."""
    # What a round adds to the key, for all rounds at once; then the first one by hand, as three words of the counter
    # are the same for all.
    rounds = torch.arange(_ROUNDS, device=index.device).reshape(-1, 1, 1)
    lows, highs = (low + _WEYL[0] * rounds) & _WORD, (high + _WEYL[1] * rounds) & _WORD
    first = offset * _MULTIPLIERS[0]
    product = index * _MULTIPLIERS[1]
    c0, c1 = ((product >> 32) & _WORD) ^ low, product
    c2, c3 = (high ^ (first >> 32)).expand_as(c0), torch.full_like(c0, first & _WORD)
    # Words are cut out of 64 bits only where they are multiplied: until then what stands above them does no harm.
    for i in range(1, _ROUNDS):
        a, b = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = (b >> 32).bitwise_xor_(c1).bitwise_xor_(lows[i]).bitwise_and_(_WORD)
        c1 = b
        if i < _ROUNDS - 1:
            c2 = (a >> 32).bitwise_xor_(c3).bitwise_xor_(highs[i]).bitwise_and_(_WORD)
            c3 = a
    return c0, c1.bitwise_and_(_WORD)


def _philox_on_host(offset: int, index: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The same in NumPy, whose small sums on a CPU cost a third of torch's."""
    mask, half = np.uint64(_WORD), np.uint64(32)
    by = [np.uint64(factor) for factor in _MULTIPLIERS]
    rounds = np.arange(_ROUNDS, dtype=np.uint64).reshape(-1, 1, 1)
    keys = [
        (part.numpy().astype(np.uint64) + np.uint64(weyl) * rounds) & mask
        for part, weyl in zip((low, high), _WEYL, strict=True)
    ]
    first = offset * _MULTIPLIERS[0]
    product = index.numpy().astype(np.uint64) * by[1]
    c0 = (product >> half) ^ keys[0][0]
    c2 = np.broadcast_to(keys[1][0] ^ np.uint64(first >> 32), c0.shape).copy()
    c1, c3 = np.broadcast_to(product, c0.shape).copy(), np.full_like(c0, first & _WORD)
    a, b = np.empty_like(c0), np.empty_like(c0)
    for i in range(1, _ROUNDS):
        np.multiply(c0, by[0], out=a)
        np.multiply(c2, by[1], out=b)
        np.right_shift(b, half, out=c0)
        np.bitwise_xor(c0, c1, out=c0)
        np.bitwise_xor(c0, keys[0][i], out=c0)
        np.bitwise_and(c0, mask, out=c0)
        if i < _ROUNDS - 1:
            np.right_shift(a, half, out=c2)
            np.bitwise_xor(c2, c3, out=c2)
            np.bitwise_xor(c2, keys[1][i], out=c2)
            np.bitwise_and(c2, mask, out=c2)
        c1, b, c3, a = b, c1, a, c3
    np.bitwise_and(c1, mask, out=c1)
    return torch.from_numpy(c0.view(np.int64)), torch.from_numpy(c1.view(np.int64))


def _box_muller(first: Tensor, second: Tensor) -> Tensor:
    u = first.double().mul_(_UNIT).add_(_UNIT / 2)
    v = second.double().mul_(_TURN).add_(_TURN / 2)
    return u.log_().mul_(-2.0).sqrt_().mul_(v.sin_()).float()
