"""What a sampler knows of the world: a denoiser, a source of noise, and the options that it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from webui.engine.sampling.process import Process

Noise = Callable[[Tensor | float, Tensor | float], Tensor]
"""noise(sigma_from, sigma_to) -> (b, c, h, w): standard normal numbers, drawn anew at each call."""

GeneratorKind = Literal["CPU", "NV"]
"""Where standard normal numbers come from: torch's generator on the CPU, or NVIDIA's Philox on any device."""

Option = float | int | str | bool


@runtime_checkable
class Denoiser(Protocol):
    """Removes the noise from x: the only thing a sampler knows of a model."""

    @property
    def process(self) -> Process: ...

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x: (b, c, h, w), sigma: (b,) -> the predicted picture x0: (b, c, h, w)."""
        ...

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided prediction and the unconditional one, from one call of the network (for CFG++)."""
        ...


Answer = Callable[[Tensor, Tensor], Tensor]
Answers = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class _Denoiser:
    process: Process
    answer: Answer
    answers: Answers

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.answer(x, sigma)

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return self.answers(x, sigma)


def denoiser(process: Process, answer: Answer, both: Answers | None = None) -> Denoiser:
    """A denoiser from a function (x, sigma) -> x0. Without `both`, the unconditional answer is the guided one."""

    def alike(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0 = answer(x, sigma)
        return x0, x0

    return _Denoiser(process, answer, both or alike)


class Sampler(Protocol):
    """Walks x down the sigmas. x: (b, c, h, w); sigmas: (n + 1,), falling; gives the latents (b, c, h, w).

    Samplers of the timestep family take and give x in the variance-preserving frame (`Process.preserving`).
    """

    def __call__(
        self,
        denoise: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        noise: Noise,
        **options: Option,
    ) -> Tensor: ...


class SamplerTraits(Protocol):
    """What the engine asks of a sampler's line in the registry; it never asks for the name."""

    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def discard_penultimate(self) -> bool: ...
    @property
    def brownian(self) -> bool: ...
    @property
    def timesteps(self) -> bool: ...
    @property
    def takes_range(self) -> bool: ...


@dataclass(frozen=True)
class SamplerOptions:
    """Everything that some sampler reads; each one receives only what its registry line names."""

    eta: float = 1.0
    """How much of each step's noise is drawn anew; the caller knows that DDIM's default is 0, the others' 1."""
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    variant: str = "bh1"
    skip_type: str = "time_uniform"
    order: int = 3
    lower_order_final: bool = True
    whole: bool = True
    """Whether the run begins at pure noise; False when it begins at a noised picture."""

    def of(self, names: Sequence[str]) -> Mapping[str, Option]:
        """The keyword arguments for a sampler that takes these names."""
        return {name: getattr(self, name) for name in names}


def per_image(sigma: Tensor, x: Tensor) -> Tensor:
    """One sigma for a whole batch as the denoiser wants it: (b,), in x's dtype and on its device."""
    return torch.ones(x.shape[0], dtype=x.dtype, device=x.device) * sigma
