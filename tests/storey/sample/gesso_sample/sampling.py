"""A sampler and a schedule."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from webui.engine.sampling.types import Denoiser, Noise, per_image


def sample_euler(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise, **_options: Any) -> Tensor:
    """Euler's method."""
    for sigma, following in itertools.pairwise(sigmas):
        x0 = denoise(x, per_image(sigma, x))
        x = x + (x - x0) / sigma * (following - sigma)
    return x


def straight(n: int, low: float, high: float, _process: object, **_options: Any) -> Tensor:
    """Evenly spaced noise levels."""
    return torch.cat([torch.linspace(high, low, n), torch.zeros(1)])
