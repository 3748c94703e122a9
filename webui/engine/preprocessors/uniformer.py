"""UniFormer: what is where in a picture, of the 150 classes of ADE20K.

Li et al. 2022, arXiv:2201.09450 (convolutions in the first two stages, attention in the others), under UPerNet (Xiao et
al. 2018, arXiv:1807.10221). The file is upernet_global_small.pth, with the names of mmsegmentation.
"""

from __future__ import annotations

import cv2
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.dense import EPSILON, TransformerBlock, as_plane
from webui.engine.preprocessors.network import BatchNorm, count_of, network_kind, normal_planes_of
from webui.engine.preprocessors.palettes import ADE20K
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels
from webui.engine.preprocessors.segments import segmented

STAGES, HEAD_WIDTH = (1, 2, 3, 4), 64
SHORT, LONG = 512, 2048
"""Pixels of the picture's sides as the network sees it: the shorter one, the longer one at most."""


class NormedPatches(nn.Module):
    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        width, given, side, _ = file.shapes[f"{name}.proj.weight"]
        self.proj, self.norm = nn.Conv2d(given, width, side, stride=side), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return over_channels(self.norm, self.proj(x))


def over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer norm of (batch, channels, h, w)."""
    normed: Tensor = norm(x.movedim(1, -1))
    return normed.movedim(-1, 1)


def depthwise(width: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, side, padding=side // 2, groups=width)


class PointwiseMlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc2(gelu(self.fc1(x)))
        return made


class LocalBlock(nn.Module):
    """Looks at what is near, by convolutions."""

    def __init__(self, width: int, inner: int, side: int) -> None:
        super().__init__()
        self.pos_embed, self.attn = depthwise(width, 3), depthwise(width, side)
        self.norm1, self.norm2 = BatchNorm(width), BatchNorm(width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.mlp = PointwiseMlp(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        grown: Tensor = x + self.mlp(self.norm2(x))
        return grown


class GlobalBlock(TransformerBlock):
    """Looks at everything, by attention."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__(width, max(width // HEAD_WIDTH, 1), inner, scaled=False)
        self.pos_embed = depthwise(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        return as_plane(super().forward(x.flatten(2).transpose(1, 2)), *x.shape[-2:])


def block_of(file: WeightsFile, name: str) -> nn.Module:
    inner, width, *_ = file.shapes[f"{name}.mlp.fc1.weight"]
    if f"{name}.conv1.weight" in file.shapes:
        return LocalBlock(width, inner, file.shapes[f"{name}.attn.weight"][-1])
    return GlobalBlock(width, inner)


class UniFormer(nn.Module):
    def __init__(self, file: WeightsFile, root: str) -> None:
        super().__init__()
        for stage in STAGES:
            name = f"{root}.blocks{stage}"
            patches = NormedPatches(file, f"{root}.patch_embed{stage}")
            blocks = range(count_of(file, rf"{name}\.(\d+)\."))
            self.add_module(f"patch_embed{stage}", patches)
            self.add_module(f"blocks{stage}", nn.Sequential(*(block_of(file, f"{name}.{at}") for at in blocks)))
            self.add_module(f"norm{stage}", nn.LayerNorm(patches.proj.out_channels, eps=EPSILON))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Of each stage, the finest first."""
        x, found = picture, list[Tensor]()
        for stage in STAGES:
            x = self.get_submodule(f"patch_embed{stage}")(x)
            x = self.get_submodule(f"blocks{stage}")(x)
            found.append(over_channels(self.get_submodule(f"norm{stage}"), x))
        return found


class Evened(nn.Module):
    """A convolution, brought to a mean and a deviation, without what is below zero."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        width, given, side, _ = file.shapes[f"{name}.conv.weight"]
        self.conv, self.bn = nn.Conv2d(given, width, side, padding=side // 2, bias=False), BatchNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


def sized(x: Tensor, like: Tensor) -> Tensor:
    return interpolate(x, size=like.shape[-2:], mode="bilinear")


class UperHead(nn.Module):
    """What the stages have found, joined from the coarsest to the finest."""

    SCALES = (1, 2, 3, 6)
    """In so many parts along each side the coarsest is looked at as a whole."""

    def __init__(self, file: WeightsFile, root: str) -> None:
        super().__init__()
        parts = [nn.AdaptiveAvgPool2d(scale) for scale in self.SCALES]
        self.psp_modules = nn.ModuleList(
            nn.Sequential(part, Evened(file, f"{root}.psp_modules.{at}.1")) for at, part in enumerate(parts)
        )
        self.bottleneck = Evened(file, f"{root}.bottleneck")
        finer = range(len(STAGES) - 1)
        self.lateral_convs = nn.ModuleList(Evened(file, f"{root}.lateral_convs.{at}") for at in finer)
        self.fpn_convs = nn.ModuleList(Evened(file, f"{root}.fpn_convs.{at}") for at in finer)
        self.fpn_bottleneck = Evened(file, f"{root}.fpn_bottleneck")
        classes, width, *_ = file.shapes[f"{root}.conv_seg.weight"]
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, seen: list[Tensor]) -> Tensor:
        """-> (batch, classes, h, w) of the finest stage's size."""
        coarsest = seen[-1]
        wholes = [sized(part(coarsest), coarsest) for part in self.psp_modules]
        joined = self.bottleneck(torch.cat([coarsest, *wholes], dim=1))
        found = [joined]
        for lateral, own in zip(reversed(self.lateral_convs), reversed(seen[:-1]), strict=True):
            level = lateral(own)
            found.insert(0, level + sized(found[0], level))
        found[:-1] = [smooth(level) for smooth, level in zip(self.fpn_convs, found[:-1], strict=True)]
        told: Tensor = self.conv_seg(self.fpn_bottleneck(torch.cat([sized(each, found[0]) for each in found], dim=1)))
        return told


class Segmenter(nn.Module):
    """(1, 3, h, w) -> (1, 150, h / 4, w / 4)."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.backbone, self.decode_head = UniFormer(file, "backbone"), UperHead(file, "decode_head")

    def forward(self, picture: Tensor) -> Tensor:
        told: Tensor = self.decode_head(self.backbone(picture))
        return told


UNIFORMER = network_kind("UniFormer network", Segmenter)


def segmentation(picture: Bytes, options: Options) -> Bytes:
    """A colour for each class."""
    with options.network(UNIFORMER) as network:

        def look(seen: Bytes) -> Bytes:
            high, wide = seen.shape[:2]
            factor = min(SHORT / min(high, wide), LONG / max(high, wide))
            sides = (max(round(wide * factor), 32), max(round(high * factor), 32))
            given = levels(cv2.resize(seen, sides, interpolation=cv2.INTER_LINEAR))
            return segmented(network(normal_planes_of(given)), (high, wide), ADE20K)

        return at_resolution(picture, options.resolution, look)
