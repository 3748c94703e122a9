"""Depth Anything: how near each thing is, by DINOv2 and a head of DPT's kind.

Yang et al. 2024, arXiv:2401.10891 and arXiv:2406.09414 (V2); Oquab et al. 2023, arXiv:2304.07193 (DINOv2). Files of all
published sizes: depth_anything_vit{s,b,l}14.pth and depth_anything_v2_vit{s,b,l,g}.pth have the same names, and differ
in the layers that are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.dense import EPSILON, Scratch, TransformerBlock, as_plane
from webui.engine.preprocessors.network import MapNetwork, count_of, network_kind, normal_planes_of, spread
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels
from webui.engine.residents import ResidentKind

HEAD_WIDTH = 64
"""Of an attention head."""
PATCH = 14
"""Pixels of a patch's side."""
OFFSET = 0.1
"""Added to a number of patches where learnt places are spread over them, as the network was trained."""
SIDE = 518
"""Pixels of the shorter side of what it sees: 37 patches."""
LOOKED_AT: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {12: (2, 5, 8, 11), 24: (4, 11, 17, 23), 40: (9, 19, 29, 39)}
)
"""Of V2, by the number of layers."""


class PatchProjection(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)


class Seeing(nn.Module):
    """DINOv2."""

    def __init__(self, file: WeightsFile, looked_at: tuple[int, ...]) -> None:
        super().__init__()
        shapes = file.shapes
        width = shapes["pretrained.patch_embed.proj.weight"][0]
        inner = shapes["pretrained.blocks.0.mlp.fc1.weight"][0]
        layers = count_of(file, r"pretrained\.blocks\.(\d+)\.")
        self.looked_at = looked_at
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(shapes["pretrained.pos_embed"]))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of its training
        self.patch_embed = PatchProjection(width)
        heads = max(width // HEAD_WIDTH, 1)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, inner, scaled=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(1, 3, h, w), sides multiples of a patch's -> planes (1, width, rows, columns) of the layers looked at."""
        patches = self.patch_embed.proj(picture)
        rows, columns = patches.shape[-2:]
        x = torch.cat([self.cls_token, patches.flatten(2).transpose(1, 2)], dim=1) + self._places(rows, columns)
        seen: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.looked_at:
                seen.append(as_plane(self.norm(x)[:, 1:], rows, columns))
        return seen

    def _places(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, width): the learnt places, spread over so many patches."""
        count = self.pos_embed.shape[1] - 1
        own = int(count**0.5)
        if (rows, columns) == (own, own):
            return self.pos_embed
        plane = as_plane(self.pos_embed[:, 1:].float(), own, own)
        factors = ((rows + OFFSET) / own, (columns + OFFSET) / own)
        spread_out = interpolate(plane, scale_factor=factors, mode="bicubic")[..., :rows, :columns]
        whole = torch.cat([self.pos_embed[:, :1].float(), spread_out.flatten(2).transpose(1, 2)], dim=1)
        return whole.to(self.pos_embed.dtype)


class DepthHead(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        shapes = file.shapes
        outer, width = zip(*(shapes[f"depth_head.projects.{at}.weight"][:2] for at in range(4)), strict=True)
        joined = shapes["depth_head.scratch.layer1_rn.weight"][0]
        half, last = joined // 2, shapes["depth_head.scratch.output_conv2.0.weight"][0]
        self.projects = nn.ModuleList(nn.Conv2d(inner, out, 1) for inner, out in zip(width, outer, strict=True))
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(outer[0], outer[0], 4, stride=4),
                nn.ConvTranspose2d(outer[1], outer[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(outer[3], outer[3], 3, stride=2, padding=1),
            ]
        )
        self.scratch = Scratch(outer, joined, doubles=False)
        self.scratch.add_module("output_conv1", nn.Conv2d(joined, half, 3, padding=1))
        self.scratch.add_module(
            "output_conv2",
            nn.Sequential(nn.Conv2d(half, last, 3, padding=1), nn.ReLU(), nn.Conv2d(last, 1, 1)),
        )

    def forward(self, seen: list[Tensor], size: tuple[int, int]) -> Tensor:
        sized = zip(self.projects, self.resize_layers, seen, strict=True)
        joined = self.scratch([resize(project(plane)) for project, resize, plane in sized])
        half = self.scratch.get_submodule("output_conv1")(joined)
        large = interpolate(half, size=size, mode="bilinear", align_corners=True)
        return relu(self.scratch.get_submodule("output_conv2")(large))


class DepthAnything(nn.Module):
    """(1, 3, h, w) -> (1, 1, h, w), larger where it is nearer. Sides are multiples of 14."""

    def __init__(self, file: WeightsFile, *, spaced: bool) -> None:
        """spaced: it looks at layers all along, as V2 does, instead of the last four."""
        super().__init__()
        layers = count_of(file, r"pretrained\.blocks\.(\d+)\.")
        last = tuple(range(layers - 4, layers))
        self.pretrained = Seeing(file, LOOKED_AT.get(layers, last) if spaced else last)
        self.depth_head = DepthHead(file)

    def forward(self, picture: Tensor) -> Tensor:
        found: Tensor = self.depth_head(self.pretrained(picture), tuple(picture.shape[-2:]))
        return found


FIRST = network_kind("Depth Anything network", lambda file: DepthAnything(file, spaced=False))
SECOND = network_kind("Depth Anything V2 network", lambda file: DepthAnything(file, spaced=True))


def depth_anything(picture: Bytes, options: Options) -> Bytes:
    """The nearest is white."""
    return _depth(picture, options, FIRST)


def depth_anything_v2(picture: Bytes, options: Options) -> Bytes:
    """The nearest is white."""
    return _depth(picture, options, SECOND)


def _depth(picture: Bytes, options: Options, kind: ResidentKind[MapNetwork]) -> Bytes:
    with options.network(kind) as network:

        def look(seen: Bytes) -> Bytes:
            high, wide = seen.shape[:2]
            factor = SIDE / min(high, wide)
            sides = tuple(max(round(length * factor / PATCH), SIDE // PATCH) * PATCH for length in (wide, high))
            given = levels(cv2.resize(seen, sides, interpolation=cv2.INTER_CUBIC))
            found = interpolate(network(normal_planes_of(given)), size=(high, wide), mode="bilinear")
            return spread(np.asarray(found[0, 0], np.float32))

        return at_resolution(picture, options.resolution, look)
