"""The noise levels a sampler walks through: one function per schedule, each (n, low, high, process) -> falling sigmas.

`low` and `high` are the smallest and largest positive sigma; schedules that count in timesteps ask the process too.
"""

# ruff: noqa: ARG001 -- schedules share one signature

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from webui.engine.sampling.process import Process, append_zero
from webui.engine.sampling.types import Option


class Schedule(Protocol):
    def __call__(self, n: int, low: float, high: float, process: Process, **options: Option) -> Tensor:
        """Falling sigmas, as a rule n of them and a zero: (n + 1,), float32."""
        ...


class ScheduleTraits(Protocol):
    """What the engine asks of a schedule's line in the registry."""

    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def default_rho(self) -> float: ...


@dataclass(frozen=True)
class ScheduleOptions:
    """The settings that bend schedules. Zero for a sigma or rho means: as the model, or the schedule, has it."""

    sigma_min: float = 0.0
    sigma_max: float = 0.0
    rho: float = 0.0
    old_range: bool = False
    """Sigmas from 0.1 to 10, as A1111's first Karras schedule had them."""
    beta_alpha: float = 0.6
    beta_beta: float = 0.6
    table: Literal["sd1", "sdxl"] = "sd1"
    discard_penultimate: bool = False
    """Leave out the last sigma but one, whatever the sampler."""


def karras(n: int, low: float, high: float, process: Process, *, rho: float = 7.0) -> Tensor:
    """Evenly in sigma^(1/rho). Karras et al. 2022, arXiv:2206.00364, eq. 5."""
    ramp = torch.linspace(0, 1, n)
    first, last = high ** (1 / rho), low ** (1 / rho)
    return append_zero((first + ramp * (last - first)) ** rho)


def exponential(n: int, low: float, high: float, process: Process) -> Tensor:
    """Evenly in log sigma."""
    return append_zero(torch.linspace(np.log(high), np.log(low), n).exp())


def polyexponential(n: int, low: float, high: float, process: Process, *, rho: float = 1.0) -> Tensor:
    """A polynomial of degree rho in log sigma."""
    ramp = torch.linspace(1, 0, n) ** rho
    return append_zero(torch.exp(ramp * (np.log(high) - np.log(low)) + np.log(low)))


def uniform(n: int, low: float, high: float, process: Process) -> Tensor:
    """The model's own spacing, over its whole range."""
    return process.spaced(n).cpu()


def normal(n: int, low: float, high: float, process: Process) -> Tensor:
    """Evenly in timesteps, both ends included."""
    return append_zero(_sigmas_at(process, torch.linspace(*_timestep_range(process, low, high), n)))


def sgm_uniform(n: int, low: float, high: float, process: Process) -> Tensor:
    """Evenly in timesteps, the last one left out, as Stability's generative-models sample."""
    return append_zero(_sigmas_at(process, torch.linspace(*_timestep_range(process, low, high), n + 1)[:-1]))


def simple(n: int, low: float, high: float, process: Process) -> Tensor:
    """Every (length / n)-th of the model's sigmas, from the largest down."""
    stride = len(process.sigmas) / n
    return append_zero(_table(process)[[-(1 + int(i * stride)) for i in range(n)]])


def ddim(n: int, low: float, high: float, process: Process) -> Tensor:
    """Every (length // n)-th of the model's sigmas, from the second up. Song et al. 2021, arXiv:2010.02502."""
    return append_zero(_table(process)[1 :: max(len(process.sigmas) // n, 1)].flip(0))


def beta(
    n: int, low: float, high: float, process: Process, *, beta_alpha: float = 0.6, beta_beta: float = 0.6
) -> Tensor:
    """Quantiles of a beta distribution, many at both ends. Lee et al. 2024, arXiv:2407.12173."""
    quantiles = betaincinv(beta_alpha, beta_beta, 1 - np.linspace(0, 1, n))
    return append_zero(torch.tensor(low + quantiles * (high - low), dtype=torch.float32))


def kl_optimal(n: int, low: float, high: float, process: Process) -> Tensor:
    """Evenly in arctan sigma; n + 1 levels down to the smallest, no zero. Sabour et al. 2024, arXiv:2404.14507."""
    done = torch.arange(n + 1) / n
    return torch.tan(done * torch.arctan(torch.tensor(low)) + (1 - done) * torch.arctan(torch.tensor(high)))


_ALIGNED = {  # Sabour et al. 2024, arXiv:2404.14507, as published for ten steps
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


def align_your_steps(
    n: int, low: float, high: float, process: Process, *, table: Literal["sd1", "sdxl"] = "sd1"
) -> Tensor:
    """Levels optimised for each model family, interpolated log-linearly to n. Sabour et al. 2024, arXiv:2404.14507."""
    levels = np.array(_ALIGNED[table])
    if n != len(levels):
        places = np.linspace(0, 1, len(levels))
        # Interpolated from the small end up: for n = 1 the one level is the smallest.
        levels = np.exp(np.interp(np.linspace(0, 1, n), places, np.log(levels[::-1])))[::-1].copy()
    return append_zero(torch.tensor(levels, dtype=torch.float32))


def sigmas_for(
    process: Process,
    steps: int,
    schedule: Schedule | None,
    traits: ScheduleTraits | None,
    options: ScheduleOptions,
    *,
    discard_penultimate: bool = False,
) -> Tensor:
    """The sigmas of a whole run on the CPU, after all settings; without a schedule the process's own spacing.

    Schedule and traits are what the registry's line resolves to; the sampler may ask to discard the last sigma but one.
    """
    discard = discard_penultimate or options.discard_penultimate
    n = steps + 1 if discard else steps
    if not steps:
        return torch.zeros(1)
    if schedule is None or traits is None:
        sigmas = process.spaced(n).cpu()  # A1111: the range settings do not reach the model's own spacing
    else:
        low, high = (0.1, 10.0) if options.old_range else (process.sigma_min, process.sigma_max)
        low, high = options.sigma_min or low, options.sigma_max or high
        sigmas = schedule(n, low, high, process, **_chosen(traits, options)).cpu()
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas


def _chosen(traits: ScheduleTraits, options: ScheduleOptions) -> dict[str, Option]:
    chosen: dict[str, Option] = {name: getattr(options, name) for name in traits.options}
    if "rho" in chosen:
        chosen["rho"] = options.rho or traits.default_rho
    return chosen


def _table(process: Process) -> Tensor:
    return process.sigmas.cpu().float()


def _timestep_range(process: Process, low: float, high: float) -> tuple[float, float]:
    return float(process.position(torch.tensor(high))), float(process.position(torch.tensor(low)))


def _sigmas_at(process: Process, timesteps: Tensor | Sequence[float]) -> Tensor:
    return process.sigma(torch.as_tensor(timesteps)).cpu()
