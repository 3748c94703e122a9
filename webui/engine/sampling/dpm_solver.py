"""DPM-Solver (Lu et al. 2022, arXiv:2206.00927) over a range of sigma, with a fixed number of calls or adaptive steps.

Both take the range from the schedule: it begins at sigmas[0] and ends at sigmas[-2], the level before the final zero.
They step in lambda = log(alpha / sigma) and hold the predicted noise eps constant, linear or quadratic over a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.sampling.process import Process
from webui.engine.sampling.types import Denoiser, Noise, per_image


def dpm_fast(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """As many calls of the denoiser as the schedule has steps, three to a step evenly in lambda. Section 3.4."""
    process, calls = denoise.process, len(sigmas) - 1
    if calls < 1:
        return x
    start, end = process.half_log_snr(sigmas[0]), process.half_log_snr(sigmas[-2])
    lam = torch.linspace(float(start), float(end), calls // 3 + 2)
    orders = [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]
    for i, order in enumerate(orders):
        down, keep, up = _ancestral(process, lam[i], lam[i + 1], end, eta)
        step = _Step(denoise, x, lam[i])
        x = step.to(down, order)
        levels = process.sigma_of_half_log_snr(lam[i]), process.sigma_of_half_log_snr(lam[i + 1])
        x = x * keep + up * s_noise * noise(*levels)
    return x


def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h: float = 0.05,
) -> Tensor:
    """Steps as long as the second and third order agree, however many the schedule has. Appendix C.

    The error is one number for the whole batch, so its pictures share their steps. UserError if it is not finite.
    """
    process = denoise.process
    if len(sigmas) < 2:
        return x
    lam, end = process.half_log_snr(sigmas[0]), process.half_log_snr(sigmas[-2])
    control = _StepSize(h, order=1.5 if eta else 3)
    low_before, i = x, 0
    while lam < end - 1e-5:
        to = torch.minimum(end, lam + control.h)
        down, keep, up = _ancestral(process, lam, to, end, eta)
        step = _Step(denoise, x, lam)
        low, high = step.to(down, 2, r1=1 / 3), step.to(down, 3)
        tolerance = torch.maximum(low.new_tensor(atol), rtol * torch.maximum(low.abs(), low_before.abs()))
        error = float(torch.linalg.vector_norm((low - high) / tolerance)) / math.sqrt(x.numel())
        if not math.isfinite(error):  # no step would ever be small enough
            raise UserError(
                "The model produced invalid values (NaN).",
                hint="Try full precision: start with --no-half, or with --upcast-sampling.",
            )
        if control.accepts(error):
            levels = process.sigma_of_half_log_snr(lam), process.sigma_of_half_log_snr(to)
            low_before, x, lam = low, high * keep + up * s_noise * noise(*levels), to
        i += 1
    return x


def _ancestral(process: Process, lam: Tensor, to: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """(lambda to go to, keep, up), where lambda never passes the end of the range."""
    if not eta:
        return to, torch.ones_like(to), torch.zeros_like(to)
    sigma, target = process.sigma_of_half_log_snr(lam), process.sigma_of_half_log_snr(to)
    down = torch.minimum(end, process.half_log_snr(process.ancestral_step(sigma, target, eta)[0]))
    return down, *process.noised_up(process.sigma_of_half_log_snr(down), target)


class _Step:
    """One step from (x, lambda): single-step solvers of order 1 to 3 that share their calls of the denoiser."""

    def __init__(self, denoise: Denoiser, x: Tensor, lam: Tensor) -> None:
        self.denoise, self.process, self.x, self.lam = denoise, denoise.process, x, lam
        self.asked: dict[float, Tensor] = {}
        self.sigma = self.process.sigma_of_half_log_snr(lam)
        self.x0 = denoise(x, per_image(self.sigma, x))
        self.eps = (x - self.process.alpha(self.sigma) * self.x0) / self.sigma

    def to(self, lam: Tensor, order: int, r1: float | None = None) -> Tensor:
        """x at lambda. Algorithms 1 (order 2, r1 = 1/2) and 2 (order 3, r1 = 1/3, r2 = 2/3)."""
        h = lam - self.lam
        sigma = self.process.sigma_of_half_log_snr(lam)
        x = self._drift(sigma) - sigma * h.expm1() * self.eps
        if order == 1:
            return x
        if order == 2:
            r1 = r1 or 1 / 2
            return x - sigma / (2 * r1) * h.expm1() * (self._eps_after(r1, h) - self.eps)
        r1, r2 = 1 / 3, 2 / 3
        sigma_2 = self.process.sigma_of_half_log_snr(self.lam + r2 * h)
        bend = (r2 / r1) * ((r2 * h).expm1() / (r2 * h) - 1)
        x_2 = self._drift(sigma_2) - sigma_2 * (r2 * h).expm1() * self.eps
        x_2 = x_2 - sigma_2 * bend * (self._eps_after(r1, h) - self.eps)
        return x - sigma / r2 * (h.expm1() / h - 1) * (self._eps(x_2, sigma_2) - self.eps)

    def _drift(self, sigma: Tensor) -> Tensor:
        return self.process.alpha(sigma) / self.process.alpha(self.sigma) * self.x

    def _eps_after(self, r: float, h: Tensor) -> Tensor:
        """The noise predicted after the part r of the step, by a step of first order."""
        if r not in self.asked:
            sigma = self.process.sigma_of_half_log_snr(self.lam + r * h)
            self.asked[r] = self._eps(self._drift(sigma) - sigma * (r * h).expm1() * self.eps, sigma)
        return self.asked[r]

    def _eps(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (x - self.process.alpha(sigma) * self.denoise(x, per_image(sigma, x))) / sigma


class _StepSize:
    """An integral controller of the step size. Soederlind 2003, doi:10.1145/641876.641877, as k-diffusion tunes it."""

    def __init__(self, h: float, order: float, safety: float = 0.81) -> None:
        self.h, self.order, self.safety = h, order, safety

    def accepts(self, error: float) -> bool:
        """Whether a step with this error (1 = the tolerance) holds; sets the size of the next one."""
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / self.order) - 1)
        self.h *= factor
        return factor >= self.safety
