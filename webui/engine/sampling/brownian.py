"""Brownian motion over sigma, one path per picture: the noise of a step depends on its ends alone, not on the steps before.

The path is the dyadic Brownian tree of Li et al. 2020, arXiv:2001.01328, section 4 (Levy's construction), with the seeds
and the rounding of the torchsde package, so that the same entropy gives the same path.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from webui.engine.sampling.noise import generator
from webui.engine.sampling.types import GeneratorKind

_POOL = 24
_DIGITS = 6
"""Times are resolved to 10^-6."""
_KEPT = 64
"""Increments kept per path: neighbouring queries share the upper part of the tree."""


@dataclass(frozen=True)
class _Node:
    """An interval of the tree: the index-th of 2^depth."""

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


class BrownianPath:
    """Brownian motion on [start, end]; `path(a, b)` is its increment from a to b > a, of the given shape, float32."""

    def __init__(
        self,
        kind: GeneratorKind,
        entropy: int,
        shape: Sequence[int],
        start: float,
        end: float,
        device: torch.device | str = "cpu",
    ) -> None:
        self.kind, self.entropy, self.shape, self.device = kind, entropy, tuple(shape), device
        self.root = _Node(round(start, _DIGITS), round(end, _DIGITS))
        seed = np.random.SeedSequence(entropy, pool_size=_POOL).generate_state(3)[0]
        self.total = self._normal(int(seed)) * math.sqrt(end - start)
        self.kept: OrderedDict[_Node, Tensor] = OrderedDict()

    def __call__(self, a: float, b: float) -> Tensor:
        a, b = (round(min(max(t, self.root.start), self.root.end), _DIGITS) for t in (a, b))
        if a >= b:
            return torch.zeros(self.shape, device=self.device)
        return self._increment(self.root, self.total, a, b)

    def _increment(self, node: _Node, increment: Tensor, a: float, b: float) -> Tensor:
        """From a to b, both inside the node, whose own increment is given."""
        while (a, b) != (node.start, node.end):
            left, right = node.halves()
            bridge = self._bridge(node, increment)
            if b <= node.middle:
                node, increment = left, bridge
            elif a >= node.middle:
                node, increment = right, increment - bridge
            else:
                before = self._increment(left, bridge, a, node.middle)
                return before + self._increment(right, increment - bridge, node.middle, b)
        return increment

    def _bridge(self, node: _Node, increment: Tensor) -> Tensor:
        """The increment over the node's left half, given that over the whole."""
        if node not in self.kept:
            key = (node.index, node.depth)
            seed = np.random.SeedSequence(self.entropy, spawn_key=key, pool_size=_POOL).generate_state(4)[0]
            before, after, whole = node.middle - node.start, node.end - node.middle, 1 / (node.end - node.start)
            spread = math.sqrt(before * after * whole)
            self.kept[node] = before * increment * whole + spread * self._normal(int(seed))
            if len(self.kept) > _KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(node)
        return self.kept[node]

    def _normal(self, seed: int) -> Tensor:
        return generator(self.kind, seed, self.device).normal(self.shape)


class BrownianNoise:
    """The noise of the SDE samplers: (b, c, h, w) of unit variance from a path per picture between sigma_min and sigma_max.

    together: one path for the whole batch, its entropy drawn after the last picture's seed, as A1111 has it with
    "Do not make DPM++ SDE deterministic across different batch sizes".
    """

    def __init__(
        self,
        kind: GeneratorKind,
        seeds: Sequence[int],
        shape: tuple[int, int, int],
        sigma_min: float,
        sigma_max: float,
        *,
        device: torch.device | str = "cpu",
        together: bool = False,
    ) -> None:
        self.together = together
        entropies, form = list(seeds), tuple(shape)
        if together:
            stream = torch.Generator("cpu").manual_seed(seeds[-1])
            entropies, form = [int(torch.randint(0, 2**63 - 1, [], generator=stream))], (len(seeds), *shape)
        self.paths = [BrownianPath(kind, entropy, form, sigma_min, sigma_max, device) for entropy in entropies]

    def __call__(self, sigma: Tensor | float, to: Tensor | float) -> Tensor:
        a, b = float(sigma), float(to)
        low, high, sign = (a, b, 1.0) if a < b else (b, a, -1.0)
        increments = [path(low, high) for path in self.paths]
        increment = increments[0] if self.together else torch.stack(increments)
        return increment * sign / math.sqrt(high - low)
