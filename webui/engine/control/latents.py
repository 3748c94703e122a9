"""A unit's picture in latent space, and the numbers that are drawn for it as A1111 draws them.

A1111 draws from torch's generator of the process, which the first noise has left at the seed of the batch's last
picture: first the latents of each unit's picture, once a job; then, in each call of the network, what each unit draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from webui.engine.feature import PassContext
from webui.engine.sampling.process import append_dims
from webui.engine.vae import encoded


@dataclass(frozen=True)
class Turn:
    """Where a unit stands among those of its batch that draw."""

    before: int
    """Units before it whose pictures are encoded."""
    encoding: int
    """All of them."""
    place: int = 0
    """Among those that draw in each call."""
    drawing: int = 1
    """All of those."""

    @property
    def last(self) -> Turn:
        """After all that are encoded for their own sake."""
        return replace(self, before=self.encoding)


def encoded_once(pixels: Tensor, context: PassContext, turn: Turn) -> Tensor:
    """Latents (1, c, h, w) of a unit's picture (1, 3, factor h, factor w) in 0..1; the same for all of a job."""
    posterior = None
    if context.batch.render.randn_source != "NV":
        plan = context.services.plan
        first = plan.batches[0] if plan is not None else context.batch.pictures
        posterior = torch.Generator().manual_seed(first[-1].seed)
        _passed_over(posterior, turn.before, context, pixels)
    model = context.loaded.model
    shown = (pixels * 2 - 1).to(model.device)
    return encoded(model, shown, context.batch.render, context.services.watch, posterior=posterior)


class Drawn:
    """What a unit draws in the calls of one pass."""

    def __init__(self, context: PassContext, turn: Turn, pixels: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(context.batch.seeds[-1])
        self.before, self.after = turn.place, turn.drawing - turn.place - 1
        plan = context.services.plan
        if plan is None or context.batch.pictures is plan.batches[0]:
            _passed_over(self.generator, turn.encoding, context, pixels)

    def __call__(self, shape: torch.Size, device: torch.device) -> Tensor:
        for _ in range(self.before):
            torch.randn(shape, generator=self.generator)
        drawn = torch.randn(shape, generator=self.generator)
        for _ in range(self.after):
            torch.randn(shape, generator=self.generator)
        return drawn.to(device)


def _passed_over(generator: torch.Generator, times: int, context: PassContext, pixels: Tensor) -> None:
    form = context.loaded.model.latent
    for _ in range(times):
        torch.randn((1, form.channels, *(side // form.factor for side in pixels.shape[-2:])), generator=generator)


def whole_step(context: PassContext, sigma: Tensor, like: Tensor) -> Tensor:
    """The noise level of the whole timestep that is nearest: (b, 1, 1, 1)."""
    process = context.process
    return append_dims(process.sigma(process.position(sigma).round()), like)
