"""DDIM and DDIM for CFG++, in the variance-preserving frame: y = a x0 + s eps, (a, s) = process.preserving(sigma)."""

from __future__ import annotations

from torch import Tensor

from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image


def ddim(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
) -> Tensor:
    """Denoising diffusion implicit models. Song et al. 2021, arXiv:2010.02502, eq. 12 and 16."""
    process = denoise.process
    for i in range(len(sigmas) - 1):
        x0 = denoise(process.from_preserving(x, sigmas[i]), per_image(sigmas[i], x))
        x = implicit_step(process, x0, predicted_noise(process, x, sigmas[i], x0), sigmas, i, noise, eta)
    return x


def ddim_cfgpp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
) -> Tensor:
    """The same with the noise of the unconditional prediction. Chung et al. 2024, arXiv:2406.08070, algorithm 2.

    The guidance scale lies between 0 and 1; the registry's line scales the usual range of 0 to 12.5 to it.
    """
    process = denoise.process
    for i in range(len(sigmas) - 1):
        x0, unconditional = denoise.both(process.from_preserving(x, sigmas[i]), per_image(sigmas[i], x))
        eps = predicted_noise(process, x, sigmas[i], unconditional)
        x = implicit_step(process, x0, eps, sigmas, i, noise, eta)
    return x


def predicted_noise(process: Process, y: Tensor, sigma: Tensor, x0: Tensor) -> Tensor:
    """eps of y = a x0 + s eps."""
    a, s = process.preserving(sigma)
    return (y - a * x0) / s


def implicit_step(
    process: Process, x0: Tensor, eps: Tensor, sigmas: Tensor, i: int, noise: Noise, eta: float
) -> Tensor:
    """y at sigmas[i + 1]: the picture, the noise towards it, and the part of it that eta draws anew."""
    (a, s), (a_to, s_to) = process.preserving(sigmas[i]), process.preserving(sigmas[i + 1])
    up = eta * s_to * (1 - (a * s_to / (a_to * s)) ** 2).clamp(min=0) ** 0.5
    fresh = noise(sigmas[i], sigmas[i + 1])  # A1111: drawn even if eta is zero
    return a_to * x0 + (s_to**2 - up**2).clamp(min=0) ** 0.5 * eps + up * fresh
