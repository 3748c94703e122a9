"""Keeping what lies outside a mask. The mask is 1 where the picture may change, and broadcasts to (b, c, h, w)."""

from __future__ import annotations

from torch import Tensor

from webui.engine.sampling.process import append_dims
from webui.engine.sampling.types import Denoiser, SamplerTraits, denoiser


def blended(x: Tensor, mask: Tensor, original: Tensor) -> Tensor:
    return x * mask + original * (1 - mask)


def kept(sampler: SamplerTraits, denoise: Denoiser, mask: Tensor, original: Tensor) -> Denoiser:
    """Blends where the sampler's family does; `original` is the clean latent (b, c, h, w)."""
    return (kept_before if sampler.timesteps else kept_after)(denoise, mask, original)


def kept_after(denoise: Denoiser, mask: Tensor, original: Tensor) -> Denoiser:
    """The answer outside the mask is the original."""

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        return blended(denoise(x, sigma), mask, original)

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        return blended(x0, mask, original), unconditional

    return denoiser(denoise.process, answer, both)


def kept_before(denoise: Denoiser, mask: Tensor, original: Tensor) -> Denoiser:
    """The network sees the original outside the mask, and its noise prediction counts for the unblended x.

    A1111: the original goes in without noise, whatever the level.
    """
    process = denoise.process

    def asked(x: Tensor, sigma: Tensor) -> Tensor:
        level = append_dims(sigma, x)
        signal, _ = process.preserving(level)
        scale = process.alpha(level) / signal
        return blended(x / scale, mask, original) * scale

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
