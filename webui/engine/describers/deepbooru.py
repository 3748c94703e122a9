"""What DeepDanbooru sees in a picture, from the weights file that A1111 uses.

The network is KichangKim's `resnet_custom_v3`: six stages of bottlenecks (He et al. 2015, arXiv:1512.03385), their
normalisations folded into the convolutions, with TensorFlow's paddings, which lean to the right and to the bottom. The
number of channels is what the file has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from webui.engine.families.weights import broken, load_pickle
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind
from webui.engine.upscalers.resize import FILL, fitted
from webui.engine.watch import Watch
from webui.request.interrogators import ScoredTag

BLOCKS = (3, 8, 20, 20, 3, 3)
"""Bottlenecks a stage; each stage but the first begins by halving the sides."""
COUNT = 2 + sum(1 + 3 * blocks for blocks in BLOCKS)
"""Convolutions: `n_Conv_0` to `n_Conv_178`."""
SIDE = 512
RATING = "rating:"
"""What the names of ratings begin with."""
HALVING, CENTRED = (0, 1, 0, 1), (1, 1, 1, 1)
"""What is added around: left, right, top, bottom."""


@dataclass(frozen=True, eq=False)
class DanbooruTagger:
    """The network, read as it is used."""

    tags: tuple[str, ...]
    weights: Mapping[str, Tensor]
    """`n_Conv_3.weight`, `n_Conv_3.bias`, ..."""
    device: torch.device
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self.weights.values())

    def scored(self, picture: Image.Image, watch: Watch) -> tuple[ScoredTag, ...]:
        """How likely each tag is. picture: RGB of any size.

        Raises:
            Interrupted: the user stopped it.
        """
        pixels = np.asarray(fitted(picture, SIDE, SIDE, FILL), np.float32) / 255
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device, self.dtype)
        x = self._conv(0, pad(x, (2, 3, 2, 3)), stride=2).relu()
        x = max_pool2d(pad(x, HALVING, value=float("-inf")), 3, 2)
        number, done = 1, 0
        for stage, blocks in enumerate(BLOCKS):
            for block in range(blocks):
                watch.check()
                shortcut, stride = x, 1
                if block == 0:
                    stride = 1 if stage == 0 else 2
                    shortcut = self._conv(number, x, stride)
                    number += 1
                inner = self._conv(number, x).relu()
                inner = self._conv(number + 1, pad(inner, CENTRED if stride == 1 else HALVING), stride).relu()
                x = (self._conv(number + 2, inner) + shortcut).relu()
                number, done = number + 3, done + 1
                watch.step(done, sum(BLOCKS))
        found = self._conv(number, x).float().mean((0, 2, 3)).sigmoid()
        return tuple(_tag(name, likely) for name, likely in zip(self.tags, found.tolist(), strict=True))

    def _conv(self, number: int, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.weights[f"n_Conv_{number}.weight"], self.weights.get(f"n_Conv_{number}.bias")
        if bias is not None:
            bias = bias.to(self.device, self.dtype)
        return conv2d(x, weight.to(self.device, self.dtype), bias, stride)


def _tag(name: str, likely: float) -> ScoredTag:
    rating = name.removeprefix(RATING)
    return ScoredTag(name, likely) if rating == name else ScoredTag(rating, likely, "rating")


def _opened(path: Path, profile: Profile) -> DanbooruTagger:
    """Map the file; its weights are read when they are used.

    Raises:
        ModelError: it is damaged, holds code, or is another network's.
    """
    content = load_pickle(path)
    state = content if isinstance(content, dict) else {}
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    names = [f"n_Conv_{number}.weight" for number in range(COUNT)]
    if any(name not in weights or weights[name].ndim != 4 for name in names):
        raise broken(path, "it is not DeepDanbooru's network", "The right file is model-resnet_custom_v3.pt.")
    tags = tuple(str(tag) for tag in state.get("tags") or ())
    if len(tags) != len(weights[names[-1]]):
        raise broken(path, f"it has {len(tags)} tags but {len(weights[names[-1]])} outputs")
    dtype = torch.float32 if profile.device.type == "cpu" else profile.half
    return DanbooruTagger(tags, weights, torch.device(profile.device), dtype)


DANBOORU = ResidentKind("tagger", open=_opened, size=lambda tagger: tagger.nbytes)
