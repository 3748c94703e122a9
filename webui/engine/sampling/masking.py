"""Keeping what lies outside a mask. The mask is 1 where the picture may change, and broadcasts to (b, c, h, w)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.engine.sampling.process import append_dims
from webui.engine.sampling.types import Denoiser, SamplerTraits, denoiser

Blend = Callable[[Tensor, Tensor], Tensor]
"""(x, level) -> x with the original outside the mask. level: (b,), sigma, or what the sampler walks in its place."""


def blended(x: Tensor, mask: Tensor, original: Tensor) -> Tensor:
    return x * mask + original * (1 - mask)


def firmly(mask: Tensor, original: Tensor) -> Blend:
    """The same mask at every level."""
    return lambda x, _: blended(x, mask, original)


@dataclass(frozen=True)
class Softness:
    """Soft inpainting: how far a soft mask lets the original through at which noise level."""

    schedule_bias: float = 1.0
    """Higher: the original holds at low levels only."""
    preservation: float = 0.5
    """How strongly it holds."""
    contrast_boost: float = 4.0
    """Where both are mixed, the longer vector counts more: 1 not at all."""


def softly(mask: Tensor, original: Tensor, softness: Softness) -> Blend:
    """The mask raised to a power that grows with the level, as if it were applied that many times over."""

    def blend(x: Tensor, level: Tensor) -> Tensor:
        power = append_dims(level, x) ** softness.schedule_bias * softness.preservation
        return mixed(original, x, mask**power, softness.contrast_boost)

    return blend


def mixed(a: Tensor, b: Tensor, share: Tensor, contrast_boost: float) -> Tensor:
    """Vectors between a and b (b, c, h, w) whose lengths are the power mean of theirs; share: of b, 0 to 1."""
    straight = a * (1 - share) + b * share
    weight = share[:, :1]
    first, second = _length(a), _length(b)
    # by the longer one, so that high powers stay within float32: Apple's GPUs have no float64
    longer = torch.maximum(first, second).clamp(min=torch.finfo(first.dtype).tiny)
    powers = (first / longer) ** contrast_boost * (1 - weight) + (second / longer) ** contrast_boost * weight
    wanted = longer * powers ** (1 / contrast_boost)
    return straight * (wanted / (_length(straight) + 1e-5)).to(straight.dtype)


def _length(x: Tensor) -> Tensor:
    """Of the vectors of latent pixels: (b, 1, h, w), float32."""
    lengths: Tensor = torch.linalg.vector_norm(x.float(), dim=1, keepdim=True)
    return lengths


def kept(sampler: SamplerTraits, denoise: Denoiser, blend: Blend) -> Denoiser:
    """Blends where the sampler's family does."""
    return (kept_before if sampler.timesteps else kept_after)(denoise, blend)


def kept_after(denoise: Denoiser, blend: Blend) -> Denoiser:
    """The answer outside the mask is the original."""

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        return blend(denoise(x, sigma), sigma)

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        return blend(x0, sigma), unconditional

    return denoiser(denoise.process, answer, both)


def kept_before(denoise: Denoiser, blend: Blend) -> Denoiser:
    """The network sees the original outside the mask, and its noise prediction counts for the unblended x.

    A1111: the original goes in without noise, whatever the level, and the level is the timestep.
    """
    process = denoise.process

    def asked(x: Tensor, sigma: Tensor) -> Tensor:
        level = append_dims(sigma, x)
        signal, _ = process.preserving(level)
        scale = process.alpha(level) / signal
        return blend(x / scale, process.timestep(sigma).to(x.dtype)) * scale

    def answered(x: Tensor, sigma: Tensor, seen: Tensor, x0: Tensor) -> Tensor:
        """x0 with the same predicted noise: alpha x0 + sigma eps = x."""
        return x0 + (x - seen) / process.alpha(append_dims(sigma, x))

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        seen = asked(x, sigma)
        return answered(x, sigma, seen, denoise(seen, sigma))

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        seen = asked(x, sigma)
        x0, unconditional = denoise.both(seen, sigma)
        return answered(x, sigma, seen, x0), answered(x, sigma, seen, unconditional)

    return denoiser(process, answer, both)
