"""Cross-attention in which each place of the map looks at the text of its region alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from webui.features.lora.scoped import Size


class Look(NamedTuple):
    """What some rows of a call look at in a part of the map."""

    part: int
    """Of the prompt."""
    begin: int
    """Of its tokens."""
    end: int
    share: Tensor
    """How much it has a say at each place: (h, w)."""


class Group(NamedTuple):
    """Rows of a call that look alike."""

    rows: Sequence[int]
    looks: Sequence[Look]
    merges: bool = False
    """Every two heads look as one."""


Groups = Callable[[Size], Sequence[Group]]
"""size of a map -> the rows of the present call that look at several texts; the others look at all that they are
given."""
Looking = Callable[[Sequence[int], int | None], AbstractContextManager[None]]
"""Within the block these rows alone are computed, for this part of the prompt; None: for all parts."""


class RegionalAttention:
    """In the place of an attention's processor."""

    def __init__(
        self, inner: Callable[..., Tensor], size: Callable[[], Size], groups: Groups, looking: Looking
    ) -> None:
        self.inner, self.size, self.groups, self.looking = inner, size, groups, looking

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """(rows, h * w, width) -> the same, as diffusers calls its processors."""

        def answer(x: Tensor, tokens: Tensor | None) -> Tensor:
            return self.inner(attn, x, tokens, attention_mask, temb, **more)

        size = self.size()
        groups = self.groups(size) if hidden_states.shape[1] == size[0] * size[1] else ()
        if encoder_hidden_states is None or not groups:
            return answer(hidden_states, encoder_hidden_states)
        several = {row for group in groups for row in group.rows}
        alone = [row for row in range(len(hidden_states)) if row not in several]
        made = torch.empty_like(hidden_states)
        if alone:
            with self.looking(alone, None):
                made[alone] = answer(hidden_states[alone], encoder_hidden_states[alone])
        for rows, looks, merges in groups:
            x, tokens = hidden_states[rows], encoder_hidden_states[rows]
            whole = torch.zeros_like(x)
            for part, begin, end, share in looks:
                with self.looking(rows, part), _heads_merged(attn) if merges else nullcontext():
                    whole += answer(x, tokens[:, begin:end]) * share.to(x).flatten()[:, None]
            made[rows] = whole
        return made


@contextmanager
def _heads_merged(attention: Attention) -> Iterator[None]:
    """Within the block there are half as many heads, each twice as wide; as ever, where they do not come out even."""
    heads, scale = attention.heads, attention.scale
    fewer = heads // 2
    if fewer and attention.inner_dim % fewer == 0:
        attention.heads, attention.scale = fewer, (attention.inner_dim // fewer) ** -0.5
    try:
        yield
    finally:
        attention.heads, attention.scale = heads, scale


@contextmanager
def sizes_noted(unet: nn.Module) -> Iterator[Mapping[str, Size]]:
    """Within the block: transformer of the UNet -> the size of the map that it is at."""
    seen: dict[str, Size] = {}
    with ExitStack() as undone:
        for name, module in unet.named_modules():
            if isinstance(module, Transformer2DModel):

                def noted(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = name) -> None:
                    x: Tensor = args[0] if args else kwargs["hidden_states"]
                    seen[name] = (x.shape[-2], x.shape[-1])

                undone.callback(module.register_forward_pre_hook(noted, with_kwargs=True).remove)
        yield seen


def _size_of(sizes: Mapping[str, Size], transformer: str) -> Size:
    return sizes.get(transformer, (0, 0))


@contextmanager
def attending(unet: nn.Module, sizes: Mapping[str, Size], groups: Groups, looking: Looking) -> Iterator[None]:
    """Within the block the UNet's cross-attention looks as `groups` says."""
    with ExitStack() as undone:
        for name, module in unet.named_modules():
            if not isinstance(module, Transformer2DModel):
                continue
            for block in module.modules():
                if isinstance(block, BasicTransformerBlock) and isinstance(block.attn2, Attention):
                    attention = block.attn2
                    undone.callback(setattr, attention, "processor", attention.processor)
                    size = partial(_size_of, sizes, name)
                    attention.processor = RegionalAttention(attention.processor, size, groups, looking)
        yield
