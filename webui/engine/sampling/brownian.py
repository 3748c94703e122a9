"""Brownian motion over sigma, one path per picture: the noise of a step depends on the step's ends alone.

A path is a dyadic tree of Brownian bridges (Levy's construction; Li et al. 2020, arXiv:2001.01328, section 4), with the
seeds and the rounding of the torchsde package, so that the same entropy gives the same path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from webui.engine.sampling import philox
from webui.engine.sampling.noise import Shape, generator
from webui.engine.sampling.types import GeneratorKind

_POOL = 24
_WORD = 0xFFFFFFFF
_DIGITS = 6
"""Times are resolved to 10^-6."""
_KEPT = 96
"""Bridges kept: neighbouring questions share an end and the upper part of the tree."""


class _Interval:
    """A node of the tree: number `index` of the 2^depth at its depth. Halves are there once it has been split."""

    __slots__ = ("asked", "depth", "end", "halves", "increment", "index", "middle", "start")

    def __init__(self, start: float, end: float, index: int = 0, depth: int = 0) -> None:
        self.start, self.end, self.index, self.depth = start, end, index, depth
        self.middle = round(0.5 * (end + start), _DIGITS)
        self.halves: tuple[_Interval, _Interval] | None = None
        self.increment: Tensor = torch.empty(0)
        """Of every path over the interval: (paths, *shape)."""
        self.asked = 0
        """The number of the question that went through it last."""

    def split(self) -> tuple[_Interval, _Interval]:
        self.halves = (
            _Interval(self.start, self.middle, 2 * self.index, self.depth + 1),
            _Interval(self.middle, self.end, 2 * self.index + 1, self.depth + 1),
        )
        return self.halves

    def share(self, draw: Tensor) -> None:
        """Give the halves their increments: a bridge at the middle, and what is left. `draw` is used up."""
        left, right = self.halves or self.split()
        before, after, per_length = self.middle - self.start, self.end - self.middle, 1 / (self.end - self.start)
        whole = self.increment
        bridge = whole.mul(before).mul_(per_length).add_(draw.mul_(math.sqrt(before * after * per_length)))
        left.increment = bridge
        right.increment = whole - bridge

    def prune(self, asked: int) -> int:
        """Forget the halves where the question `asked` did not go through -> how many are split still."""
        if self.halves is None or self.asked != asked:
            self.halves = None
            return 0
        left, right = self.halves
        return 1 + left.prune(asked) + right.prune(asked)


class BrownianNoise:
    """The noise of the SDE samplers: (b, c, h, w), unit variance, from a path per picture over [sigma_min, sigma_max].

    together: one path for the whole batch, its entropy drawn after the last picture's seed, as A1111 has it with
    "Do not make DPM++ SDE deterministic across different batch sizes".
    """

    def __init__(
        self,
        kind: GeneratorKind,
        seeds: Sequence[int],
        shape: Shape,
        sigma_min: float,
        sigma_max: float,
        *,
        device: torch.device | str = "cpu",
        together: bool = False,
    ) -> None:
        self.kind, self.device = kind, device
        self.entropies: tuple[int, ...] = tuple(seeds)
        self.shape: tuple[int, ...] = shape
        if together:
            stream = torch.Generator("cpu").manual_seed(seeds[-1])
            self.entropies = (int(torch.randint(0, 2**63 - 1, [], generator=stream)),)
            self.shape = (len(seeds), *shape)
        self.seeds = [_Seeds(entropy) for entropy in self.entropies]
        self.root = _Interval(round(sigma_min, _DIGITS), round(sigma_max, _DIGITS))
        self.root.increment = self._normals([None])[0] * math.sqrt(sigma_max - sigma_min)
        self.asked = self.kept = 0

    def __call__(self, sigma: Tensor | float, to: Tensor | float) -> Tensor:
        a, b = float(sigma), float(to)
        low, high, sign = (a, b, 1.0) if a < b else (b, a, -1.0)
        increments = self._increment(
            *(round(min(max(t, self.root.start), self.root.end), _DIGITS) for t in (low, high))
        )
        increment = increments.flatten(0, 1) if len(self.shape) == 4 else increments
        return increment * sign / math.sqrt(high - low)

    def _increment(self, a: float, b: float) -> Tensor:
        """Of every path from a to b: (paths, *shape)."""
        result = torch.zeros_like(self.root.increment)
        if a >= b:
            return result
        self.asked += 1
        parts: list[_Interval] = []
        fresh: list[_Interval] = []
        self._walk(self.root, a, b, parts, fresh)
        if fresh:
            for node, draw in zip(fresh, self._normals(fresh), strict=True):
                node.share(draw)
        for node in parts:
            result = result + node.increment
        self.kept += len(fresh)
        if self.kept > _KEPT:
            self.kept = self.root.prune(self.asked)
        return result

    def _walk(self, node: _Interval, a: float, b: float, parts: list[_Interval], fresh: list[_Interval]) -> None:
        """Find the intervals that make up [a, b], in their order, and those split on the way, parents first."""
        if a <= node.start and node.end <= b:
            parts.append(node)
            return
        node.asked = self.asked
        if node.halves is None:
            fresh.append(node)
        left, right = node.halves or node.split()
        if a < node.middle:
            self._walk(left, a, b, parts, fresh)
        if b > node.middle:
            self._walk(right, a, b, parts, fresh)

    def _normals(self, nodes: Sequence[_Interval | None]) -> Tensor:
        """Each node's own numbers, for None those of the whole path: (nodes, paths, *shape)."""
        seeds = [path.of(node) for node in nodes for path in self.seeds]
        if self.kind == "NV":  # all in one go: many small launches would cost more than the numbers
            draws = philox.normals(seeds, self.shape, self.device)
        else:
            draws = torch.stack([generator(self.kind, seed, self.device).normal(self.shape) for seed in seeds])
        return draws.reshape(len(nodes), len(self.entropies), *self.shape)


class _Seeds:
    """The seeds of a path's intervals: NumPy's `SeedSequence(entropy, spawn_key=(index, depth), pool_size=24)`.

    Only the first word of its pool reaches the result, and a key changes that word last of all: so the entropy is
    stirred once for the whole path (O'Neill, "Developing a seed_seq alternative", 2015; constants as in NumPy).
    """

    _A, _B, _LEFT, _RIGHT = 0x931E8875, 0x58F38DED, 0xCA01F9DD, 0x4973F715
    _START_A, _START_B = 0x43B0D7E5, 0x8B51F9DD

    def __init__(self, entropy: int) -> None:
        self.first = int(np.random.SeedSequence(entropy, pool_size=_POOL).pool[0])
        stirred = _POOL * _POOL  # how often the multiplier has been used by then
        self.keys = [self._START_A * pow(self._A, stirred + word * _POOL, 1 << 32) & _WORD for word in range(2)]

    def of(self, node: _Interval | None) -> int:
        """For None that of the whole path."""
        word = self.first
        if node is not None:
            for value, key in zip((node.index, node.depth), self.keys, strict=True):
                mixed = _folded((value ^ key) * (key * self._A & _WORD))
                word = _folded(self._LEFT * word - self._RIGHT * mixed)
        return _folded((word ^ self._START_B) * (self._START_B * self._B & _WORD))


def _folded(word: int) -> int:
    word &= _WORD
    return word ^ word >> 16
