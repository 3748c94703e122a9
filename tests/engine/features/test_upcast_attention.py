"""Attention in 32 bits: it does not overflow, and nothing is left behind."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, SlicedAttnProcessor
from torch.nn.functional import scaled_dot_product_attention

from webui.features.upcast_attention.engine import InFullPrecision, upcast


def test_it_answers_in_the_precision_that_it_was_asked_in() -> None:
    q, k, v = (torch.randn(1, 2, 6, 8, generator=torch.Generator().manual_seed(n)).half() for n in range(3))
    exact = scaled_dot_product_attention(q.float(), k.float(), v.float()).half()
    with InFullPrecision():
        found = scaled_dot_product_attention(q, k, value=v)
        assert torch.equal((q + k).float(), q.float().add(k.float()).half().float())
    assert found.dtype == torch.float16 and torch.equal(found, exact)


@pytest.mark.parametrize("processor", [AttnProcessor2_0(), SlicedAttnProcessor(1)])
def test_scores_that_16_bits_cannot_hold(processor: AttnProcessor2_0 | SlicedAttnProcessor) -> None:
    layer = Attention(8, heads=2, dim_head=4, processor=processor).to(torch.bfloat16).requires_grad_(False)
    x = 300 * torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    plain = layer(x)
    with upcast(layer):
        within = layer(x)
    assert within.dtype == torch.bfloat16 and within.isfinite().all()
    assert torch.equal(layer(x), plain) and not layer.upcast_attention
    with pytest.raises(KeyError), upcast(layer):
        raise KeyError
    assert torch.equal(layer(x), plain)
