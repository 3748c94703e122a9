"""Extended reverse-time SDE solvers. Cui et al. 2023, arXiv:2309.06169."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.engine.sampling.types import Denoiser, Noise, per_image

NODES = 200
"""Of the midpoint rule for the two integrals of a step, which have no closed form."""


def er_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """ER-SDE-Solver-3: the prediction as a parabola over the noise level v = sigma / alpha, by the last three of them.

    The noise scale function is phi(v) = v g(v)^eta with the paper's g(v) = exp(v^0.3) + 10 (its section 5, ER-SDE 5).
    eta = 1 is the paper's; eta = 0 makes phi(v) = v, the probability flow without fresh noise.
    """
    process = denoise.process
    levels = (-process.half_log_snr(sigmas.cpu().double())).exp()
    past: list[tuple[Tensor, Tensor]] = []  # (level, prediction), the newest last
    slope_before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        if sigmas[i + 1] == 0:
            return x0
        v, to = levels[i], levels[i + 1]
        alpha = process.alpha(sigmas[i + 1])
        shrink = _g(to, eta) / _g(v, eta)
        x = (sigmas[i + 1] / sigmas[i] * shrink).to(x) * x + (alpha * (1 - to / v * shrink)).to(x) * x0
        if past:
            step = to - v
            nodes = to + (v - to) * (torch.arange(NODES, dtype=v.dtype, device=v.device) + 0.5) / NODES
            scale = to * _g(to, eta) / (nodes * _g(nodes, eta)) * (v - to) / NODES
            slope = (x0 - past[-1][1]) / (v - past[-1][0]).to(x)
            x = x + (alpha * (step + scale.sum())).to(x) * slope
            if slope_before is not None:
                bend = (slope - slope_before) / ((v - past[-2][0]) / 2).to(x)
                x = x + (alpha * (step**2 / 2 + (scale * (nodes - v)).sum())).to(x) * bend
            slope_before = slope
        past = [*past[-1:], (v, x0)]
        fresh = noise(sigmas[i], sigmas[i + 1])
        x = x + fresh * (sigmas[i + 1] * (1 - shrink**2).clamp(min=0).sqrt() * s_noise).to(x)
    return x


def _g(v: Tensor, eta: float) -> Tensor:
    return ((v**0.3).exp() + 10.0) ** eta
