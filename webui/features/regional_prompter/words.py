"""Where the words of a prompt are looked at: cross-attention tells which places of the map each token counts for.

Hertz et al. 2022, arXiv:2208.01626, section 3, whose maps these are. How they are brought together follows the
extension sd-webui-regional-prompter: over all layers and calls, and thresholded by their share of the greatest value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn.functional import interpolate

from webui.engine.control.image_prompts import cross_attentions
from webui.features.lora.scoped import Size

FALLING = 0.005
"""What a threshold loses with each step."""
POWER, POWER_XL = 1.2, 4.0
"""By which a look counts; the second of SDXL."""
Hear = Callable[[Attention, Tensor, Tensor, Size], None]
"""(attention, what looks: (rows, h * w, width), what it looks at: (rows, tokens, width), size of the map)."""


class WordMap:
    """How much each place of a picture looks at the words of each region, from pass to pass."""

    def __init__(self, thresholds: Sequence[float], shares: Sequence[float], *, overwrites: bool, adds: bool) -> None:
        """thresholds, shares: one a region; shares: of the base prompt in it. overwrites: a later region takes its
        place from those before. adds: where regions overlap each has its whole say, and the base one time less."""
        self.thresholds = torch.tensor(thresholds)[:, None, None]
        self.shares = torch.tensor(shares)[:, None, None]
        self.overwrites, self.adds = overwrites, adds
        self.looks: Tensor | None = None
        """(regions, h, w)"""
        self.size: Size | None = None
        """That of the first layer of this pass, which all others are brought to."""
        self.known: Tensor | None = None
        """Where the regions are in the present call, (regions, h, w), 0 or 1."""
        self.laid: dict[Size, Tensor] = {}

    def add(self, looks: Tensor) -> None:
        """looks: (regions, h, w) of one layer."""
        self.size = self.size or (looks.shape[-2], looks.shape[-1])
        now, before = _at_size(looks.float(), self.size), self.looks
        self.looks = now if before is None else _at_size(before, self.size).to(now.device) + now

    def find(self, step: int) -> None:
        """Say where the regions are, by all that was heard until this step."""
        self.laid.clear()
        if self.looks is not None:
            looks = self.looks.cpu()
            most = looks.amax(dim=(-2, -1), keepdim=True)
            found = looks / most.clamp(min=1e-30) > self.thresholds - step * FALLING
            self.known = (found & (most > 0)).float()

    def areas(self, size: Size) -> Tensor:
        """How much the base and each region have a say in a map of this size, (1 + regions, h, w), together 1
        everywhere."""
        if size not in self.laid:
            none = torch.zeros(len(self.shares), *size)
            self.laid[size] = self._weighed(none if self.known is None else interpolate(self.known[None], size=size)[0])
        return self.laid[size]

    def _weighed(self, masks: Tensor) -> Tensor:
        if self.overwrites:
            behind = (1 - masks.flip(0)).cumprod(dim=0).flip(0)  # where no region from this one on is
            masks = masks * torch.cat([behind[1:], torch.ones_like(masks[:1])])
        elif not self.adds:
            masks = masks / masks.sum(dim=0).clamp(min=1)
        regions = masks * (1 - self.shares)
        return torch.cat([1 - regions.sum(dim=0, keepdim=True), regions])


class WordMaps:
    """Those of a batch."""

    def __init__(self, maps: Sequence[WordMap | None]) -> None:
        self.maps = maps
        """One a picture; None: it has no regions."""
        self.beginning: tuple[Tensor, Tensor] | None = None
        """x and sigma of the batch's first call."""
        self.has_begun_again = False
        self.step = 0

    def enter(self) -> None:
        """A pass begins, perhaps of another size."""
        for each in self.maps:
            if each is not None:
                each.size = None

    @property
    def are_heard(self) -> bool:
        return any(each is not None and each.looks is not None for each in self.maps)

    def find(self) -> None:
        """Say where the regions are, by all that was heard until now."""
        for each in self.maps:
            if each is not None:
                each.find(self.step)

    def call_of(self, x: Tensor, sigma: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """What the network is asked in the place of this. As soon as the regions are known, that is the beginning once
        more, as the extension has it."""
        self.beginning = self.beginning or (x, sigma)
        self.step = step
        if not self.are_heard:
            return x, sigma
        self.find()
        if self.has_begun_again:
            return x, sigma
        self.has_begun_again = True
        return self.beginning


def _at_size(maps: Tensor, size: Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def looked_at(attention: Attention, x: Tensor, tokens: Tensor, places: Sequence[Sequence[int]], power: float) -> Tensor:
    """How much each place looks at the tokens at some places: x (rows, h * w, width), tokens (rows, n, width) ->
    (rows, words, h * w), the mean over the heads."""
    heads = attention.heads
    q, k = (layer(each) for layer, each in ((attention.to_q, x), (attention.to_k, tokens)))
    q, k = (each.unflatten(-1, (heads, -1)).transpose(1, 2).float() for each in (q, k))
    share = ((q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])).softmax(dim=-1) ** power
    return torch.stack([share[..., list(each)].sum(dim=-1).mean(dim=1) for each in places], dim=1)


@contextmanager
def heard(unet: nn.Module, sizes: Mapping[str, Size], hear: Hear) -> Iterator[None]:
    """Within the block each cross-attention tells what looks at what."""
    with ExitStack() as hooks:
        for name, attention in cross_attentions(unet).items():
            around = name.split(".transformer_blocks.")[0]
            hook = partial(_told, sizes=sizes, transformer=around, hear=hear)
            hooks.callback(attention.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


def _told(
    attention: Attention,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    sizes: Mapping[str, Size],
    transformer: str,
    hear: Hear,
) -> None:
    x: Tensor = args[0] if args else kwargs["hidden_states"]
    tokens: Tensor | None = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
    size = sizes.get(transformer)
    if tokens is not None and size is not None and x.shape[1] == size[0] * size[1]:
        hear(attention, x, tokens, size)
