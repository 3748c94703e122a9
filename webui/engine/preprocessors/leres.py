"""LeReS: how far away each thing is, by a residual network whose levels are joined from the coarsest to the finest.

Yin et al. 2021, arXiv:2012.09365, over ResNeXt (Xie et al. 2017, arXiv:1611.05431) and the decoder of Xian et al. 2020
(Structure-Guided Ranking Loss for Single Image Depth Prediction). The file is res101.pth.
"""

from __future__ import annotations

import re

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu

from webui.engine.families.views import View
from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import BatchNorm, count_of, network_kind, normal_planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels

ENCODER, DECODER = "encoder_modules.encoder", "decoder_modules"
LEVELS = (1, 2, 3, 4)
_TABLE = re.compile(r"^(?:depth_model\.)?(?:module\.)?depth_model\.")
"""What the names in a file begin with: the table they are in, what training put there, the whole model."""


def renamed(file: WeightsFile) -> WeightsFile:
    """The network of depth alone: published files have two more, which find out a camera's shift and focal length."""
    view = View(file)
    for full in file.shapes:
        if _TABLE.match(full):
            view.add(_TABLE.sub("", full), full)
    return view.result()


class GroupedBlock(nn.Module):
    def __init__(self, file: WeightsFile, name: str, stride: int) -> None:
        super().__init__()
        shapes = file.shapes
        inner, given, *_ = shapes[f"{name}.conv1.weight"]
        width, groups = shapes[f"{name}.conv3.weight"][0], inner // shapes[f"{name}.conv2.weight"][1]
        self.conv1, self.bn1 = nn.Conv2d(given, inner, 1, bias=False), BatchNorm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = BatchNorm(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, width, 1, bias=False), BatchNorm(width)
        has_way_past = f"{name}.downsample.0.weight" in shapes
        way_past = (nn.Conv2d(given, width, 1, stride, bias=False), BatchNorm(width)) if has_way_past else ()
        self.downsample = nn.Sequential(*way_past)

    def forward(self, x: Tensor) -> Tensor:
        found = relu(self.bn1(self.conv1(x)))
        found = relu(self.bn2(self.conv2(found)))
        return relu(self.bn3(self.conv3(found)) + self.downsample(x))


class ResidualLevels(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        width = file.shapes[f"{ENCODER}.conv1.weight"][0]
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False), BatchNorm(width)
        for level in LEVELS:
            name = f"{ENCODER}.layer{level}"
            count = count_of(file, rf"{re.escape(name)}\.(\d+)\.")
            blocks = (GroupedBlock(file, f"{name}.{at}", 2 if level > 1 and not at else 1) for at in range(count))
            self.add_module(f"layer{level}", nn.Sequential(*blocks))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Of each level, the finest first."""
        x, found = max_pool2d(relu(self.bn1(self.conv1(picture))), 3, 2, padding=1), list[Tensor]()
        for level in LEVELS:
            x = self.get_submodule(f"layer{level}")(x)
            found.append(x)
        return found


def convolution(file: WeightsFile, name: str) -> nn.Conv2d:
    width, given, side, _ = file.shapes[f"{name}.weight"]
    return nn.Conv2d(given, width, side, padding=side // 2)


class Transferred(nn.Module):
    """A level, brought to another width."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.conv1 = convolution(file, f"{name}.conv1")
        first, last = (convolution(file, f"{name}.conv_branch.{at}") for at in (1, 4))
        self.conv_branch = nn.ModuleDict({"1": first, "2": BatchNorm(first.out_channels), "4": last})

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.conv1(x))  # what goes past the branch is what goes into it
        branch = self.conv_branch
        return relu(x + branch["4"](relu(branch["2"](branch["1"](x)))))


class FinerLevel(nn.Module):
    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.ftb1, self.ftb2 = (Transferred(file, f"{name}.ftb{at}") for at in (1, 2))

    def forward(self, level: Tensor, coarse: Tensor) -> Tensor:
        return doubled(self.ftb2(self.ftb1(level) + coarse))


def doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class LevelsJoined(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.conv, self.conv1 = Transferred(file, f"{DECODER}.conv"), convolution(file, f"{DECODER}.conv1")
        for at in (2, 1, 0):
            self.add_module(f"ffm{at}", FinerLevel(file, f"{DECODER}.ffm{at}"))
        name = f"{DECODER}.outconv.adapt_conv"
        first = convolution(file, f"{name}.0")
        steps = {"0": first, "1": BatchNorm(first.out_channels), "3": convolution(file, f"{name}.3")}
        self.outconv = nn.ModuleDict({"adapt_conv": nn.ModuleDict(steps)})

    def forward(self, levels: list[Tensor]) -> Tensor:
        joined = doubled(self.conv1(self.conv(levels[3])))
        for at in (2, 1, 0):
            joined = self.get_submodule(f"ffm{at}")(levels[at], joined)
        steps = [self.get_submodule(f"outconv.adapt_conv.{at}") for at in (0, 1, 3)]
        return doubled(steps[2](relu(steps[1](steps[0](joined)))))


class Leres(nn.Module):
    """(1, 3, h, w) -> (1, 1, h, w), larger where it is farther. Sides are multiples of 32."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.encoder_modules = nn.ModuleDict({"encoder": ResidualLevels(file)})
        self.decoder_modules = LevelsJoined(file)

    def forward(self, picture: Tensor) -> Tensor:
        found: Tensor = self.decoder_modules(self.encoder_modules["encoder"](picture))
        return found


LERES = network_kind("LeReS network", Leres, renamed=renamed)


def depth_leres(picture: Bytes, options: Options) -> Bytes:
    """The nearest is white; a: percent of the depths that are all as near as can be, b: percent that are all black."""
    with options.network(LERES) as network:

        def look(seen: Bytes) -> Bytes:
            found = np.asarray(network(normal_planes_of(seen))[0, 0], np.float64)
            low, high = float(found.min()), float(found.max())
            if not high > low:
                return np.full(found.shape, 255, np.uint8)
            far = levels(np.rint((found - low) / (high - low) * 255))
            near = 255 - np.where(far > options.a / 100 * 255, far, 0)
            return levels(np.where(near > options.b / 100 * 255, near, 0) if options.b else near)

        return at_resolution(picture, options.resolution, look)
