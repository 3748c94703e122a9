"""Attention piece by piece is attention: whatever is cut, and however little memory there is."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.attention_processor import Attention
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from webui import flags
from webui.engine.families import ldm
from webui.engine.families.chunked_attention import (
    ChunkedProcessor,
    Pieces,
    Scores,
    chunked_attention,
    chunks_of,
)
from webui.request.engine_options import CHUNKED, Chunked, SubQuadratic
from webui.request.settings import ATTENTIONS, SystemSettings

ways = st.sampled_from(sorted(CHUNKED))
counts = st.integers(1, 200)


@given(counts, counts, counts, ways, st.integers(0, 100_000), st.integers(0, 300))
def test_scores_at_one_time_stay_within_what_is_free(
    heads: int, queries: int, keys: int, way: Chunked, free: int, most: int
) -> None:
    found = chunks_of(way, Scores(heads, queries, keys, 4), free, SubQuadratic(max(most, 1), most))
    assert 1 <= found.heads <= heads and 1 <= found.queries <= queries and 1 <= found.keys <= keys
    at_once = found.heads * found.queries * found.keys * 4
    if way in ("doggettx", "invokeai"):
        assert at_once <= free or found.queries == 1
    if way == "sub-quadratic":
        assert at_once <= free or found.keys <= max(most, keys**0.5)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.data())
def test_whatever_is_cut_the_result_is_that_of_the_whole(heads: int, n: int, m: int, data: st.DataObject) -> None:
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    q, k, v = (6 * torch.randn(2, heads, size, 4, generator=random) for size in (n, m, m))
    chunks = Pieces(*(data.draw(st.integers(1, most)) for most in (2 * heads, n, m)))
    found = chunked_attention(q, k, v, chunks)
    assert torch.allclose(found, scaled_dot_product_attention(q, k, v), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", sorted(CHUNKED))
@pytest.mark.parametrize("context", [None, 77])
def test_a_layer_answers_as_with_torch_s_own_attention(
    way: Chunked, context: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.engine.families.chunked_attention.ON_HOST", 5000)
    random = torch.Generator().manual_seed(1)
    plain = Attention(16, cross_attention_dim=context and 12, heads=4, dim_head=8).requires_grad_(False)
    cut = copy.deepcopy(plain)
    cut.set_processor(ChunkedProcessor(way, SubQuadratic(16)))
    x = torch.randn(2, 50, 16, generator=random)
    text = torch.randn(2, context, 12, generator=random) if context else None
    assert torch.allclose(cut(x, text), plain(x, text), atol=1e-5)
    mask = torch.zeros(8, 1, context or 50)
    assert torch.equal(cut(x, text, attention_mask=mask), plain(x, text, attention_mask=mask))


def test_half_precision_with_large_scores_stays_finite() -> None:
    q, k, v = (100 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(n)).half() for n in range(3))
    assert chunked_attention(q, k, v, Pieces(1, 4, 2)).isfinite().all()


def test_each_of_a1111_s_names_does_what_it_says() -> None:
    said = {name: SystemSettings(cross_attention_optimization=name).attention for name in ATTENTIONS}
    assert said["sub-quadratic"] == "sub-quadratic" and said["Doggettx"] == "doggettx"
    assert {said["V1 - original v1"], said["InvokeAI"]} == {"v1", "invokeai"}
    unet = ldm.build_unet({"block_out_channels": (32, 32), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                           "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 8,
                           "attention_head_dim": 4, "layers_per_block": 1})  # fmt: skip
    for way in CHUNKED:
        processors = ldm.with_attention(unet, way, SubQuadratic(7)).attn_processors.values()
        assert all(isinstance(each, ChunkedProcessor) and each.way == way for each in processors)
        assert all(each.sub_quadratic.queries == 7 for each in processors)


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("--opt-sub-quad-attention", "sub-quadratic"),
        ("--opt-split-attention", "doggettx"),
        ("--opt-split-attention-v1", "v1"),
        ("--opt-split-attention-invokeai", "invokeai"),
        ("--opt-split-attention-v1 --opt-sub-quad-attention", "sub-quadratic"),
        ("--opt-sdp-attention --opt-split-attention", "doggettx"),
        ("--opt-sub-quad-attention --xformers", "xformers"),
    ],
)
def test_of_several_flags_the_first_in_a1111_s_order_counts(line: str, way: str) -> None:
    assert flags.read(line.split()).engine.attention == way


def test_the_sizes_of_pieces_come_from_flags() -> None:
    line = "--sub-quad-q-chunk-size 256 --sub-quad-kv-chunk-size 64 --sub-quad-chunk-threshold 50"
    assert flags.read(line.split()).engine.sub_quadratic == SubQuadratic(256, 64, 0.5)
    assert chunks_of("sub-quadratic", Scores(1, 500, 500, 4), 10**9, SubQuadratic(256, 64, 0.0)) == (1, 256, 64)
