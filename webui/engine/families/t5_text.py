"""T5's text encoder: tokens with emphasis, of any length. Raffel et al. 2020, arXiv:1910.10683."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from webui.engine.families.clip_text import EMPHASIS
from webui.engine.families.family import Placement, TextOptions
from webui.engine.families.ldm import check_complete, fill, unfilled
from webui.engine.families.views import View
from webui.engine.families.weights import WeightsFile
from webui.prompt.attention import Span, parse_attention

PREFIXES = ("text_encoders.t5xxl.transformer.", "")
KEY = "encoder.block.0.layer.0.SelfAttention.q.weight"
END, PADDING = 1, 0
HEAD_WIDTH = 64


def t5_view(file: WeightsFile) -> WeightsFile | None:
    """The encoder in the file, under the names of `T5EncoderModel`; None where there is none."""
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}{KEY}" in file.shapes), None)
    if prefix is None:
        return None
    view = View(file)
    for full in file.shapes:
        if full.startswith(prefix):
            view.add(full.removeprefix(prefix), full)
    if "encoder.embed_tokens.weight" not in view.result().shapes:
        view.add("encoder.embed_tokens.weight", f"{prefix}shared.weight")
    return view.result()


@dataclass(frozen=True, eq=False)
class PreparedT5:
    """The encoder without weights, and the file that has them."""

    model: T5EncoderModel
    file: WeightsFile

    @classmethod
    def of(cls, file: WeightsFile) -> PreparedT5:
        """By the shapes of a view. Raises ModelError: it is not complete."""
        blocks = {match[1] for name in file.shapes if (match := re.match(r"encoder\.block\.(\d+)\.", name))}
        inner, width = file.shapes[KEY]
        heads = file.shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"][1]
        gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in file.shapes
        forward = file.shapes[f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"][0]
        config = T5Config(
            vocab_size=file.shapes["shared.weight"][0],
            d_model=width,
            d_kv=inner // heads,
            d_ff=forward,
            num_layers=len(blocks),
            num_heads=heads,
            feed_forward_proj="gated-gelu" if gated else "relu",
        )
        with unfilled():
            model = T5EncoderModel(config)
        check_complete(model, {name: name for name in model.state_dict()}, file, "T5 text encoder")
        return cls(model, file)

    @property
    def width(self) -> int:
        return int(self.model.config.d_model)

    def load(self, placement: Placement) -> T5EncoderModel:
        """With its weights. T5 leaves float16's range: there it computes in bfloat16."""
        dtype = torch.bfloat16 if placement.dtype == torch.float16 else placement.dtype
        fill(self.model, {name: name for name in self.model.state_dict()}, self.file, placement.rest, dtype)
        return self.model


@dataclass(frozen=True, eq=False)
class T5Text:
    """Text to tokens (n, width)."""

    model: T5EncoderModel
    tokenizer: Tokenizer
    length: int
    """Texts are padded to a multiple of it, so that they can be batched."""

    @classmethod
    def of(cls, model: T5EncoderModel, tokenizer: Path, length: int) -> T5Text:
        return cls(model, Tokenizer.from_file(str(tokenizer)), length)

    def encode(self, texts: Sequence[str], options: TextOptions) -> Tensor:
        """(texts, n, width) float32, all as long as the longest needs."""
        rows = [self._tokens(text, options) for text in texts]
        longest = max(len(ids) for ids, _ in rows)
        whole = -(-longest // self.length) * self.length
        ids = torch.tensor([[*ids, *[PADDING] * (whole - len(ids))] for ids, _ in rows], device=self.model.device)
        hidden: Tensor = self.model(ids).last_hidden_state.float()
        if all(set(weights) == {1.0} for _, weights in rows):
            return hidden
        weights = torch.tensor([[*own, *[1.0] * (whole - len(own))] for _, own in rows], device=hidden.device)
        return EMPHASIS[options.emphasis](hidden, weights[..., None])

    def _tokens(self, text: str, options: TextOptions) -> tuple[list[int], list[float]]:
        spans = (Span(text, 1.0),) if options.emphasis == "None" else parse_attention(text)
        ids: list[int] = []
        weights: list[float] = []
        for span in spans:
            if span.is_break:
                continue
            found: list[int] = self.tokenizer.encode(span.text, add_special_tokens=False).ids
            ids += found
            weights += [span.weight] * len(found)
        return [*ids, END], [*weights, 1.0]
