"""The noise levels of a run: which noise levels the sampler walks, and what it begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.sampling.brownian import BrownianNoise
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Process
from webui.engine.sampling.schedules import Schedule, ScheduleOptions, ScheduleTraits, exponential, sigmas_for
from webui.engine.sampling.types import Noise, SamplerOptions, SamplerTraits


@dataclass(frozen=True)
class SigmaSchedule:
    process: Process
    whole: Tensor
    """The whole schedule, falling, on the CPU; Brownian paths span it."""
    sigmas: Tensor
    """The part that the sampler walks."""
    start: Tensor
    """The level of x at the beginning."""
    from_noise: bool
    """Begins with noise alone (txt2img), not with a noised picture."""
    preserving: bool
    """x is in the variance-preserving frame."""

    def begin(
        self,
        noise: Tensor,
        original: Tensor | None = None,
        *,
        sgm_noise_multiplier: bool = False,
        extra_noise: float = 0.0,
    ) -> Tensor:
        """x to begin with. noise, original: (b, c, h, w).

        sgm_noise_multiplier: noise of the variance that training had, a little more than the first level says.
        extra_noise: a further share of the noise on top of a noised picture.
        """
        if self.from_noise:
            if self.preserving:
                return noise
            return noise * torch.sqrt(1.0 + self.start**2.0) if sgm_noise_multiplier else noise * self.start
        if original is None:
            raise ValueError("A run that does not begin with noise needs the original.")
        if self.preserving:
            signal, spread = self.process.preserving(self.start)
        else:
            signal, spread = self.process.alpha(self.start), self.start
        return original * signal + noise * spread + noise * (extra_noise * signal)

    def options(self, options: SamplerOptions) -> SamplerOptions:
        return replace(options, whole=self.from_noise)

    def noise(
        self, sampler: SamplerTraits, images: ImageNoise, seeds: tuple[int, ...], *, together: bool = False
    ) -> Noise:
        """What the sampler draws from: the pictures' generators, or a Brownian path each."""
        if not sampler.brownian:
            return images
        low, high = float(self.whole[self.whole > 0].min()), float(self.whole.max())
        return BrownianNoise(images.kind, seeds, images.shape, low, high, device=images.device, together=together)


def sigma_schedule(
    sampler: SamplerTraits,
    process: Process,
    steps: int,
    schedule: Schedule | None,
    traits: ScheduleTraits | None,
    options: ScheduleOptions,
    *,
    t_enc: int | None = None,
) -> SigmaSchedule:
    """The schedule for a sampler. steps and t_enc: as `img2img_steps` counts them; without t_enc it begins with noise.

    schedule, traits: function and registry line of what the user chose, or of what Automatic means for the sampler.
    """
    if sampler.timesteps:
        return _timestep_schedule(process, steps + (sampler.discard_penultimate or options.discard_penultimate), t_enc)
    whole = sigmas_for(process, steps, schedule, traits, options, discard_penultimate=sampler.discard_penultimate)
    if t_enc is not None:
        sigmas = whole[steps - t_enc - 1 :]
        return SigmaSchedule(process, whole, sigmas, sigmas[0], from_noise=False, preserving=False)
    # A1111: the model's range, though the noise is scaled for the schedule's first level
    sigmas = exponential(steps, process.sigma_min, process.sigma_max, process) if sampler.takes_range else whole
    return SigmaSchedule(process, whole, sigmas, whole[0], from_noise=True, preserving=False)


def _timestep_schedule(process: Process, steps: int, t_enc: int | None) -> SigmaSchedule:
    """Every (1000 // steps)-th timestep, from 1 up. Steps that do not divide 1000 give more.

    Raises:
        UserError: there are fewer timesteps than steps.
    """
    if not steps:
        none = torch.zeros(1)
        return SigmaSchedule(process, none, none[:0], none[0], from_noise=False, preserving=True)
    if steps > 1000:
        raise UserError(
            f"This sampler cannot take {steps:,} steps: each step is one of the model's 1,000 noise levels.",
            hint="Use at most 999 steps, or another sampler.",
            field="steps",
        )
    timesteps = torch.arange(0, 1000, 1000 // steps).add(1).clamp(max=999)
    rising = process.sigma(timesteps).cpu()
    if t_enc is None:
        return SigmaSchedule(process, rising.flip(0), rising.flip(0), rising[-1], from_noise=True, preserving=True)
    # A1111: noised to the level after the last one that is walked
    walked = rising[:t_enc].flip(0)
    return SigmaSchedule(
        process, rising.flip(0), walked, rising[min(t_enc, len(rising) - 1)], from_noise=False, preserving=True
    )


def adapted(sampler: SamplerTraits, process: Process) -> Process:
    """The process without rounded timesteps for samplers that choose their timesteps themselves."""
    if sampler.timesteps and isinstance(process, Diffusion) and process.quantize:
        return replace(process, quantize=False)
    return process


def img2img_steps(
    steps: int, denoising_strength: float, *, fix: bool = False, requested: int | None = None
) -> tuple[int, int]:
    """(steps of the schedule, t_enc); t_enc + 1 of them are made.

    fix: make exactly `steps` steps, whatever the strength ("With img2img, do exactly the amount of steps").
    requested: the hires pass's own steps, always made exactly.
    """
    strength = min(denoising_strength, 0.999)
    if fix or requested is not None:
        exactly = requested or steps
        return (int(exactly / strength) if denoising_strength > 0 else 0), exactly - 1
    return steps, int(strength * steps)
