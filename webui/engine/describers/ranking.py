"""Phrases ranked by how well they fit a picture, by CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui.engine.describers import onnx_towers, towers
from webui.engine.describers.towers import Towers
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind
from webui.engine.watch import Watch
from webui.request.interrogators import Ranking, WordList

AT_ONCE = 64
"""Phrases."""
KEPT = 20
"""Lists whose phrases stay in memory as vectors."""
SCALE = 100.0
"""What CLIP's likenesses are multiplied with before they become probabilities."""


@dataclass(eq=False)
class Ranker:
    """A CLIP model, and what it has read."""

    towers: Towers
    _vectors: OrderedDict[tuple[str, ...], Tensor] = field(default_factory=OrderedDict)

    @property
    def nbytes(self) -> int:
        return self.towers.nbytes

    def completed(self, words: str, picture: Image.Image, ranking: Ranking, watch: Watch) -> str:
        """The words, and behind them the phrases of each list that fit best. picture: RGB.

        Raises:
            Interrupted: the user stopped it.
        """
        embedded = self.towers.seen(np.asarray(picture, np.uint8))
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
                said = self.towers.read(words.phrases[begin : begin + AT_ONCE])
                rows.append(said / said.norm(dim=-1, keepdim=True))
                watch.step(done + begin, total)
            found = torch.cat(rows)
        self._vectors[words.phrases] = found
        self._vectors.move_to_end(words.phrases)
        while len(self._vectors) > KEPT:
            self._vectors.popitem(last=False)
        return found


def _opened(path: Path, profile: Profile) -> Ranker:
    """
    Raises:
        ModelError: it is no CLIP model with both towers, or damaged.
    """
    device = torch.device(profile.device)
    dtype = torch.float32 if device.type == "cpu" else profile.half
    if path.suffix.lower() == ".onnx":
        return Ranker(onnx_towers.opened(path, device))
    return Ranker(towers.opened(path, device, dtype))


RANKER: ResidentKind[Ranker] = ResidentKind("ranker", open=_opened, size=lambda ranker: ranker.nbytes)
