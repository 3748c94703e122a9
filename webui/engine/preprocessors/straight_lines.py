"""M-LSD: straight lines, as of buildings and rooms.

Gu et al. 2021, arXiv:2106.00186, over MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with the padding of
TensorFlow Lite. The file is mlsd_large_512_fp32.pth.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import BatchNorm, count_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

HALVED = frozenset({0, 2, 4, 7})
"""The layers of the backbone that halve the size."""
LOOKED_AT = (1, 3, 6, 10, 13)
"""Those whose planes are joined, from the finest."""
ANSWERS = 7
"""The first of the network's planes that is of use: how sure it is of a line's middle there, then the way from there to
both ends."""
MOST = 200
"""Lines in a picture."""
APART = 5
"""Pixels between the kernel's places where the network looks around at last."""
SCALE = 2
"""Pixels of the picture for one of the network's answers."""


class LimitedConvolution(nn.Sequential):
    """With its normalization and an activation that ends at 6."""

    def __init__(self, shape: tuple[int, ...], *, halves: bool = False) -> None:
        out, own, side, _ = shape
        groups = out if own == 1 and out > 1 else 1
        self.halves = halves
        layer = nn.Conv2d(
            own * groups, out, side, 2 if halves else 1, 0 if halves else side // 2, groups=groups, bias=False
        )
        super().__init__(layer, BatchNorm(out), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, (0, 1, 0, 1)) if self.halves else x
        for layer in self:
            x = layer(x)
        return x


class Inverted(nn.Module):
    """Wider inside than outside."""

    def __init__(self, file: WeightsFile, name: str, *, halves: bool) -> None:
        super().__init__()
        shapes = file.shapes
        count = sum(f"{name}.conv.{at}.0.weight" in shapes for at in range(2))
        parts: list[nn.Module] = [
            LimitedConvolution(shapes[f"{name}.conv.{at}.0.weight"], halves=halves and at == count - 1)
            for at in range(count)
        ]
        out, inner, *_ = shapes[f"{name}.conv.{count}.weight"]
        given = shapes[f"{name}.conv.0.0.weight"][1 if count > 1 else 0]
        self.conv = nn.Sequential(*parts, nn.Conv2d(inner, out, 1, bias=False), BatchNorm(out))
        self.adds = not halves and given == out

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x)
        return x + made if self.adds else made


class Backbone(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        count = count_of(file, r"backbone\.features\.(\d+)\.")
        first = LimitedConvolution(file.shapes["backbone.features.0.0.weight"], halves=True)
        names = [f"backbone.features.{at}" for at in range(1, count)]
        rest = (Inverted(file, name, halves=at in HALVED) for at, name in enumerate(names, 1))
        self.features = nn.ModuleList([first, *rest])

    def forward(self, x: Tensor) -> list[Tensor]:
        seen: list[Tensor] = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in LOOKED_AT:
                seen.append(x)
        return seen


def _normed(file: WeightsFile, name: str, apart: int = 1) -> nn.Sequential:
    out, given, side, _ = file.shapes[f"{name}.0.weight"]
    layer = nn.Conv2d(given, out, side, padding=side // 2 * apart, dilation=apart)
    return nn.Sequential(layer, BatchNorm(out), nn.ReLU())


class Joined(nn.Module):
    """A finer level beside what coarser ones gave."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = _normed(file, f"{name}.conv1"), _normed(file, f"{name}.conv2")

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        coarse, fine = self.conv1(coarse), self.conv2(fine)
        if coarse.shape[-2:] != fine.shape[-2:]:
            coarse = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=True)
        return torch.cat([fine, coarse], dim=1)


class Refined(nn.Module):
    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = _normed(file, f"{name}.conv1"), _normed(file, f"{name}.conv2")

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv2(self.conv1(x) + x)
        return made


class Answering(nn.Module):
    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = _normed(file, f"{name}.conv1", APART), _normed(file, f"{name}.conv2")
        out, given, *_ = file.shapes[f"{name}.conv3.weight"]
        self.conv3 = nn.Conv2d(given, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv3(self.conv2(self.conv1(x)))
        return made


class StraightLines(nn.Module):
    """(1, 4, h, w), the picture in -1..1 and a plane of ones -> (1, 5, h / 2, w / 2): how sure a line has its middle
    there, before the sigmoid, and the way (x, y) from there to its start and to its end."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.backbone = Backbone(file)
        for number in range(15, 23, 2):
            self.add_module(f"block{number}", Joined(file, f"block{number}"))
            self.add_module(f"block{number + 1}", Refined(file, f"block{number + 1}"))
        self.block23 = Answering(file, "block23")

    def forward(self, picture: Tensor) -> Tensor:
        *finer, x = self.backbone(picture)
        for number, fine in zip(range(15, 23, 2), reversed(finer), strict=True):
            x = self.get_submodule(f"block{number + 1}")(self.get_submodule(f"block{number}")(fine, x))
        answers: Tensor = self.block23(x)
        return answers[:, ANSWERS : ANSWERS + 5]


MLSD = network_kind("M-LSD network", StraightLines)


def mlsd(picture: Bytes, options: Options) -> Bytes:
    """a: how sure a line must be; b: its least length in halves of pixels."""
    with options.network(MLSD) as network:

        def look(seen: Bytes) -> Bytes:
            canvas = np.zeros(seen.shape[:2], np.uint8)
            for start_x, start_y, end_x, end_y in lines_in(network, seen, options.a, options.b).astype(int):
                cv2.line(canvas, (start_x, start_y), (end_x, end_y), 255, 1)
            return canvas

        return at_resolution(picture, options.resolution, look)


def lines_in(network: Callable[[Tensor], Tensor], picture: Bytes, sure: float, long: float) -> NDArray[np.float32]:
    """(n, 4): x and y of each line's start and end in pixels."""
    planes = torch.cat([planes_of(picture, 1.0), torch.ones(1, 1, *picture.shape[:2])], dim=1) / 127.5 - 1
    answers = network(planes)[0]
    scores, ways = answers[:1].sigmoid(), answers[1:]
    scores = (scores * (max_pool2d(scores[None], 3, 1, 1)[0] == scores))[0]
    best = scores.flatten().topk(min(MOST, scores.numel()))
    down, across = best.indices // scores.shape[1], best.indices % scores.shape[1]
    way = ways[:, down, across].T
    lengths = (way[:, :2] - way[:, 2:]).norm(dim=1)
    kept = (best.values > sure) & (lengths > long)
    middle = torch.stack([across, down, across, down], dim=1).float()
    return np.asarray((SCALE * (middle + way))[kept].clamp(-1e6, 1e6), np.float32)
