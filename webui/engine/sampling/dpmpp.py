"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095) and its stochastic forms, as k-diffusion samples them.

All step in lambda = log(alpha / sigma) and hold the predicted picture x0 constant, linear or quadratic over a step:
    x' = sigma'/sigma x + alpha' (1 - exp(-h)) x0,    h = lambda' - lambda.        (Proposition 4.1, first order)
"""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

from typing import Literal

from torch import Tensor

from webui.engine.sampling.euler import slope
from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Second order from the last two predictions. Algorithm 2."""
    lam = denoise.process.half_log_snr(sigmas)
    before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        ahead = x0
        if before is not None and sigmas[i + 1] > 0:
            r = (lam[i] - lam[i - 1]) / (lam[i + 1] - lam[i])
            ahead = (1 + 1 / (2 * r)) * x0 - (1 / (2 * r)) * before
        x = first_order(denoise.process, x, ahead, sigmas[i], sigmas[i + 1])
        before = x0
    return x


def dpmpp_2s_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Second order by a midpoint (algorithm 1 with r = 1/2) to less noise than asked, then fresh noise up to it."""
    process = denoise.process
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        down, keep, up = process.ancestral_step(sigmas[i], sigmas[i + 1], eta)
        if down == 0:
            x = x + slope(x, sigmas[i], x0) * (down - sigmas[i])
        else:
            middle = between(process, sigmas[i], down)
            x_middle = first_order(process, x, x0, sigmas[i], middle)
            x = first_order(process, x, denoise(x_middle, per_image(middle, x)), sigmas[i], down)
        if sigmas[i + 1] > 0:
            x = x * keep + noise(sigmas[i], sigmas[i + 1]) * s_noise * up
    return x


def dpmpp_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """The midpoint method with ancestral noise at the midpoint and at the end, both from one Brownian path."""
    process = denoise.process
    for i in range(len(sigmas) - 1):
        sigma, to = sigmas[i], sigmas[i + 1]
        x0 = denoise(x, per_image(sigma, x))
        if to == 0:
            x = x + slope(x, sigma, x0) * (to - sigma)
            continue
        middle = between(process, sigma, to)
        down, keep, up = process.ancestral_step(sigma, middle, eta)
        x_middle = first_order(process, x, x0, sigma, down) * keep + noise(sigma, middle) * s_noise * up
        x0 = denoise(x_middle, per_image(middle, x))
        down, keep, up = process.ancestral_step(sigma, to, eta)
        x = first_order(process, x, x0, sigma, down) * keep + noise(sigma, to) * s_noise * up
    return x


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """SDE-DPM-Solver++ of second order from the last two predictions, corrected at the midpoint. Appendix E."""
    return _multistep_sde(denoise, x, sigmas, noise, eta, s_noise, "midpoint")


def dpmpp_2m_sde_heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """The same with the correction of Heun's kind."""
    return _multistep_sde(denoise, x, sigmas, noise, eta, s_noise, "heun")


def dpmpp_3m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """SDE-DPM-Solver++ of third order from the last three predictions: k-diffusion's extension of the paper."""
    process = denoise.process
    lam = process.half_log_snr(sigmas)
    past: list[Tensor] = []  # the newest last
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        if sigmas[i + 1] == 0:
            return x0
        h = lam[i + 1] - lam[i]
        h_eta = h * (eta + 1)
        alpha = process.alpha(sigmas[i + 1])
        x = sigmas[i + 1] / sigmas[i] * (-eta * h).exp() * x + alpha * -(-h_eta).expm1() * x0
        phi_2 = (-h_eta).expm1() / h_eta + 1
        if past:
            r0 = (lam[i] - lam[i - 1]) / h
            d1 = d1_0 = (x0 - past[-1]) / r0
            if len(past) > 1:
                r1 = (lam[i - 1] - lam[i - 2]) / h
                d2 = (d1_0 - (past[-1] - past[-2]) / r1) / (r0 + r1)
                d1 = d1_0 + d2 * r0
                x = x - alpha * (phi_2 / h_eta - 0.5) * d2
            x = x + alpha * phi_2 * d1
        if eta:
            x = x + noise(sigmas[i], sigmas[i + 1]) * sigmas[i + 1] * (-(-2 * h * eta).expm1()).sqrt() * s_noise
        past = [*past[-1:], x0]
    return x


def _multistep_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    eta: float,
    s_noise: float,
    solver: Literal["midpoint", "heun"],
) -> Tensor:
    process = denoise.process
    lam = process.half_log_snr(sigmas)
    before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        if sigmas[i + 1] == 0:
            return x0
        h = lam[i + 1] - lam[i]
        eta_h = eta * h
        alpha = process.alpha(sigmas[i + 1])
        gain = -(-h - eta_h).expm1()
        x = sigmas[i + 1] / sigmas[i] * (-eta_h).exp() * x + alpha * gain * x0
        if before is not None:
            r = (lam[i] - lam[i - 1]) / h
            weight = 0.5 * gain if solver == "midpoint" else gain / (-h - eta_h) + 1
            x = x + alpha * weight * (1 / r) * (x0 - before)
        if eta:
            x = x + noise(sigmas[i], sigmas[i + 1]) * sigmas[i + 1] * (-(-2 * eta_h).expm1()).sqrt() * s_noise
        before = x0
    return x


def first_order(process: Process, x: Tensor, x0: Tensor, sigma: Tensor, to: Tensor) -> Tensor:
    """One exact step if x0 stayed the same. Lu et al. 2022, eq. 9."""
    h = process.half_log_snr(to) - process.half_log_snr(sigma)
    return to / sigma * x - process.alpha(to) * (-h).expm1() * x0


def between(process: Process, sigma: Tensor, to: Tensor) -> Tensor:
    """The level halfway in lambda."""
    lam = process.half_log_snr(sigma)
    return process.sigma_of_half_log_snr(lam + 0.5 * (process.half_log_snr(to) - lam))
