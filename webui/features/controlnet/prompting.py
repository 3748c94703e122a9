"""A unit with an IP-Adapter in one pass: in each call the UNet looks at the unit's pictures beside the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from webui.base.errors import UserError
from webui.engine.batch import Loaded
from webui.engine.control.face_prompts import FacePrompt
from webui.engine.control.image_prompts import Acting, ImagePrompt, ImageTokens
from webui.engine.control.lllite import grid_of
from webui.engine.control.networks import Control
from webui.engine.control.vision import IMAGE_ENCODER, chosen
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import PassContext
from webui.engine.preprocessors.picture import Bytes
from webui.features.controlnet.borrowing import Borrowing
from webui.features.controlnet.facing import bends, faces_shown_to
from webui.features.controlnet.network import acts_in
from webui.features.controlnet.parameters import (
    COMPOSITION,
    EASE_IN,
    EASE_IN_OUT,
    EASE_OUT,
    REVERSE_IN_OUT,
    STRONG_MIDDLE,
    STRONG_STYLE,
    STYLE,
    WEAK_INPUT,
    WEAK_MIDDLE,
    WEAK_OUTPUT,
    Params,
)

EASED = 0.05
"""How much of the weight is left where it is least."""
WEAK = 0.2
ENCODING: Mapping[int, int] = MappingProxyType({16: 6, 11: 4})
"""Blocks with attention of a UNet (SD1 and SD2; SDXL) -> how many of them come before its middle."""
STYLES: Mapping[int, frozenset[int]] = MappingProxyType(
    {16: frozenset({0, 1, 2, 3, *range(9, 16)}), 11: frozenset({6})}
)
"""Likewise -> the ranks of those that make the style."""
COMPOSITIONS: Mapping[int, Mapping[int, float]] = MappingProxyType({16: {4: 0.25, 5: 1.0}, 11: {3: 1.0}})
"""Likewise -> the ranks of those that make the composition, and how much of the weight they get."""


def shown_to(
    prompt: ImagePrompt | FacePrompt, wish: Params, pictures: Sequence[Bytes], context: PassContext
) -> ImageTokens | None:
    """What a network is told of a unit's pictures; None: it follows a face, and there is none in any.

    Raises:
        ModelError: the image encoder that it was trained with, or what recognises faces, is missing, or damaged.
    """
    if isinstance(prompt, FacePrompt):
        return faces_shown_to(prompt, wish, pictures, context)
    residents = context.services.residents
    assert residents is not None
    with residents.lend(IMAGE_ENCODER, chosen(wish.towers, prompt.tower)) as encoder:
        return prompt.told(encoder, [encoder.seen(each) for each in pictures])


class Prompting(Borrowing):
    """A1111's extension: control modes mean nothing here."""

    def __init__(self, params: Params, context: PassContext, pictured: ImageTokens, region: Tensor | None) -> None:
        """region: (1, 1, h, w), 0 to 1."""
        super().__init__(params, context)
        self.pictured, self.region = pictured, region
        self.acting = Acting(self._weight)
        self.acting.is_bounded, self.acting.bends = region is not None, bends(context)

    def beside(self, lent: Control, loaded: Loaded) -> AbstractContextManager[None]:
        assert isinstance(lent, ImagePrompt | FacePrompt)
        return lent.beside(loaded.model.parts["unet"], self.pictured, self.acting)

    def asking(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            acting = self.acting
            acting.is_on = acts_in(self.params, call)
            acting.positive = torch.tensor([int(row.side == "positive") for row in call.rows])
            acting.region = self._region_of(call)
            try:
                return ask(call)
            finally:
                acting.is_on = False

        return asked

    def _region_of(self, call: Call) -> Callable[[int], Tensor | None]:
        size = (call.x.shape[-2], call.x.shape[-1])
        kept: dict[int, Tensor] = {}

        def at(count: int) -> Tensor | None:
            if self.region is None:
                return None
            if count not in kept:
                region = self.region.to(call.x.device)
                if call.windows:
                    width, height = self.context.this.size
                    factor = self.context.loaded.model.latent.factor
                    latents = (height // factor, width // factor)
                    region = call.cut(interpolate(region, size=latents, mode="bilinear"))
                grid = grid_of(count, size)
                if grid is None:
                    raise UserError(
                        "An effective region cannot be used together with token merging.",
                        hint="Set Token merging ratio to 0, or remove the mask of the region.",
                        field="features",
                    )
                kept[count] = interpolate(region, size=grid, mode="bilinear").flatten(2).transpose(1, 2)
            return kept[count]

        return at

    def _weight(self, rank: int, count: int) -> float:
        own = self.params.layer_weights
        if own is not None:
            return own[rank] if rank < len(own) else 0.0
        return self.params.weight * share(self.params.weight_type, rank, count)


def share(weight_type: str, rank: int, count: int) -> float:
    """The part of the weight that counts in a block. rank: of `count` blocks with attention, in the order of calls.

    Easing, weak and strong parts: as ComfyUI's users know them, from the IPAdapter nodes. Style and composition:
    Wang et al. 2024, InstantStyle, arXiv:2404.02733.
    """
    before = ENCODING.get(count, (count - 1) * 2 // 5)
    part = "input" if rank < before else "middle" if rank == before else "output"
    place, off_middle = rank / count, abs(rank - count / 2) / (count / 2)
    composes = COMPOSITIONS.get(count, {})
    shares = {
        EASE_IN: EASED + (1 - EASED) * (1 - place),
        EASE_OUT: EASED + (1 - EASED) * place,
        EASE_IN_OUT: EASED + (1 - EASED) * (1 - off_middle),
        REVERSE_IN_OUT: EASED + (1 - EASED) * off_middle,
        WEAK_INPUT: WEAK if part == "input" else 1.0,
        WEAK_MIDDLE: WEAK if part == "middle" else 1.0,
        WEAK_OUTPUT: WEAK if part == "output" else 1.0,
        STRONG_MIDDLE: 1.0 if part == "middle" else WEAK,
        STYLE: float(rank in STYLES.get(count, {rank})),
        COMPOSITION: composes.get(rank, 0.0 if composes else 1.0),
        STRONG_STYLE: float(rank not in composes),
    }
    return shares.get(weight_type, 1.0)
