"""How a family of models mixes picture and noise, and what the output of its network means.

x = alpha(sigma) * x0 + sigma * noise. Stable Diffusion in k-diffusion's form has alpha = 1; SD3 and Flux 1 - sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

Prediction = Literal["eps", "v"]


class Process(Protocol):
    """Everything a sampler, a schedule or a guidance rule may ask about the noising process."""

    @property
    def sigmas(self) -> Tensor:
        """The noise levels the network was trained on, rising: (n,)."""
        ...

    @property
    def sigma_min(self) -> float: ...
    @property
    def sigma_max(self) -> float: ...

    def alpha(self, sigma: Tensor) -> Tensor:
        """The share of the picture in x at this noise level; the shape of sigma."""
        ...

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        """lambda = log(alpha / sigma), the time in which DPM-Solver's exponential integrators step."""
        ...

    def sigma_of_half_log_snr(self, lam: Tensor) -> Tensor:
        """The inverse of `half_log_snr`."""
        ...

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told as its time."""
        ...

    def position(self, sigma: Tensor) -> Tensor:
        """Where sigma stands in the time in which schedules count, 0 to 999 or 1 to 1000."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """The inverse of `position`."""
        ...

    def spaced(self, n: int) -> Tensor:
        """The process's own schedule: n falling sigmas and a zero."""
        ...

    def preserving(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(a, s) in the frame of the timestep samplers, whose variance stays the same: y = a x0 + s eps."""
        ...

    def from_preserving(self, y: Tensor, sigma: Tensor) -> Tensor:
        """x of this process from y of that frame; sigma is zero-dimensional."""
        ...

    def churned(self, sigma: Tensor, gamma: float) -> Tensor:
        """The level whose ratio of noise to picture is 1 + gamma times that of sigma."""
        ...

    def noised_up(self, sigma: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
        """(keep, up): x * keep + noise * up has the higher level `to`."""
        ...

    def to_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x as the network wants it."""
        ...

    def to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        """The picture that the network's output predicts."""
        ...

    def ancestral_step(self, sigma: Tensor, to: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
        """(down, keep, up): go down to `down`, then x * keep + noise * up has the noise level `to`."""
        ...


def append_dims(value: Tensor, like: Tensor) -> Tensor:
    """(b,) -> (b, 1, 1, 1), so that it multiplies a batch."""
    return value.reshape(value.shape + (1,) * (like.ndim - value.ndim))


def append_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


# ---------------------------------------------------------------- Stable Diffusion


def sd_alphas_cumprod(linear_start: float = 0.00085, linear_end: float = 0.012, n: int = 1000) -> Tensor:
    """Products of 1 - beta with beta linear in its square root, float32. Rombach et al. 2022, arXiv:2112.10752."""
    betas = torch.linspace(linear_start**0.5, linear_end**0.5, n, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, dim=0).float()


def zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Rescaled so that the last timestep holds no picture. Lin et al. 2023, arXiv:2305.08891, algorithm 1."""
    root = alphas_cumprod.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * (first / (first - last))
    rescaled = root**2
    rescaled[-1] = 4.8973451890853435e-08  # A1111: zero itself would mean an infinite sigma
    return rescaled


def altered(alphas_cumprod: Tensor, *, downcast: bool = False, zero_snr: bool = False) -> Tensor:
    """The table after the settings "Downcast alphas_cumprod" and "Noise schedule", in this order."""
    table = alphas_cumprod.half() if downcast else alphas_cumprod
    return zero_terminal_snr(table) if zero_snr else table


class Exploding:
    """What processes with alpha = 1 have in common: the noise alone grows."""

    def alpha(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        return -sigma.log()

    def sigma_of_half_log_snr(self, lam: Tensor) -> Tensor:
        return (-lam).exp()

    def preserving(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        signal = (sigma**2 + 1) ** -0.5
        return signal, sigma * signal

    def from_preserving(self, y: Tensor, sigma: Tensor) -> Tensor:
        return y * (sigma**2 + 1) ** 0.5

    def churned(self, sigma: Tensor, gamma: float) -> Tensor:
        return sigma * (gamma + 1)

    def noised_up(self, sigma: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(to), (to**2 - sigma**2) ** 0.5

    def ancestral_step(self, sigma: Tensor, to: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
        if not eta:
            return to, torch.ones_like(to), torch.zeros_like(to)
        up = torch.minimum(to, eta * (to**2 * (sigma**2 - to**2) / sigma**2) ** 0.5)
        down = (to**2 - up**2) ** 0.5
        return down, torch.ones_like(to), up


@dataclass(frozen=True, eq=False)
class Diffusion(Exploding):
    """Noise-predicting (eps) and velocity-predicting (v) networks trained on a table of timesteps, seen with alpha = 1.

    Scaled as in Karras et al. 2022, arXiv:2206.00364, table 1, column VP.
    """

    alphas_cumprod: Tensor
    """(1000,), falling. Half precision is kept, as a downcast table must round where A1111 rounds."""
    prediction: Prediction = "eps"
    quantize: bool = False
    """Tell the network whole timesteps only."""

    def to(self, device: torch.device | str) -> Diffusion:
        return replace(self, alphas_cumprod=self.alphas_cumprod.to(device))

    @cached_property
    def sigmas(self) -> Tensor:
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod) ** 0.5

    @cached_property
    def log_sigmas(self) -> Tensor:
        return self.sigmas.log()

    @cached_property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @cached_property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    def timestep(self, sigma: Tensor) -> Tensor:
        """Linear in log sigma between the table's entries; rounded to the nearest of them under `quantize`."""
        logs = self.log_sigmas.to(sigma.device)
        log_sigma = sigma.log()
        if self.quantize:
            return (log_sigma - logs.reshape(-1, *[1] * sigma.ndim)).abs().argmin(dim=0)
        above = torch.searchsorted(logs.to(log_sigma.dtype), log_sigma.contiguous(), right=True)
        low = (above - 1).clamp(0, len(logs) - 2)
        weight = ((logs[low] - log_sigma) / (logs[low] - logs[low + 1])).clamp(0, 1)
        return (1 - weight) * low + weight * (low + 1)

    def position(self, sigma: Tensor) -> Tensor:
        return self.timestep(sigma)

    def sigma(self, t: Tensor) -> Tensor:
        logs = self.log_sigmas.to(t.device)
        t = t.float()
        weight = t.frac()
        log_sigma = (1 - weight) * logs[t.floor().long()] + weight * logs[t.ceil().long()]
        return log_sigma.exp()

    def spaced(self, n: int) -> Tensor:
        """Evenly in timesteps, from the last to the first."""
        t = torch.linspace(len(self.sigmas) - 1, 0, n, device=self.sigmas.device)
        return append_zero(self.sigma(t))

    def to_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * append_dims(1 / (sigma**2 + 1) ** 0.5, x)

    def to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        sigma = append_dims(sigma, x)
        if self.prediction == "eps":
            return x + output * -sigma
        return output * (-sigma / (sigma**2 + 1) ** 0.5) + x * (1 / (sigma**2 + 1))


# ---------------------------------------------------------------- Playground 2.5, CosXL


@dataclass(frozen=True, eq=False)
class Edm(Exploding):
    """Networks trained on all noise levels between two, without a table. Karras et al. 2022, arXiv:2206.00364, table 1,
    column EDM; the data's standard deviation is `sigma_data`.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    prediction: Prediction = "eps"
    """"v": the output's sign is changed."""

    @cached_property
    def sigmas(self) -> Tensor:
        return self.sigma(torch.arange(1000))

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def position(self, sigma: Tensor) -> Tensor:
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return (sigma.log() - low) / (high - low) * 999

    def sigma(self, t: Tensor) -> Tensor:
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return (low + t.float() / 999 * (high - low)).exp()

    def spaced(self, n: int) -> Tensor:
        """Evenly in log sigma."""
        return append_zero(self.sigma(torch.linspace(999, 0, n)))

    def to_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * append_dims(1 / (sigma**2 + self.sigma_data**2) ** 0.5, x)

    def to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        sigma, spread = append_dims(sigma, x), self.sigma_data
        c_skip = spread**2 / (sigma**2 + spread**2)
        c_out = sigma * spread / (sigma**2 + spread**2) ** 0.5
        return c_skip * x + (c_out if self.prediction == "eps" else -c_out) * output


# ---------------------------------------------------------------- SD3, Flux


@dataclass(frozen=True, eq=False)
class RectifiedFlow:
    """Rectified flow: x = (1 - sigma) x0 + sigma noise; the network predicts noise - x0. arXiv:2403.03206."""

    shift: float = 1.0
    """Moves the levels towards noise for large pictures: sigma = shift t / (1 + (shift - 1) t), section 5.3.2."""
    multiplier: float = 1000.0
    """The network is told sigma times this."""
    by_size: bool = False
    """The shift follows the picture's size, as Flux dev was trained."""

    def at_size(self, height: int, width: int) -> RectifiedFlow:
        """The flow for latents of this size: log shift grows evenly from 0.5 at 256 patches to 1.15 at 4096."""
        if not self.by_size:
            return self
        patches = -(-height // 2) * -(-width // 2)
        return replace(self, shift=math.exp(0.5 + (1.15 - 0.5) * (patches - 256) / (4096 - 256)))

    @cached_property
    def sigmas(self) -> Tensor:
        return self.sigma(torch.arange(1, 1001) / 1000 * self.multiplier)

    @cached_property
    def sigma_min(self) -> float:
        return float(self.sigmas[0])

    @cached_property
    def sigma_max(self) -> float:
        return float(self.sigmas[-1])

    def alpha(self, sigma: Tensor) -> Tensor:
        return 1 - sigma

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        sigma = sigma.clamp(max=1 - 1e-4)  # at pure noise it would be minus infinity, and no midpoint would exist
        return ((1 - sigma) / sigma).log()

    def sigma_of_half_log_snr(self, lam: Tensor) -> Tensor:
        return torch.sigmoid(-lam)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def position(self, sigma: Tensor) -> Tensor:
        return sigma / (self.shift - (self.shift - 1) * sigma) * self.multiplier

    def sigma(self, t: Tensor) -> Tensor:
        t = t / self.multiplier
        return self.shift * t / (1 + (self.shift - 1) * t)

    def spaced(self, n: int) -> Tensor:
        t = torch.linspace(1, 1 / 1000, n) * self.multiplier
        return append_zero(self.sigma(t))

    def preserving(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - sigma, sigma

    def from_preserving(self, y: Tensor, sigma: Tensor) -> Tensor:  # noqa: ARG002
        return y

    def churned(self, sigma: Tensor, gamma: float) -> Tensor:
        return sigma * (1 + gamma) / (1 + gamma * sigma)

    def noised_up(self, sigma: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
        keep = (1 - to) / (1 - sigma).clamp(min=1e-8)
        return keep, (to**2 - (keep * sigma) ** 2).clamp(min=0) ** 0.5

    def to_input(self, x: Tensor, sigma: Tensor) -> Tensor:  # noqa: ARG002
        return x

    def to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        return x - append_dims(sigma, x) * output

    def ancestral_step(self, sigma: Tensor, to: Tensor, eta: float) -> tuple[Tensor, Tensor, Tensor]:
        """The same loss of correlation as in the variance-exploding frame, brought back by the alphas."""
        if not eta:
            return to, torch.ones_like(to), torch.zeros_like(to)
        down = to * (1 + (to / sigma - 1) * eta)
        keep = (1 - to) / (1 - down)
        up = (to**2 - (keep * down) ** 2).clamp(min=0) ** 0.5
        return down, keep, up
