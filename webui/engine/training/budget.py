"""Training by the count of lessons: a lesson is one picture that was looked at once, forward and backward.

The learning rate follows the lessons done, so that a run means the same on every machine, and may be stopped and
resumed: it rises, stays, and falls to nothing in the last part (warm-up, stable, decay: Hu et al. 2024,
arXiv:2404.06395, section 4). A longer run goes on from the stable part of a shorter one. Where it restarts, it does the
same in each part, and each part is as long as all before it (Loshchilov & Hutter 2017, arXiv:1608.03983): at the end of
each, the weights are as good as they can be by then.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import nn

from webui.engine.training.config import TrainingPace

FALLING = 0.2
"""The last of a part's lessons, in which the rate falls."""


@dataclass
class Budget:
    """Lessons planned, and lessons done over all runs."""

    planned: int
    done: int = 0
    restarts: int = 0
    seconds: float = math.inf
    """It is over after so many, too."""
    _begun: float = field(default_factory=lambda: time.monotonic(), init=False)

    @classmethod
    def of(cls, plan: TrainingPace) -> Budget:
        return cls(plan.lessons, restarts=plan.restarts, seconds=plan.seconds)

    @property
    def share(self) -> float:
        """Of the planned lessons that are done, or of the time that has passed: 0..1."""
        done = self.done / self.planned if self.planned else 1.0
        return min(max(done, (time.monotonic() - self._begun) / self.seconds), 1.0)

    @property
    def over(self) -> bool:
        return self.share >= 1.0

    def rate(self, warmup: int) -> float:
        """Factor of the learning rate, 0..1. warmup: lessons in which it rises."""
        share, begin, end = self.share, 0.0, 0.5**self.restarts
        while share >= end < 1.0:
            begin, end = end, 2 * end
        risen = self.done - begin * self.planned + 1
        rising = min(risen / warmup, 1.0) if warmup else 1.0
        return rising * min((end - share) / ((end - begin) * FALLING), 1.0)


def decay(span: int, batch: int, done: int) -> float:
    """Of a running mean of weights over about `span` lessons, when `batch` lessons are added to `done`.

    At the beginning the span is a tenth of what was done: the weights of chance are forgotten soon.
    """
    return math.exp(-batch / min(span, done / 10 + batch))


@torch.no_grad()
def averaged(mean: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the running mean of the weights a little towards the model's: mean <- keep mean + (1 - keep) model."""
    torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 - keep)
