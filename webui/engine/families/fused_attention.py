"""Attention of a UNet with one matrix product where three stand: for devices on which many small calls cost time.

The weights of query, key and value become views of one tensor, so that networks that are merged into them are merged
into the fused one, and come off again as before. Where a layer's weights lie apart again (they were moved, stored in
fp8, or somebody hooked into them), the layers are asked one by one.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


class FusedProcessor:
    """Self-attention: queries, keys and values at once; cross-attention: keys and values."""

    def __init__(self, attention: Attention) -> None:
        self.plain = AttnProcessor2_0()
        is_self = not attention.is_cross_attention
        self.layers: list[nn.Linear] = [*([attention.to_q] if is_self else []), attention.to_k, attention.to_v]
        self.weight = torch.cat([layer.weight.data for layer in self.layers])
        start = 0
        for layer in self.layers:
            rows = layer.weight.shape[0]
            layer.weight.data = self.weight[start : start + rows]
            start += rows

    @property
    def holds(self) -> bool:
        """Whether the layers' weights are still parts of the fused one, and nobody looks at what goes in or
        comes out."""
        at = self.weight.data_ptr()
        for layer in self.layers:
            weight = layer.weight
            hooked = layer._forward_pre_hooks or layer._forward_hooks
            if weight.data_ptr() != at or weight.dtype != self.weight.dtype or hooked:
                return False
            at += weight.nbytes
        return True

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **more: object,
    ) -> Tensor:
        """(b, n, width) -> (b, n, width), as diffusers calls its processors."""
        is_self = encoder_hidden_states is None
        if attention_mask is not None or is_self != (len(self.layers) == 3) or not self.holds:
            answer: Tensor = self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **more)
            return answer
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        parts = linear(seen, self.weight).chunk(len(self.layers), dim=-1)
        query = parts[0] if is_self else attn.to_q(hidden_states)
        q, k, v = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (query, *parts[-2:]))
        output: Tensor = attn.to_out[0](scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return output


def fuse(unet: UNet2DConditionModel) -> None:
    """Fuse every attention that can be; again where the weights were moved since."""
    for module in unet.modules():
        if isinstance(module, Attention) and _can(module):
            processor = module.processor
            if not (isinstance(processor, FusedProcessor) and processor.holds):
                module.processor = FusedProcessor(module)


def unfuse(unet: UNet2DConditionModel) -> None:
    """Let go of the fused weights, which would stay where they are when the layers are moved."""
    for module in unet.modules():
        if isinstance(module, Attention) and isinstance(module.processor, FusedProcessor):
            module.processor = module.processor.plain


def _can(attention: Attention) -> bool:
    layers = (attention.to_q, attention.to_k, attention.to_v)
    plain = all(type(layer) is nn.Linear and layer.bias is None for layer in layers)
    rest = (attention.spatial_norm, attention.group_norm, attention.norm_q, attention.norm_k)
    untouched = all(part is None for part in rest) and not attention.norm_cross and not attention.residual_connection
    return plain and untouched and attention.rescale_output_factor == 1 and attention.to_q.weight.is_floating_point()
