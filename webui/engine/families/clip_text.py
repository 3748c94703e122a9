"""CLIP's text tower as A1111 drives it: chunks of 77 tokens, emphasis, clip skip, embeddings.

Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from webui.engine.families.family import Encoded, Placement, TextOptions
from webui.engine.families.ldm import check_complete, fill, unfilled
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.prompt.attention import Span, parse_attention
from webui.prompt.chunks import Chunks, PromptChunk, chunk_tokens, chunk_with_brackets, embedding_finder
from webui.prompt.tokens import END, ClipTokenizer

TOKENS = 77
"""Of a chunk."""
HEAD_WIDTH = 64
"""Of every CLIP text tower; head counts are in no shape."""


def clip_config(file: WeightsFile, activation: str) -> CLIPTextConfig:
    """The tower's configuration by the shapes of a view.

    Raises:
        ModelError: the tensors form no CLIP text tower.
    """
    shapes = file.shapes
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
        hidden_act=activation,
        attn_implementation="sdpa",
    )


@dataclass(frozen=True, eq=False)
class PreparedClip:
    """A tower without weights, and the file in whose names they are found."""

    model: CLIPTextModel
    file: WeightsFile

    @classmethod
    def of(cls, file: WeightsFile, *, activation: str = "quick_gelu", pooled: bool = False) -> PreparedClip:
        """By the shapes of a view of the file. pooled: with the projection of the pooled text.

        Raises:
            ModelError: it is not complete.
        """
        config = clip_config(file, activation)
        model = build_clip(config)
        if pooled:
            width = file.shapes.get("text_projection.weight", (config.hidden_size,))[0]
            with unfilled():
                model.text_projection = nn.Linear(config.hidden_size, width, bias=False)
        check_complete(model, _same(model), file, "text encoder")
        return cls(model, file)

    @property
    def pooled_width(self) -> int:
        return int(self.model.text_projection.out_features)

    def load(self, placement: Placement) -> CLIPTextModel:
        """With its weights."""
        fill(self.model, _same(self.model), self.file, placement.rest, placement.dtype)
        return self.model.to(placement.rest)  # the table of positions is no weight


def _same(model: nn.Module) -> dict[str, str]:
    return {name: name for name in model.state_dict()}


def build_clip(config: CLIPTextConfig) -> CLIPTextModel:
    """Without memory, on the meta device, but for the table of positions."""
    with unfilled():
        model = CLIPTextModel(config)
    model.embeddings.position_ids = torch.arange(config.max_position_embeddings)[None]
    return model


@dataclass(frozen=True, eq=False)
class ClipText:
    """Text to the tokens that a UNet looks at."""

    model: CLIPTextModel
    """With a `text_projection` where the pooled text is projected."""
    tokenizer: ClipTokenizer
    tower: str = "clip"
    """As textual inversion files name it."""
    left_out: Callable[[TextOptions], int] = lambda options: options.clip_skip - 1
    """How many of the last layers have no say."""
    normed: bool = True
    """The final norm acts on what comes out, whichever layer it is of."""
    zeros_behind_end: bool = False
    """Padded with token 0, as OpenCLIP does, not with the end token."""
    pooled: bool = False
    """The text as one vector comes out too; projected where the model has a projection."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"text": self.model}

    def encode(self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]) -> list[Encoded]:
        """The texts of one prompt's schedule, each (77 * chunks, width): as many chunks as the longest needs.

        The pooled text, where there is one, is the first chunk's: (embedding,).
        """
        mine = {name: vectors for name, e in embeddings.items() if (vectors := self._vectors(e)) is not None}
        finder = embedding_finder({name: len(vectors) for name, vectors in mine.items()}, self.tokenizer)

        def chunked(text: str) -> Chunks:
            weighs = options.emphasis != "None"
            if options.old_emphasis:
                alone = chunk_with_brackets(text, self.tokenizer, emphasis=weighs, find_embedding=finder)
                return Chunks((alone,), 0, (1,))
            spans = parse_attention(text) if weighs else (Span(text, 1.0),)
            backtrack = options.comma_backtrack
            return chunk_tokens(spans, self.tokenizer, comma_backtrack=backtrack, find_embedding=finder)

        known = [chunked(text) for text in texts]
        prompts = [each.chunks for each in known]
        empty = chunked("").chunks[0]
        used: list[list[str]] = [[] for _ in texts]
        parts = []
        pooled: Tensor | None = None
        for position in range(max(len(chunks) for chunks in prompts)):
            row = [chunks[position] if position < len(chunks) else empty for chunks in prompts]
            for chunk, names in zip(row, used, strict=True):
                names.extend(fix.embedding for fix in chunk.fixes)
            hidden, whole = self._row(row, options, mine)
            parts.append(hidden)
            pooled = whole if pooled is None else pooled
        joined = torch.cat(parts, dim=1)
        whole_texts: Sequence[Tensor | None] = [None] * len(texts) if pooled is None else list(pooled)
        return [
            Encoded(
                tokens,
                vector,
                tuple(names),
                tuple(end * TOKENS for end in each.ends),
                tuple(chain.from_iterable(chunk.tokens for chunk in each.chunks)),
            )
            for tokens, vector, names, each in zip(joined, whole_texts, used, known, strict=True)
        ]

    def _vectors(self, embedding: Embedding) -> Tensor | None:
        """The embedding's vectors for this tower, or None when it was made for another."""
        vectors = embedding.towers.get(self.tower)
        width = self.model.config.hidden_size
        return vectors if vectors is not None and vectors.shape[1] == width else None

    def _row(
        self, row: Sequence[PromptChunk], options: TextOptions, vectors: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """The chunks at one place of all texts -> (texts, 77, width), and the pooled texts (texts, embedding)."""
        model = self.model
        weight = model.embeddings.token_embedding.weight
        ids = torch.tensor([self._padded(chunk.tokens) for chunk in row], device=weight.device)
        inputs = model.embeddings.token_embedding(ids)
        for place, chunk in enumerate(row):
            for fix in chunk.fixes:
                there = vectors[fix.embedding].to(inputs)
                start = fix.offset + 1
                length = min(len(there), inputs.shape[1] - start)
                inputs[place, start : start + length] = there[:length]
        hidden, pooled = self._hidden(model.embeddings(inputs_embeds=inputs), ids, self.left_out(options))
        if all(set(chunk.multipliers) == {1.0} for chunk in row):
            return hidden, pooled
        multipliers = torch.tensor([chunk.multipliers for chunk in row], device=hidden.device)
        return EMPHASIS.get(options.emphasis, _plain)(hidden, multipliers[..., None]), pooled

    def _padded(self, tokens: Sequence[int]) -> list[int]:
        if not self.zeros_behind_end:
            return list(tokens)
        end = tokens.index(END) + 1
        return [*tokens[:end], *[0] * (len(tokens) - end)]

    def _hidden(self, hidden: Tensor, ids: Tensor, left_out: int) -> tuple[Tensor, Tensor | None]:
        """Through all layers but the last, (b, 77, width) float32; and the pooled text through all of them."""
        model = self.model
        layers = model.encoder.layers
        taken = max(len(layers) - left_out, 0)
        for layer in layers[:taken]:
            hidden = layer(hidden, None, is_causal=True)
        pooled = None
        if self.pooled:
            last = hidden
            for layer in layers[taken:]:
                last = layer(last, None, is_causal=True)
            ends = (ids == END).int().argmax(dim=1)
            rows = torch.arange(len(ids), device=ids.device)
            pooled = model.final_layer_norm(last)[rows, ends]
            pooled = (model.text_projection(pooled) if hasattr(model, "text_projection") else pooled).float()
        if self.normed:
            hidden = model.final_layer_norm(hidden)
        return hidden.float(), pooled


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


def clip_view(file: WeightsFile, *prefixes: str) -> WeightsFile:
    """The tower below the first prefix that the file has, under the names of `CLIPTextModel`; A1111: in old files
    "text_model." is left out."""
    names = {name.removeprefix("text_model."): full for name, full in file.under(*prefixes).items()}
    shapes = {name: file.shapes[full] for name, full in names.items()}
    return replace(file, shapes=shapes, tensor=lambda name: file.tensor(names[name]))
