"""Attention whose scores are never in memory as a whole: of some heads, some queries and some keys at a time.

The result is that of attention as a whole, up to rounding. A1111's choices of the setting
`cross_attention_optimization` differ in what is cut (`chunks_of`). What is cut along the keys is summed up by way of
the largest score so far: Rabe, Staats 2021, arXiv:2112.05682, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from webui.request.engine_options import USUAL, Chunked, SubQuadratic

ON_HOST = 2**30
"""Bytes for the scores on devices that do not tell how much memory is free."""
SPARED = 0.7
"""The share of free memory that scores may take."""


class Pieces(NamedTuple):
    """How much is seen at a time."""

    heads: int
    """Of all pictures together."""
    queries: int
    keys: int


@dataclass(frozen=True)
class Scores:
    """What the scores of one attention would take as a whole."""

    heads: int
    queries: int
    keys: int
    width: int
    """Bytes of a score."""

    @property
    def row(self) -> int:
        """Bytes of one query's scores of one head."""
        return self.keys * self.width

    @property
    def bytes(self) -> int:
        return self.heads * self.queries * self.row


def chunks_of(way: Chunked, scores: Scores, free: int, sub_quadratic: SubQuadratic = USUAL) -> Pieces:
    """What is seen at a time. free: bytes that the scores may take.

    V1: two heads after another, all queries. Doggettx: all heads; queries in halves, until they fit. InvokeAI: all at
    once where that fits, else head by head, and queries as far as they fit. Sub-quadratic: so many queries at a time,
    and keys where even these need too much.
    """
    heads, queries, keys = scores.heads, scores.queries, scores.keys
    if way == "v1":
        return Pieces(min(2, heads), queries, keys)
    if way == "doggettx":
        parts = 2 ** math.ceil(math.log2(max(scores.bytes / max(free, 1), 1)))
        return Pieces(heads, max(queries // parts, 1), keys)
    if way == "invokeai":
        if scores.bytes <= free:
            return Pieces(heads, queries, keys)
        return Pieces(1, max(min(free // scores.row, queries), 1), keys)
    seen = min(sub_quadratic.queries, queries)
    if heads * seen * scores.row <= free * sub_quadratic.share:
        return Pieces(heads, seen, keys)
    return Pieces(heads, seen, min(sub_quadratic.keys or max(math.isqrt(keys), 1), keys))


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, chunks: Pieces) -> Tensor:
    """(b, h, n, d), twice (b, h, m, d) -> (b, h, n, d), as torch's scaled_dot_product_attention answers."""
    shape = q.shape
    q, k, v = (each.flatten(0, 1) for each in (q * shape[-1] ** -0.5, k, v))
    answer = torch.empty_like(q)
    for first in range(0, q.shape[0], chunks.heads):
        some = slice(first, first + chunks.heads)
        for begin in range(0, q.shape[1], chunks.queries):
            rows = slice(begin, begin + chunks.queries)
            answer[some, rows] = _of_keys(q[some, rows], k[some], v[some], chunks.keys)
    return answer.reshape(shape)


def _of_keys(q: Tensor, k: Tensor, v: Tensor, count: int) -> Tensor:
    """(h, n, d) -> (h, n, d); q is scaled already."""
    if count >= k.shape[1]:
        return (q @ k.transpose(1, 2)).softmax(dim=-1) @ v
    largest = q.new_full((*q.shape[:2], 1), -torch.inf, dtype=torch.float32)
    total, answer = torch.zeros_like(largest), torch.zeros_like(q, dtype=torch.float32)
    for begin in range(0, k.shape[1], count):
        keys = slice(begin, begin + count)
        scores = (q @ k[:, keys].transpose(1, 2)).float()
        larger = torch.maximum(largest, scores.amax(dim=-1, keepdim=True))
        kept = (largest - larger).exp()
        weights = (scores - larger).exp()
        total = total * kept + weights.sum(dim=-1, keepdim=True)
        answer = answer * kept + weights @ v[:, keys].float()
        largest = larger
    return (answer / total).to(q.dtype)


def free_for_scores(device: torch.device) -> int:
    """Bytes, of what nobody has taken now."""
    if device.type != "cuda":
        return ON_HOST
    own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int((torch.cuda.mem_get_info(device)[0] + own) * SPARED)


class ChunkedProcessor:
    """Computes an attention layer of diffusers so."""

    def __init__(self, way: Chunked, sub_quadratic: SubQuadratic = USUAL) -> None:
        self.way, self.sub_quadratic = way, sub_quadratic
        self.plain = AttnProcessor2_0()

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
        parts = (attn.spatial_norm, attn.group_norm, attn.norm_q, attn.norm_k)
        odd = attn.norm_cross or attn.residual_connection or attn.rescale_output_factor != 1
        if attention_mask is not None or hidden_states.ndim != 3 or odd or any(part is not None for part in parts):
            answer: Tensor = self.plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **more)
            return answer
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            layer(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, states in ((attn.to_q, hidden_states), (attn.to_k, seen), (attn.to_v, seen))
        )
        if attn.upcast_attention:
            q, k, v = q.float(), k.float(), v.float()
        scores = Scores(q.shape[0] * q.shape[1], q.shape[2], k.shape[2], q.element_size())
        chunks = chunks_of(self.way, scores, free_for_scores(q.device), self.sub_quadratic)
        found = chunked_attention(q, k, v, chunks).to(hidden_states.dtype)
        output: Tensor = attn.to_out[0](found.transpose(1, 2).flatten(2))
        return output
