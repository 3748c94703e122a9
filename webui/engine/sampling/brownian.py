"""Brownian motion over sigma, one path per picture: the noise of a step depends on the step's ends alone.

A path is a dyadic tree of Brownian bridges (Levy's construction; Li et al. 2020, arXiv:2001.01328, section 4), with the
seeds and the rounding of the torchsde package, so that the same entropy gives the same path.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from webui.engine.sampling import philox
from webui.engine.sampling.noise import Shape, generator
from webui.engine.sampling.types import GeneratorKind

_POOL = 24
_DIGITS = 6
"""Times are resolved to 10^-6."""
_KEPT = 64
"""Bridges kept: neighbouring queries share the upper part of the tree."""


@dataclass(frozen=True)
class _Node:
    """An interval of the tree: number `index` of the 2^depth at its depth."""

    start: float
    end: float
    index: int = 0
    depth: int = 0

    @property
    def middle(self) -> float:
        return round(0.5 * (self.end + self.start), _DIGITS)

    def halves(self) -> tuple[_Node, _Node]:
        return (
            _Node(self.start, self.middle, 2 * self.index, self.depth + 1),
            _Node(self.middle, self.end, 2 * self.index + 1, self.depth + 1),
        )

    def splits(self, a: float, b: float) -> Iterator[_Node]:
        """The nodes to split until whole ones make up [a, b]."""
        if (a, b) != (self.start, self.end):
            yield self
            left, right = self.halves()
            if a < self.middle:
                yield from left.splits(a, min(b, self.middle))
            if b > self.middle:
                yield from right.splits(max(a, self.middle), b)


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
        self.root = _Node(round(sigma_min, _DIGITS), round(sigma_max, _DIGITS))
        self.total = self._normals([None])[0] * math.sqrt(sigma_max - sigma_min)
        self.kept: OrderedDict[_Node, Tensor] = OrderedDict()

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
        if a >= b:
            return torch.zeros_like(self.total)
        splits = list(self.root.splits(a, b))
        missing = [node for node in splits if node not in self.kept]
        draws = dict(zip(missing, self._normals(missing), strict=True)) if missing else {}
        increments, result = {self.root: self.total}, torch.zeros_like(self.total)
        for node in splits:
            whole = increments.pop(node)
            left, right = node.halves()
            bridge = self._bridge(node, whole, draws.get(node))
            increments[left], increments[right] = bridge, whole - bridge
        while len(self.kept) > _KEPT:
            self.kept.popitem(last=False)
        for node in sorted(increments, key=lambda node: node.start):
            if a <= node.start and node.end <= b:
                result = result + increments[node]
        return result

    def _bridge(self, node: _Node, whole: Tensor, draw: Tensor | None) -> Tensor:
        """The increment over the node's left half, given that over the whole."""
        if draw is not None:
            before, after, per_length = node.middle - node.start, node.end - node.middle, 1 / (node.end - node.start)
            self.kept[node] = before * whole * per_length + math.sqrt(before * after * per_length) * draw
        self.kept.move_to_end(node)
        return self.kept[node]

    def _normals(self, nodes: Sequence[_Node | None]) -> Tensor:
        """Each node's own numbers, for None those of the whole path: (nodes, paths, *shape)."""
        seeds = [_seed(entropy, node) for node in nodes for entropy in self.entropies]
        if self.kind == "NV":  # all in one go: many small launches would cost more than the numbers
            draws = philox.normals(seeds, self.shape, self.device)
        else:
            draws = torch.stack([generator(self.kind, seed, self.device).normal(self.shape) for seed in seeds])
        return draws.reshape(len(nodes), len(self.entropies), *self.shape)


def _seed(entropy: int, node: _Node | None) -> int:
    key = (node.index, node.depth) if node else ()
    return int(np.random.SeedSequence(entropy, spawn_key=key, pool_size=_POOL).generate_state(1)[0])
