"""What a unit puts into the predicted picture: what lies outside a hole, or the colours of a picture.

Rules of sd-webui-controlnet 1.1.455 (`inpaint_only`, `tile_colorfix`), as its pictures show them: they act in each
call, on both halves, whatever the steps in which the unit's network acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from webui.engine.control.latents import whole_step
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import PassContext, PassFeature
from webui.engine.sampling.process import append_dims

Change = Callable[[Tensor, Call], Tensor]
"""(the predicted picture, (rows, c, h, w); the call) -> what it shall be."""


class Holding(PassFeature):
    """Changes each predicted picture. weight: how far, 0 to 1."""

    def __init__(self, change: Change, weight: float, context: PassContext) -> None:
        self.change, self.weight, self.context = change, min(max(weight, 0.0), 1.0), context

    def predict(self, ask: Ask) -> Ask:
        return lambda call: self._changed(ask(call), call)

    def _changed(self, x0: Tensor, call: Call) -> Tensor:
        """A1111: the predicted noise is looked at as if it belonged to a whole timestep."""
        level, whole = append_dims(call.sigma, x0), whole_step(self.context, call.sigma, x0)
        noise = (call.x - x0) / level
        seen = call.x * ((whole**2 + 1) / (level**2 + 1)) ** 0.5
        wanted = (seen - self.change(seen - whole * noise, call)) / whole
        return call.x - level * torch.lerp(noise, wanted, self.weight)


def outside(latents: Tensor, hole: Tensor) -> Change:
    """What lies outside the hole is the given picture. latents: (1, c, h, w), hole: in pixels, (1, 1, factor h,
    factor w), 1 inside."""
    factor = hole.shape[-1] // latents.shape[-1]
    inside = max_pool2d(hole, factor + 2, stride=factor, padding=1).to(latents.device)

    def changed(x0: Tensor, call: Call) -> Tensor:
        kept, where = call.cut(latents), call.cut(inside)
        return torch.lerp(kept.expand_as(x0), x0, where)

    return changed


def coloured(latents: Tensor, radius: int, sharpness: float | None) -> Change:
    """Low frequencies are those of the given picture. sharpness: the negative half is blurred by so many hundredths."""
    low = blurred(latents, radius)

    def changed(x0: Tensor, call: Call) -> Tensor:
        x0 = x0 - blurred(x0, radius) + call.cut(low)
        if sharpness is None:
            return x0
        negative = torch.tensor([row.side == "negative" for row in call.rows], dtype=x0.dtype, device=x0.device)
        share = negative[:, None, None, None] * sharpness / 100
        return torch.lerp(x0, blurred(x0, radius), share)

    return changed


def blurred(x: Tensor, radius: int) -> Tensor:
    """The mean of a square around each value; the border goes on beyond it. x: (b, c, h, w)."""
    return avg_pool2d(pad(x, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)


class Beside(PassFeature):
    """What an inpainting checkpoint sees beside x is the unit's hole, and its picture around it."""

    def __init__(self, concat: Tensor) -> None:
        self.concat = concat
        """(1, 5, h, w)"""

    def predict(self, ask: Ask) -> Ask:
        return lambda call: ask(self._shown(call))

    def _shown(self, call: Call) -> Call:
        concat = call.cut(self.concat).expand(len(call.x), -1, -1, -1)
        return replace(call, conditioning=replace(call.conditioning, concat=concat))


def beside_of(latents: Tensor, hole: Tensor) -> Tensor:
    """(1, 5, h, w). latents: of the picture with grey for the hole."""
    return torch.cat([max_pool2d(hole, hole.shape[-1] // latents.shape[-1]).to(latents.device), latents], dim=1)
