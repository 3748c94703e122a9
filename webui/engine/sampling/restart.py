"""Restart sampling: goes back to more noise once or twice on the way. Xu et al. 2023, arXiv:2306.14878."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from webui.engine.sampling.heun import heun_step
from webui.engine.sampling.process import Process
from webui.engine.sampling.schedules import karras
from webui.engine.sampling.types import Denoiser, Noise, per_image

LOW, HIGH = 0.1, 2.0
"""Back from this ratio of noise to picture to that one."""


def restart(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Heun steps that go back up from LOW to HIGH with fresh noise. Algorithm 1; from 20 steps on, plain Heun below."""
    reached: Tensor | None = None
    for sigma, to in restarted(denoise.process, sigmas):
        if reached is not None and reached < sigma:
            keep, up = denoise.process.noised_up(reached, sigma)
            x = x * keep + noise(sigma, sigma) * up
        x0 = denoise(x, per_image(sigma, x))
        x = heun_step(denoise, x, sigma, to, x0)
        reached = to
    return x


def restarted(process: Process, sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The steps (from, to): as many as the schedule has, the restarts' own taken from them."""
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas))
    inner, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    sigmas = karras(steps - inner * times, float(sigmas[-2]), float(sigmas[0]), process)
    low, high = (_nearest(process, sigmas, ratio) for ratio in (LOW, HIGH))
    walk = list(pairwise(sigmas))
    if not 0 <= high < low:
        return walk
    again = karras(inner + 1, float(sigmas[low]), float(sigmas[high]), process)[:-1]
    return walk[:low] + list(pairwise(again)) * times + walk[low:]


def _nearest(process: Process, sigmas: Tensor, ratio: float) -> int:
    """The index of the level with about this ratio of noise to picture."""
    level = process.sigma_of_half_log_snr(-torch.tensor(ratio).log())
    return int((sigmas - level).abs().argmin())
