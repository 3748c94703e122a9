"""Units whose picture stands beside or in the place of the text: style T2I-Adapters, and Revision.

Rules of sd-webui-controlnet 1.1.455: a style is told to the positive half, the negative half gets zeros in its place;
Revision (Stability AI, 2023) takes the place of SDXL's pooled text there, all units together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.batch import Loaded
from webui.engine.control.styles import StyleAdapter
from webui.engine.control.vision import IMAGE_ENCODER, Tower, Vision, chosen
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import PassContext, PassFeature
from webui.engine.preprocessors.picture import Bytes
from webui.features.controlnet.network import acts_in
from webui.features.controlnet.parameters import Params

IGNORING = "revision_ignore_prompt"
NUMBERS = 6
"""That SDXL is told behind the pooled text."""
NOISE: Mapping[str, float] = MappingProxyType({"first": 1e-4, "last": 2e-2})
"""Variance that a step adds, of 1,000, whose roots lie evenly: with these, Revision's noise is drawn."""
STEPS = 1000


def seen_by(wish: Params, tower: Tower, picture: Bytes, context: PassContext) -> Vision:
    """What an image encoder says of a unit's picture.

    Raises:
        ModelError: it is missing, or damaged.
    """
    residents = context.services.residents
    assert residents is not None
    with residents.lend(IMAGE_ENCODER, chosen(wish.towers, tower)) as encoder:
        return encoder.seen(picture)


class _Telling(PassFeature):
    """It acts on the checkpoint that the pass begins with."""

    def __init__(self, context: PassContext) -> None:
        self.context = context
        self.entered: Loaded | None = None

    def enter(self, loaded: Loaded) -> None:
        self.entered = loaded

    def predict(self, ask: Ask) -> Ask:
        return lambda call: ask(self.told(call) if self.entered is self.context.loaded else call)

    def told(self, call: Call) -> Call:
        raise NotImplementedError


class Styled(_Telling):
    """A style T2I-Adapter."""

    def __init__(self, params: Params, context: PassContext, tokens: Tensor) -> None:
        """tokens: (1, n, text width)."""
        super().__init__(context)
        self.params, self.tokens = params, tokens

    def told(self, call: Call) -> Call:
        if not acts_in(self.params, call):
            return call
        text = call.conditioning.tokens
        more = self.tokens.to(text) * self.params.weight * _positive(call).to(text)[:, None, None]
        return replace(call, conditioning=replace(call.conditioning, tokens=torch.cat([text, more], dim=1)))


class Revised(_Telling):
    """Revision, for all units at once."""

    def __init__(self, units: list[tuple[Params, Tensor]], context: PassContext) -> None:
        """units: each with what its picture says, (1, pooled width)."""
        super().__init__(context)
        self.units = units
        request = context.batch.request
        self.is_silent = not request.prompt and not request.negative_prompt

    def told(self, call: Call) -> Call:
        told, acting = call.conditioning, [unit for unit in self.units if acts_in(unit[0], call)]
        if not acting or told.vector is None:
            return call
        pooled = torch.stack([embedded * params.weight for params, embedded in acting]).sum(dim=0)
        rows = pooled.to(told.vector) * _positive(call).to(told.vector)[:, None]
        vector = torch.cat([rows, told.vector[:, rows.shape[1] :]], dim=1)
        ignores = self.is_silent or any(params.module == IGNORING for params, _ in acting)
        tokens = torch.zeros_like(told.tokens) if ignores else told.tokens
        return replace(call, conditioning=replace(told, vector=vector, tokens=tokens))


def _positive(call: Call) -> Tensor:
    """Which rows are the positive half's: (rows,), 1 or 0."""
    return torch.tensor([float(row.side == "positive") for row in call.rows])


def pooled_width(unet: UNet2DConditionModel) -> int:
    """Of the text that SDXL is told as one vector.

    Raises:
        UserError: the model is told none.
    """
    config = unet.config
    if config.addition_embed_type != "text_time":
        raise UserError(
            "Revision needs an SDXL checkpoint: others are told no text that a picture could stand for.",
            hint="Choose an SDXL checkpoint, or another preprocessor.",
            field="features",
        )
    return int(config.projection_class_embeddings_input_dim) - NUMBERS * int(config.addition_time_embed_dim)


def noised(embedded: Tensor, augmentation: float, stream: torch.Generator) -> Tensor:
    """What a picture says, (1, width), with noise: 0 to 1. As in the extension, 0 leaves a hundredth."""
    ways = torch.linspace(NOISE["first"] ** 0.5, NOISE["last"] ** 0.5, STEPS, dtype=torch.float64) ** 2
    kept = float((1 - ways).cumprod(dim=0)[min(int(augmentation * STEPS), STEPS - 1)])
    noise = torch.randn(embedded.shape, generator=stream).to(embedded)
    return embedded * math.sqrt(kept) + noise * math.sqrt(1 - kept)


def styled(adapter: StyleAdapter, wish: Params, picture: Bytes, context: PassContext) -> PassFeature:
    """
    Raises:
        ModelError: the image encoder that it was trained with is missing, or damaged.
    """
    return Styled(wish, context, adapter.told(seen_by(wish, adapter.tower, picture, context)))
