"""Samplers for CFG++: to the guided picture the noise is added again that the unconditional prediction saw in x.

Chung et al. 2024, arXiv:2406.08070. The guidance scale lies between 0 and 1; the registry's lines scale the usual range
of 0 to 12.5 to it. Where both predictions are the same, each is the sampler that it is named after.
"""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

from torch import Tensor

from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image


def euler_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Euler's method; algorithm 2 in the noise levels of k-diffusion."""
    for i in range(len(sigmas) - 1):
        x0, unconditional = denoise.both(x, per_image(sigmas[i], x))
        x = renoised(denoise.process, x, x0, unconditional, sigmas[i], sigmas[i + 1])
    return x


def dpmpp_2m_cfgpp(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """DPM++ 2M (arXiv:2211.01095, algorithm 2): the second order is that of the path which the noise follows, so that
    it is taken from the unconditional predictions."""
    process = denoise.process
    lam = process.half_log_snr(sigmas)
    before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        x0, unconditional = denoise.both(x, per_image(sigmas[i], x))
        x = renoised(process, x, x0, unconditional, sigmas[i], sigmas[i + 1])
        if before is not None and sigmas[i + 1] > 0:
            h, last = lam[i + 1] - lam[i], lam[i] - lam[i - 1]
            x = x - process.alpha(sigmas[i + 1]) * (-h).expm1() * h / (2 * last) * (unconditional - before)
        before = unconditional
    return x


def renoised(process: Process, x: Tensor, x0: Tensor, unconditional: Tensor, sigma: Tensor, to: Tensor) -> Tensor:
    """alpha' x0 + sigma' eps, eps the noise in x = alpha x0 + sigma eps for the unconditional x0."""
    return process.alpha(to) * x0 + to * (x - process.alpha(sigma) * unconditional) / sigma
