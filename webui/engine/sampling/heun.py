"""Heun's second-order method."""

from __future__ import annotations

import math

from torch import Tensor

from webui.engine.sampling.euler import Churn, slope
from webui.engine.sampling.types import Denoiser, Noise, per_image


def heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """Steps along the mean of the slopes at both ends. Karras et al. 2022, arXiv:2206.00364, algorithm 2."""
    churn = Churn(s_churn / max(len(sigmas) - 1, 1), s_tmin, s_tmax, s_noise)
    for i in range(len(sigmas) - 1):
        hat, x = churn(denoise.process, x, sigmas[i], noise)
        x0 = denoise(x, per_image(hat, x))
        x = heun_step(denoise, x, hat, sigmas[i + 1], x0)
    return x


def heun_step(denoise: Denoiser, x: Tensor, sigma: Tensor, to: Tensor, x0: Tensor) -> Tensor:
    """From sigma to `to`, with one more call of the denoiser unless `to` is zero; x0 is its answer at x."""
    d = slope(x, sigma, x0)
    ahead = x + d * (to - sigma)
    if to == 0:
        return ahead
    d_ahead = slope(ahead, to, denoise(ahead, per_image(to, x)))
    return x + (d + d_ahead) / 2 * (to - sigma)
