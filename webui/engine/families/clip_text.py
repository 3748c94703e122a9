"""CLIP's text tower as A1111 drives it: chunks of 77 tokens, emphasis, clip skip, embeddings.

Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from webui.engine.families.family import Encoded, TextOptions
from webui.engine.families.ldm import unfilled
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.prompt.attention import Span, parse_attention
from webui.prompt.chunks import Chunk, chunk_tokens, embedding_finder
from webui.prompt.tokens import ClipTokenizer

HEAD_WIDTH = 64
"""Of every CLIP text tower; head counts are in no shape."""

EMPTY: tuple[Span, ...] = (Span("", 1.0),)


def clip_config(file: WeightsFile, names: Mapping[str, str]) -> CLIPTextConfig:
    """The tower's configuration by its shapes. names: without prefix -> in the file.

    Raises:
        ModelError: the tensors form no CLIP text tower.
    """
    shapes = {name: file.shapes[full] for name, full in names.items()}
    layers = {match[1] for name in shapes if (match := re.match(r"encoder\.layers\.(\d+)\.", name))}
    try:
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        positions = shapes["embeddings.position_embedding.weight"][0]
        inner = shapes["encoder.layers.0.mlp.fc1.weight"][0]
    except (KeyError, ValueError) as error:
        raise file.error(f"its text encoder is not complete (no {error})") from error
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=len(layers),
        num_attention_heads=max(width // HEAD_WIDTH, 1),
        max_position_embeddings=positions,
        hidden_act="quick_gelu",
        attn_implementation="sdpa",
    )


def build_clip(config: CLIPTextConfig) -> CLIPTextModel:
    """Without memory, on the meta device, but for the table of positions."""
    with unfilled():
        model = CLIPTextModel(config)
    model.embeddings.position_ids = torch.arange(config.max_position_embeddings)[None]
    return model


class ClipText:
    """Text to the tokens that a UNet looks at."""

    def __init__(self, model: CLIPTextModel, tokenizer: ClipTokenizer, tower: str = "clip") -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.tower = tower

    def encode(self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]) -> list[Encoded]:
        """The texts of one prompt's schedule, each (77 * chunks, width): as many chunks as the longest needs."""
        mine = {name: vectors for name, e in embeddings.items() if (vectors := self._vectors(e)) is not None}
        finder = embedding_finder({name: len(vectors) for name, vectors in mine.items()}, self.tokenizer)

        def chunked(spans: Sequence[Span]) -> tuple[Chunk, ...]:
            return chunk_tokens(
                spans, self.tokenizer, comma_backtrack=options.comma_backtrack, find_embedding=finder
            ).chunks

        prompts = [chunked(_spans(text, options.emphasis)) for text in texts]
        empty = chunked(EMPTY)[0]
        used: list[list[str]] = [[] for _ in texts]
        parts = []
        for position in range(max(len(chunks) for chunks in prompts)):
            row = [chunks[position] if position < len(chunks) else empty for chunks in prompts]
            for chunk, names in zip(row, used, strict=True):
                names.extend(fix.embedding for fix in chunk.fixes)
            parts.append(self._row(row, options, mine))
        joined = torch.cat(parts, dim=1)
        return [Encoded(tokens, embeddings=tuple(names)) for tokens, names in zip(joined, used, strict=True)]

    def _vectors(self, embedding: Embedding) -> Tensor | None:
        """The embedding's vectors for this tower, or None when it was made for another."""
        vectors = embedding.towers.get(self.tower)
        width = self.model.config.hidden_size
        return vectors if vectors is not None and vectors.shape[1] == width else None

    def _row(self, row: Sequence[Chunk], options: TextOptions, vectors: Mapping[str, Tensor]) -> Tensor:
        """The chunks at one place of all texts -> (texts, 77, width)."""
        model = self.model
        weight = model.embeddings.token_embedding.weight
        ids = torch.tensor([chunk.tokens for chunk in row], device=weight.device)
        inputs = model.embeddings.token_embedding(ids)
        for place, chunk in enumerate(row):
            for fix in chunk.fixes:
                there = vectors[fix.embedding].to(inputs)
                start = fix.offset + 1
                length = min(len(there), inputs.shape[1] - start)
                inputs[place, start : start + length] = there[:length]
        hidden = self._hidden(model.embeddings(inputs_embeds=inputs), options.clip_skip)
        if all(set(chunk.multipliers) == {1.0} for chunk in row):
            return hidden
        multipliers = torch.tensor([chunk.multipliers for chunk in row], device=hidden.device)
        return EMPHASIS.get(options.emphasis, _plain)(hidden, multipliers[..., None])

    def _hidden(self, hidden: Tensor, clip_skip: int) -> Tensor:
        """Through all layers but the last `clip_skip - 1`, and the final norm; (b, 77, width) float32."""
        layers = self.model.encoder.layers
        for layer in layers[: max(len(layers) - (clip_skip - 1), 0)]:
            hidden = layer(hidden, None, is_causal=True)
        normed: Tensor = self.model.final_layer_norm(hidden)
        return normed.float()


def _spans(text: str, emphasis: str) -> tuple[Span, ...]:
    return (Span(text, 1.0),) if emphasis == "None" else parse_attention(text)


def _plain(hidden: Tensor, _multipliers: Tensor) -> Tensor:
    return hidden


def _weighted(hidden: Tensor, multipliers: Tensor) -> Tensor:
    return hidden * multipliers


def _mean_kept(hidden: Tensor, multipliers: Tensor) -> Tensor:
    # A1111: the mean over all texts of the call together, so the variants of a schedule influence each other
    before = hidden.mean()
    weighted = hidden * multipliers
    return weighted * (before / weighted.mean())


EMPHASIS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "None": _plain,
    "Ignore": _plain,
    "No norm": _weighted,
    "Original": _mean_kept,
}


def clip_names(file: WeightsFile, *prefixes: str) -> dict[str, str]:
    """Parameter of `CLIPTextModel` -> tensor in the file; old files leave out "text_model."."""
    names: dict[str, Any] = {}
    for name, full in file.under(*prefixes).items():
        names[name.removeprefix("text_model.")] = full
    return names
