"""Phrases ranked by how well they fit a picture, by CLIP (Radford et al. 2021, arXiv:2103.00020).

The towers are told by their shapes, as `engine/control/vision.py` does it, in the names of transformers or of OpenCLIP.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from webui.engine.control import vision
from webui.engine.families import ldm
from webui.engine.families.open_clip import as_clip
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind
from webui.engine.watch import Watch
from webui.prompt.tokens import END, START, clip_tokenizer
from webui.request.interrogators import Ranking, WordList

LENGTH = 77
"""Tokens that a text may have."""
AT_ONCE = 64
"""Phrases."""
KEPT = 20
"""Lists whose phrases stay in memory as vectors."""
SCALE = 100.0
"""What CLIP's likenesses are multiplied with before they become probabilities."""
HEAD_WIDTH, OPENAI = 64, 768


@dataclass(eq=False)
class Ranker:
    """Both towers of a CLIP model."""

    seeing: vision.ImageEncoder
    reading: CLIPTextModelWithProjection
    _vectors: OrderedDict[tuple[str, ...], Tensor] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        return self.seeing.nbytes + bytes_of(self.reading)

    def completed(self, words: str, picture: Image.Image, ranking: Ranking, watch: Watch) -> str:
        """The words, and behind them the phrases of each list that fit best. picture: RGB.

        Raises:
            Interrupted: the user stopped it.
        """
        embedded = self.seeing.seen(np.asarray(picture, np.uint8)).embedded.float()
        likeness = embedded / embedded.norm(dim=-1, keepdim=True)
        total = sum(len(each.phrases) for each in ranking.lists)
        done = 0
        parts = [words] if words else []
        for each in ranking.lists:
            vectors = self._embedded(each, watch, done, total)
            done += len(each.phrases)
            fits = (SCALE * likeness @ vectors.T).softmax(-1)[0]
            best = fits.topk(min(each.top, len(each.phrases)))
            for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                phrase = each.phrases[place]
                parts.append(f"({phrase}:{score:.3f})" if ranking.ranks else phrase)
        return ", ".join(parts)

    def _embedded(self, words: WordList, watch: Watch, done: int, total: int) -> Tensor:
        """(phrases, projection), of length 1."""
        found = self._vectors.get(words.phrases)
        if found is None:
            rows: list[Tensor] = []
            for begin in range(0, len(words.phrases), AT_ONCE):
                watch.check()
                ids = _ids(words.phrases[begin : begin + AT_ONCE]).to(self.reading.device)
                said = self.reading(input_ids=ids).text_embeds.float()
                rows.append(said / said.norm(dim=-1, keepdim=True))
                watch.step(done + begin, total)
            found = torch.cat(rows)
        self._vectors[words.phrases] = found
        self._vectors.move_to_end(words.phrases)
        while len(self._vectors) > KEPT:
            self._vectors.popitem(last=False)
        return found


def _ids(phrases: tuple[str, ...]) -> Tensor:
    """(n, longest) int64: start, tokens, end, and ends as padding, which nothing before them sees."""
    encode = clip_tokenizer().encode
    rows = [[START, *encode(phrase)[: LENGTH - 2], END] for phrase in phrases]
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [END] * (longest - len(row)) for row in rows])


def _opened(path: Path, profile: Profile) -> Ranker:
    """
    Raises:
        ModelError: it is no CLIP model with both towers, or damaged.
    """
    device = torch.device(profile.device)
    dtype = torch.float32 if device.type == "cpu" else profile.half
    return Ranker(vision.opened(path, device, dtype), _reading(open_weights(path), device, dtype))


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


RANKER: ResidentKind[Ranker] = ResidentKind("ranker", open=_opened, size=lambda ranker: ranker.nbytes)
