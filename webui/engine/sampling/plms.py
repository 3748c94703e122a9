"""Pseudo linear multistep sampling. Liu et al. 2022, arXiv:2202.09778."""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

from torch import Tensor

from webui.engine.sampling.ddim import predicted_noise
from webui.engine.sampling.types import Denoiser, Noise, per_image


def plms(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Adams-Bashforth on the predicted noise, begun with improved Euler; variance-preserving frame. Algorithm 2."""
    process = denoise.process

    def eps_at(y: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(process.from_preserving(y, sigma), per_image(sigma, y))
        return predicted_noise(process, y, sigma, x0)

    past: list[Tensor] = []  # the newest last
    for i in range(len(sigmas) - 1):
        (a, s), (a_to, s_to) = process.preserving(sigmas[i]), process.preserving(sigmas[i + 1])
        eps = eps_at(x, sigmas[i])
        match past:
            case []:
                ahead = a_to * ((x - s * eps) / a) + s_to * eps
                mean = (eps + eps_at(ahead, sigmas[i + 1])) / 2
            case [e1]:
                mean = (3 * eps - e1) / 2
            case [e2, e1]:
                mean = (23 * eps - 16 * e1 + 5 * e2) / 12
            case [e3, e2, e1, *_]:
                mean = (55 * eps - 59 * e1 + 37 * e2 - 9 * e3) / 24
        x0 = (x - s * mean) / a
        x = a_to * x0 + s_to * mean
        past = [*past[-2:], eps]
    return x
