"""Euler's method on the probability flow, and its ancestral form."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image


def euler(
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
    """Euler steps, with churn if asked for. Karras et al. 2022, arXiv:2206.00364, algorithm 2 without lines 9 to 11."""
    churn = Churn(s_churn / max(len(sigmas) - 1, 1), s_tmin, s_tmax, s_noise)
    for i in range(len(sigmas) - 1):
        hat, x = churn(denoise.process, x, sigmas[i], noise)
        x0 = denoise(x, per_image(hat, x))
        x = x + slope(x, hat, x0) * (sigmas[i + 1] - hat)
    return x


def euler_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Euler steps to less noise than asked, then fresh noise up to it. After Song et al. 2021, arXiv:2011.13456."""
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        down, keep, up = denoise.process.ancestral_step(sigmas[i], sigmas[i + 1], eta)
        x = x + slope(x, sigmas[i], x0) * (down - sigmas[i])
        if sigmas[i + 1] > 0:
            x = x * keep + noise(sigmas[i], sigmas[i + 1]) * s_noise * up
    return x


def slope(x: Tensor, sigma: Tensor, x0: Tensor) -> Tensor:
    """dx / dsigma of the probability flow. Karras et al. 2022, eq. 3 with s(t) = 1, sigma(t) = t."""
    return (x - x0) / sigma


@dataclass(frozen=True)
class Churn:
    """Noise added before a step, that the step takes away again. Karras et al. 2022, algorithm 2, lines 3 to 6."""

    share: float
    """S_churn over the number of steps."""
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def __call__(self, process: Process, x: Tensor, sigma: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """(sigma hat, x hat): the level a little higher and x with fresh noise up to it."""
        if self.share <= 0:
            return sigma, x
        fresh = noise(sigma, sigma)  # A1111: drawn at every step, needed or not, so that its number is the step's
        if not self.s_tmin <= sigma <= self.s_tmax:
            return sigma, x
        hat = process.churned(sigma, min(self.share, math.sqrt(2) - 1))
        keep, up = process.noised_up(sigma, hat)
        return hat, x * keep + fresh * self.s_noise * up
