"""DPM-Solver-2 in k-diffusion's form, and its ancestral form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from webui.engine.sampling.euler import Churn, slope
from webui.engine.sampling.types import Denoiser, Noise, per_image


def dpm2(
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
    """Steps along the slope at the midpoint in log sigma. Lu et al. 2022, arXiv:2206.00927, algorithm 1."""
    churn = Churn(s_churn / max(len(sigmas) - 1, 1), s_tmin, s_tmax, s_noise)
    for i in range(len(sigmas) - 1):
        hat, x = churn(denoise.process, x, sigmas[i], noise)
        x0 = denoise(x, per_image(hat, x))
        x = midpoint_step(denoise, x, hat, sigmas[i + 1], x0)
    return x


def dpm2_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """The same to less noise than asked, then fresh noise up to it."""
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        down, keep, up = denoise.process.ancestral_step(sigmas[i], sigmas[i + 1], eta)
        x = midpoint_step(denoise, x, sigmas[i], down, x0)
        if down > 0:
            x = x * keep + noise(sigmas[i], sigmas[i + 1]) * s_noise * up
    return x


def midpoint_step(denoise: Denoiser, x: Tensor, sigma: Tensor, to: Tensor, x0: Tensor) -> Tensor:
    """From sigma to `to`, with one more call of the denoiser unless `to` is zero; x0 is its answer at x."""
    d = slope(x, sigma, x0)
    if to == 0:
        return x + d * (to - sigma)
    middle = torch.lerp(sigma.log(), to.log(), 0.5).exp()
    x_middle = x + d * (middle - sigma)
    return x + slope(x_middle, middle, denoise(x_middle, per_image(middle, x))) * (to - sigma)
