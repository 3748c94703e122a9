"""What may be done with the guided prediction: each a function of it and of what it was made of, none from A1111.

All act on the predicted picture x0, so that eps, v and flow models are alike to them, and each picture of a batch by
itself. Where the negative prompt is left out (CFG scale 1, "Skip Early CFG", NGMS) there is no guidance to change, and
they change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from webui.engine.sampling.types import Denoiser, denoiser


@dataclass(frozen=True, eq=False)
class Parts:
    """What a guided prediction was made of, all (b, c, h, w) but sigma (b,)."""

    x: Tensor
    sigma: Tensor
    conditional: Tensor
    unconditional: Tensor


Change = Callable[[Tensor, Parts], Tensor]
"""(x0, its parts) -> x0"""

WHOLE = (1, 2, 3)
"""All of a picture's dimensions."""


def changed(denoise: Denoiser, scale: float, changes: Sequence[Change]) -> Denoiser:
    """The guided denoiser with these changes, one after the other; without any it is itself.

    scale: of its classifier-free guidance x0 = u + scale (c - u), from which c is known.
    """
    if not changes:
        return denoise

    def applied(x: Tensor, sigma: Tensor, x0: Tensor, unconditional: Tensor) -> Tensor:
        conditional = unconditional + (x0 - unconditional) / scale if scale not in (0.0, 1.0) else x0
        parts = Parts(x, sigma, conditional, unconditional)
        for change in changes:
            x0 = change(x0, parts)
        return x0

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        if scale == 1.0:
            x0 = denoise(x, sigma)
            return applied(x, sigma, x0, x0)
        return applied(x, sigma, *denoise.both(x, sigma))

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        return applied(x, sigma, x0, unconditional), unconditional

    return denoiser(denoise.process, answer, both)


def projected(scale: float, eta: float, threshold: float, momentum: float) -> Change:
    """Adaptive projected guidance: c + (scale - 1) (the part of c - u across c + eta times the part along c).

    Sadat et al. 2024, arXiv:2410.02416, algorithm 1. threshold: the most that the length of c - u may be, 0 for any.
    momentum: of c - u over the calls, negative to push away from where it went before. eta = 1, threshold = 0 and
    momentum = 0 are plain guidance. Keeps a running sum: one a pass.
    """
    so_far: list[Tensor] = []

    def change(_x0: Tensor, parts: Parts) -> Tensor:
        c = parts.conditional
        difference = c - parts.unconditional
        if momentum:
            difference = difference + momentum * so_far.pop() if so_far else difference
            so_far.append(difference)
        if threshold > 0:
            length = torch.linalg.vector_norm(difference, dim=WHOLE, keepdim=True)
            difference = difference * (threshold / length.clamp(min=1e-12)).clamp(max=1.0)
        along = c * ((difference * c).sum(WHOLE, keepdim=True) / (c * c).sum(WHOLE, keepdim=True).clamp(min=1e-12))
        return c + (scale - 1) * (difference - along + eta * along)

    return change


def perturbed(ask: Callable[[Parts], Tensor], scale: float) -> Change:
    """Perturbed-attention guidance: away from what the network says when its self-attention sees no structure.

    Ahn et al. 2024, arXiv:2403.17377, eq. 16. ask: that prediction for the prompt, one more call of the network.
    """
    return lambda x0, parts: x0 + scale * (parts.conditional - ask(parts))


def thresholded(mimic: float, percentile: float) -> Change:
    """Dynamic thresholding: values beyond a percentile are cut, and the rest is brought to the range of a lower scale.

    Saharia et al. 2022 (Imagen), arXiv:2205.11487, section 2.3: clip to [-s, s], divide by s. Latents have no natural
    range: each channel's is taken around its mean, as far as guidance of the scale `mimic` would reach.
    """

    def change(x0: Tensor, parts: Parts) -> Tensor:
        wanted = parts.unconditional + mimic * (parts.conditional - parts.unconditional)
        limit = _around_mean(wanted)[1].abs().amax(dim=(2, 3), keepdim=True)
        mean, apart = _around_mean(x0)
        reach = torch.quantile(apart.abs().flatten(2).float(), percentile, dim=2)[..., None, None].to(x0.dtype)
        s = torch.maximum(reach, limit)
        return mean + apart.clamp(-s, s) * (limit / s.clamp(min=1e-12))

    return change


def _around_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean, and how far it is from it everywhere."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean, x - mean


def rescaled(share: float) -> Change:
    """CFG rescale: the guided prediction with the contrast of the conditional one, mixed in by `share`.

    Lin et al. 2023, arXiv:2305.08891, section 3.4, eq. 15 and 16.
    """

    def change(x0: Tensor, parts: Parts) -> Tensor:
        contrast = parts.conditional.std(dim=WHOLE, keepdim=True) / x0.std(dim=WHOLE, keepdim=True).clamp(min=1e-12)
        return x0 * (share * contrast + (1 - share))

    return change
