"""Both towers of a CLIP model, the one that sees and the one that reads, from a file of torch's tensors.

They are told by their shapes, as `engine/control/vision.py` does it, in the names of transformers or of OpenCLIP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from webui.engine.control import vision
from webui.engine.families import ldm
from webui.engine.families.open_clip import as_clip
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import bytes_of
from webui.engine.preprocessors.picture import Bytes
from webui.prompt.tokens import END, START, clip_tokenizer

LENGTH = 77
"""Tokens that a text may have."""
HEAD_WIDTH, OPENAI = 64, 768


class Towers(Protocol):
    """What pictures and phrases are compared by."""

    @property
    def nbytes(self) -> int: ...

    def seen(self, picture: Bytes) -> Tensor:
        """(h, w, 3) -> (1, projection), of any length, float32."""
        ...

    def read(self, phrases: tuple[str, ...]) -> Tensor:
        """(phrases, projection), of any length, float32."""
        ...


@dataclass(frozen=True, eq=False)
class TorchTowers:
    """Towers that torch carries out."""

    seeing: vision.ImageEncoder
    reading: CLIPTextModelWithProjection

    @property
    def nbytes(self) -> int:
        return self.seeing.nbytes + bytes_of(self.reading)

    def seen(self, picture: Bytes) -> Tensor:
        return self.seeing.seen(picture).embedded.float()

    def read(self, phrases: tuple[str, ...]) -> Tensor:
        said: Tensor = self.reading(input_ids=tokens_of(phrases).to(self.reading.device)).text_embeds
        return said.float()


def tokens_of(phrases: tuple[str, ...], length: int = 0) -> Tensor:
    """(n, longest) int64: start, tokens, end, and ends as padding, which nothing before them sees. length: of all of
    them, where it is not that of the longest."""
    encode = clip_tokenizer().encode
    rows = [[START, *encode(phrase)[: (length or LENGTH) - 2], END] for phrase in phrases]
    longest = length or max(len(row) for row in rows)
    return torch.tensor([row + [END] * (longest - len(row)) for row in rows])


def opened(path: Path, device: torch.device, dtype: torch.dtype) -> TorchTowers:
    """
    Raises:
        ModelError: it is no CLIP model with both towers, or damaged.
    """
    return TorchTowers(vision.opened(path, device, dtype), _reading(open_weights(path), device, dtype))


def _reading(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> CLIPTextModelWithProjection:
    """The tower that reads."""
    if "token_embedding.weight" in file.shapes:
        file, prefix = as_clip(file, ""), "text_model."
    else:
        prefix = ""
    own = "" if prefix else "text_model."
    shapes = file.shapes
    layers = {match[1] for match in map(re.compile(rf"{own}encoder\.layers\.(\d+)\..*").fullmatch, shapes) if match}
    try:
        vocabulary, width = shapes[f"{own}embeddings.token_embedding.weight"]
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=shapes[f"{own}encoder.layers.0.mlp.fc1.weight"][0],
            num_hidden_layers=len(layers),
            num_attention_heads=max(width // HEAD_WIDTH, 1),
            max_position_embeddings=shapes[f"{own}embeddings.position_embedding.weight"][0],
            projection_dim=shapes["text_projection.weight"][0],
            hidden_act="quick_gelu" if width <= OPENAI else "gelu",
            bos_token_id=START,
            eos_token_id=END,
        )
    except (KeyError, ValueError) as error:
        raise file.error(
            f"it is not a CLIP model with both of its towers (no {error})", "Put one of these into models/CLIP."
        ) from error
    with ldm.unfilled():
        model = CLIPTextModelWithProjection(config)
    places = torch.arange(config.max_position_embeddings)[None]
    for module in model.modules():
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            module.position_ids = places
    names = {name: name.removeprefix(prefix) if prefix else name for name in model.state_dict()}
    ldm.check_complete(model, names, file, "text tower")
    ldm.fill(model, names, file, device, dtype)
    return model.to(device)
