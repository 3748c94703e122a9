"""TEED: edges from a network of fewer than 60 thousand numbers.

Soria et al. 2023, arXiv:2308.06468 (xavysp/TEED, MIT), with the activation Smish (Wang et al. 2022). The file is
7_model.pth.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import map_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

MARGINS = {1: 0, 2: 1}
"""How often a map is doubled -> what is cut off around it each time."""


def smish(x: Tensor) -> Tensor:
    """x tanh(log(1 + sigmoid(x)))"""
    return x * torch.tanh(torch.log1p(x.sigmoid()))


class Smish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return smish(x)


def _layer(file: WeightsFile, name: str, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    width, given, side, _ = file.shapes[f"{name}.weight"]
    return nn.Conv2d(given, width, side, stride, padding)


class TwoLayers(nn.Module):
    def __init__(self, file: WeightsFile, name: str, stride: int, *, last: bool) -> None:
        """last: the activation follows the second layer, too."""
        super().__init__()
        self.conv1, self.conv2 = _layer(file, f"{name}.conv1", stride, 1), _layer(file, f"{name}.conv2", padding=1)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv2(smish(self.conv1(x)))
        return smish(found) if self.last else found


class Side(nn.Module):
    def __init__(self, file: WeightsFile, name: str, stride: int) -> None:
        super().__init__()
        self.conv = _layer(file, f"{name}.conv", stride)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x)
        return found


class DenseLayer(nn.Module):
    """The first layer's margin of two is what the second one takes off."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = _layer(file, f"{name}.conv1", padding=2), _layer(file, f"{name}.conv2")

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        found: Tensor = self.conv2(smish(self.conv1(smish(x))))
        return (found + beside) / 2


class Doubled(nn.Module):
    """A level's edges at the size of the picture: a narrow layer, and a map twice as large, some times."""

    def __init__(self, file: WeightsFile, name: str, times: int) -> None:
        super().__init__()
        steps = list[nn.Module]()
        for at in range(times):
            narrow = _layer(file, f"{name}.features.{3 * at}")
            width = file.shapes[f"{name}.features.{3 * at + 2}.weight"][1]
            wide = nn.ConvTranspose2d(narrow.out_channels, width, 2**times, 2, MARGINS[times])
            steps += [narrow, Smish(), wide]
        self.features = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.features(x)
        return found


class EdgesJoined(nn.Module):
    """The edges of all levels, together."""

    def __init__(self, file: WeightsFile, name: str, levels: int) -> None:
        super().__init__()
        width = file.shapes[f"{name}.DWconv1.weight"][0]
        self.DWconv1 = nn.Conv2d(levels, width, 3, padding=1, groups=levels)
        self.DWconv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        first = self.DWconv1(smish(x))
        found: Tensor = first + self.DWconv2(smish(first))
        return smish(found.sum(1, keepdim=True))


class Teed(nn.Module):
    """(1, 3, h, w) in 0..255 -> (1, 4, h, w), how sure each pixel is an edge by each level and by all, before the
    sigmoid. Sides are multiples of 4."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.block_1 = TwoLayers(file, "block_1", 2, last=True)
        self.block_2 = TwoLayers(file, "block_2", 1, last=False)
        self.dblock_3 = nn.ModuleDict({"denselayer1": DenseLayer(file, "dblock_3.denselayer1")})
        self.side_1, self.pre_dense_3 = Side(file, "side_1", 2), Side(file, "pre_dense_3", 1)
        self.up_block_1, self.up_block_2 = Doubled(file, "up_block_1", 1), Doubled(file, "up_block_2", 1)
        self.up_block_3 = Doubled(file, "up_block_3", 2)
        self.block_cat = EdgesJoined(file, "block_cat", 3)

    def forward(self, picture: Tensor) -> Tensor:
        first = self.block_1(picture)
        second = self.block_2(first)
        small = max_pool2d(second, 3, 2, padding=1)
        third = self.dblock_3["denselayer1"](small + self.side_1(first), self.pre_dense_3(small))
        edges = torch.cat([self.up_block_1(first), self.up_block_2(second), self.up_block_3(third)], dim=1)
        return torch.cat([edges, self.block_cat(edges)], dim=1)


TEED = network_kind("TEED network", Teed, exact=True)


def softedge_teed(picture: Bytes, options: Options) -> Bytes:
    """Soft edges; a: in so many steps, 0: in all shades."""
    steps = int(options.a)

    def finished(found: Tensor) -> Bytes:
        sure = found.mean(1)[0].sigmoid().numpy()
        return map_of(np.floor(sure * (steps + 1)) / steps if steps else sure)

    with options.network(TEED) as network:
        return at_resolution(picture, options.resolution, lambda seen: finished(network(planes_of(seen, 1.0))))
