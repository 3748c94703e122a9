"""Training by the clock: the learning rate follows the share of the planned time, so that a run may end on time
on any machine, and be stopped and resumed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Clock:
    """Seconds of training so far, over all runs, and seconds planned."""

    planned: float
    spent: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = time.monotonic()
        self.spent, self._last = self.spent + now - self._last, now

    @property
    def share(self) -> float:
        return min(self.spent / self.planned, 1.0)

    @property
    def over(self) -> bool:
        return self.spent >= self.planned

    def rate(self, step: int, warmup: int) -> float:
        """Factor of the learning rate: linear warm-up in steps, then half a cosine to 0 in time."""
        return min((step + 1) / warmup, 1.0) * (0.5 + 0.5 * math.cos(math.pi * self.share))


@torch.no_grad()
def averaged(mean: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the running mean of the weights a little towards the model's: mean <- decay mean + (1 - decay) model."""
    torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 - decay)
