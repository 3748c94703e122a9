"""Training by the count of lessons: a lesson is one picture that was looked at once, forward and backward.

The learning rate follows the lessons done, so that a run means the same on every machine, and may be stopped and
resumed: it rises, stays, and falls to nothing in the last part (warm-up, stable, decay: Hu et al. 2024,
arXiv:2404.06395, section 4). A longer run goes on from the stable part of a shorter one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

FALLING = 0.2
"""The last part of the planned lessons, in which the rate falls."""


@dataclass
class Budget:
    """Lessons planned, and lessons done over all runs."""

    planned: int
    done: int = 0

    @property
    def share(self) -> float:
        """Of the planned lessons that are done: 0..1."""
        return min(self.done / self.planned, 1.0) if self.planned else 1.0

    @property
    def over(self) -> bool:
        return self.done >= self.planned

    def rate(self, warmup: int) -> float:
        """Factor of the learning rate, 0..1. warmup: lessons in which it rises."""
        rising = min((self.done + 1) / warmup, 1.0) if warmup else 1.0
        return rising * min((1.0 - self.share) / FALLING, 1.0)


def decay(span: int, batch: int, done: int) -> float:
    """Of a running mean of weights over about `span` lessons, when `batch` lessons are added to `done`.

    At the beginning the span is a tenth of what was done: the weights of chance are forgotten soon.
    """
    return math.exp(-batch / min(span, done / 10 + batch))


@torch.no_grad()
def averaged(mean: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the running mean of the weights a little towards the model's: mean <- keep mean + (1 - keep) model."""
    torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 - keep)
