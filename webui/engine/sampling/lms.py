"""The linear multistep method (Adams-Bashforth with uneven steps)."""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.polynomial import Polynomial
from torch import Tensor

from webui.engine.sampling.euler import slope
from webui.engine.sampling.types import Denoiser, Noise, per_image

ORDER = 4


def lms(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Extrapolates the slopes of up to four steps by a polynomial. Hairer, Norsett, Wanner 1993, III.5."""
    levels = sigmas.cpu().double().numpy()
    slopes: deque[Tensor] = deque(maxlen=ORDER)  # newest first
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        slopes.appendleft(slope(x, sigmas[i], x0))
        weights = adams_bashforth(levels[i - len(slopes) + 1 : i + 1][::-1], levels[i + 1])
        x = x + sum((d * weight for weight, d in zip(weights, slopes, strict=True)), start=x.new_zeros(()))
    return x


def adams_bashforth(past: np.ndarray, to: float) -> list[float]:
    """Integrals from past[0] to `to` of the Lagrange polynomials through the past levels, newest first."""
    weights = []
    for j, own in enumerate(past):
        others = np.delete(past, j)
        lagrange = Polynomial.fromroots(others) / np.prod(own - others) if len(others) else Polynomial([1.0])
        integral = lagrange.integ()
        weights.append(float(integral(to) - integral(past[0])))
    return weights
