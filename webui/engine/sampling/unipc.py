"""UniPC: a predictor and a corrector of any order, on the predicted picture. Zhao et al. 2023, arXiv:2302.04867."""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image

Floats = NDArray[np.float64]


def unipc(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    variant: str = "bh1",
    skip_type: str = "time_uniform",
    order: int = 3,
    lower_order_final: bool = True,
    whole: bool = True,
) -> Tensor:
    """As many steps as there are sigmas, over times of its own, from sigmas[0] (all noise if `whole`) to the smallest.

    variant: B(h) = -h (bh1) or expm1(-h) (bh2), or varying coefficients (vary_coeff; appendix C). Algorithms 5 and 6.
    An order beyond the number of steps comes down to it.
    """
    process, steps = denoise.process, len(sigmas)
    if not steps:
        return x
    order = min(order, steps)

    def x0_at(y: Tensor, sigma: Tensor) -> Tensor:
        return denoise(process.from_preserving(y, sigma), per_image(sigma, y))

    weights = _weights_vary if variant == "vary_coeff" else _weights_bh
    walk = times(process, None if whole else sigmas[0], steps, skip_type)
    lam = process.half_log_snr(walk).cpu().double().numpy()
    answers = [x0_at(x, walk[0])]  # the newest last
    for i in range(1, steps + 1):
        now = min(order, i)
        if lower_order_final and i >= order:
            now = min(order, steps + 1 - i)
        h = float(lam[i] - lam[i - 1])
        ratios = (lam[i - now : i - 1][::-1] - lam[i - 1]) / h
        differences = [(x0 - answers[-1]) / r for x0, r in zip(answers[-2 : -now - 1 : -1], ratios, strict=True)]
        predictor, corrector = weights(h, ratios, variant)
        (_, s), (a_to, s_to) = process.preserving(walk[i - 1]), process.preserving(walk[i])
        base = s_to / s * x - a_to * math.expm1(-h) * answers[-1]
        x = base - a_to * _weighed(predictor, differences, x)
        if i < steps:
            answer = x0_at(x, walk[i])
            x = base - a_to * _weighed(corrector, [*differences, answer - answers[-1]], x)
            answers = [*answers, answer][-order:]
    return x


def times(process: Process, start: Tensor | None, n: int, skip_type: str) -> Tensor:
    """n + 1 falling sigmas: evenly in time, in its square root, or in lambda. Without a start from the largest."""
    first = process.sigmas[-1].float() if start is None else start
    last = process.sigmas[0].float()
    if skip_type == "logSNR":
        ends = process.half_log_snr(first), process.half_log_snr(last)
        return process.sigma_of_half_log_snr(torch.linspace(float(ends[0]), float(ends[1]), n + 1)).cpu()
    # Time runs from 1/1000 to 1 where timesteps run from 0 to 999.
    t_first, t_last = float(process.position(first)) + 1, float(process.position(last)) + 1
    if skip_type == "time_quadratic":
        t = torch.linspace(t_first**0.5, t_last**0.5, n + 1) ** 2
    else:
        t = torch.linspace(t_first, t_last, n + 1)
    return process.sigma((t - 1).clamp(min=0)).cpu()


def _weighed(weights: Sequence[float], differences: Sequence[Tensor], like: Tensor) -> Tensor:
    return sum((d * w for w, d in zip(weights, differences, strict=True)), start=torch.zeros_like(like))


def _weights_bh(h: float, ratios: Floats, variant: str) -> tuple[list[float], list[float]]:
    """B(h) times the coefficients of theorem 3.1: for the predictor, and for the corrector with its new point."""
    B = -h if variant == "bh1" else math.expm1(-h)
    order = len(ratios) + 1
    r = np.append(ratios, 1.0)
    R = np.stack([r**i for i in range(order)])
    b = np.array([phi * math.factorial(i + 1) / B for i, phi in enumerate(_phis(-h, order + 1)[1:])])
    if order == 1:
        predictor, corrector = np.array([]), np.array([0.5])
    else:
        predictor = np.array([0.5]) if order == 2 else np.linalg.solve(R[:-1, :-1], b[:-1])
        corrector = np.linalg.solve(R, b)
    return [float(B * rho) for rho in predictor], [float(B * rho) for rho in corrector]


def _weights_vary(h: float, ratios: Floats, variant: str) -> tuple[list[float], list[float]]:
    """The same with coefficients that vary with h."""
    order = len(ratios) + 1
    r = np.append(ratios, 1.0)
    C = np.stack([r**k / math.factorial(k + 1) for k in range(order)], axis=1)
    phis = _phis(-h, order + 1)
    A = np.linalg.inv(C)
    predictor = np.array(phis[1:order]) @ np.linalg.inv(C[:-1, :-1]) if order > 1 else np.array([])
    known = np.array(phis[1:order]) @ A[: order - 1, :-1]
    new = phis[order] * A[max(order - 2, 0), -1]  # A1111: the row before the last, where the paper has the sum of all
    return [float(w) for w in predictor], [*(float(w) for w in known), float(new)]


def _phis(z: float, n: int) -> list[float]:
    """z phi_1(z), ..., z phi_n(z): exp(z) less ever more terms of its series, over z^(k-1)."""
    phis = [math.expm1(z)]
    for k in range(1, n):
        phis.append(phis[-1] / z - 1 / math.factorial(k))
    return phis
