"""MiDaS: how near each thing is, by the hybrid of a residual network and a vision transformer.

Ranftl et al. 2021, arXiv:2103.13413 (DPT-Hybrid); Kolesnikov et al. 2019, arXiv:1912.11370 (its convolutions with
standardized weights, and group norms). The file is dpt_hybrid-midas-501f0c75.pt.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, gelu, interpolate, max_pool2d, pad, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.dense import Scratch, TransformerBlock, as_plane
from webui.engine.preprocessors.network import count_of, network_kind, planes_of, spread
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

GROUPS, NARROWER, HEAD_WIDTH = 32, 4, 64
"""Of each group norm; of a block's inner convolutions; of an attention head."""
STEM = "pretrained.model.patch_embed.backbone.stem"
STAGES = "pretrained.model.patch_embed.backbone.stages"
STANDARD = 1e-8
"""Added to the variance of weights."""


def surrounded(x: Tensor, side: int, stride: int, value: float = 0.0) -> Tensor:
    """With as much around it as makes the result's sides the plane's over `stride`, more of it right and below."""
    missing = [max((-(-length // stride) - 1) * stride + side - length, 0) for length in reversed(x.shape[-2:])]
    return pad(x, [each for length in missing for each in (length // 2, length - length // 2)], value=value)


class Standardized(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1 for each channel that it makes."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight.float(), dim=(1, 2, 3), keepdim=True, correction=0)
        weight = ((self.weight - mean) / (variance + STANDARD).sqrt()).to(self.weight.dtype)
        return conv2d(surrounded(x, self.kernel_size[0], self.stride[0]), weight, None, self.stride)


class Normal(nn.GroupNorm):
    def __init__(self, width: int) -> None:
        super().__init__(GROUPS, width)


class Narrowed(nn.Module):
    """What goes past a block's convolutions, brought to the width and size that they give."""

    def __init__(self, inner: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = Standardized(inner, width, 1, stride, bias=False), Normal(width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(x))
        return made


class StandardizedBottleneck(nn.Module):
    def __init__(self, given: int, inner: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = Standardized(given, inner, 1, bias=False), Normal(inner)
        self.conv2, self.norm2 = Standardized(inner, inner, 3, stride, bias=False), Normal(inner)
        self.conv3, self.norm3 = Standardized(inner, width, 1, bias=False), Normal(width)
        self.downsample = Narrowed(given, width, stride) if given != width or stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found = relu(self.norm1(self.conv1(x)))
        found = relu(self.norm2(self.conv2(found)))
        return relu(self.norm3(self.conv3(found)) + self.downsample(x))


class Stage(nn.Module):
    def __init__(self, file: WeightsFile, number: int) -> None:
        super().__init__()
        name = f"{STAGES}.{number}.blocks"
        inner, given, *_ = file.shapes[f"{name}.0.conv1.weight"]
        width = file.shapes[f"{name}.0.conv3.weight"][0]
        count = count_of(file, rf"{name}\.(\d+)\.")
        self.blocks = nn.Sequential(
            *(
                StandardizedBottleneck(width if at else given, inner, width, 2 if number and not at else 1)
                for at in range(count)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.blocks(x)
        return made


class ResidualStages(nn.Module):
    """The convolutions before the transformer."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        width = file.shapes[f"{STEM}.conv.weight"][0]
        self.stem = nn.Module()
        self.stem.add_module("conv", Standardized(3, width, 7, 2, bias=False))
        self.stem.add_module("norm", Normal(width))
        count = count_of(file, rf"{STAGES}\.(\d+)\.")
        self.stages = nn.ModuleList(Stage(file, number) for number in range(count))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Of each stage."""
        first = self.stem.get_submodule("conv")(picture)
        x = relu(self.stem.get_submodule("norm")(first))
        x = max_pool2d(surrounded(x, 3, 2, float("-inf")), 3, 2)
        found: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class Hybrid(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        shapes = file.shapes
        width, deep, *_ = shapes["pretrained.model.patch_embed.proj.weight"]
        inner = shapes["pretrained.model.blocks.0.mlp.fc1.weight"][0]
        layers = count_of(file, r"pretrained\.model\.blocks\.(\d+)\.")
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(shapes["pretrained.model.pos_embed"]))
        self.patch_embed = nn.Module()
        self.patch_embed.add_module("backbone", ResidualStages(file))
        self.patch_embed.add_module("proj", nn.Conv2d(deep, width, 1))
        heads = max(width // HEAD_WIDTH, 1)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, inner, scaled=False) for _ in range(layers))
        self.looked_at = (3 * layers // 4 - 1, layers - 1)

    def forward(self, picture: Tensor) -> tuple[list[Tensor], list[Tensor], tuple[int, int]]:
        """-> planes of the first two stages; tokens (1, 1 + rows * columns, width) of two layers; rows and columns."""
        planes = self.patch_embed.get_submodule("backbone")(picture)
        patches = self.patch_embed.get_submodule("proj")(planes[-1])
        rows, columns = patches.shape[-2:]
        x = torch.cat([self.cls_token, patches.flatten(2).transpose(1, 2)], dim=1) + self._places(rows, columns)
        seen: list[Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.looked_at:
                seen.append(x)
        return planes[:2], seen, (rows, columns)

    def _places(self, rows: int, columns: int) -> Tensor:
        own = int((self.pos_embed.shape[1] - 1) ** 0.5)
        plane = interpolate(as_plane(self.pos_embed[:, 1:], own, own), size=(rows, columns), mode="bilinear")
        return torch.cat([self.pos_embed[:, :1], plane.flatten(2).transpose(1, 2)], dim=1)


class Midas(nn.Module):
    """(1, 3, h, w) in -1..1 -> (1, 1, h, w), larger where it is nearer. Sides are multiples of 32."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        shapes = file.shapes
        width = shapes["pretrained.model.patch_embed.proj.weight"][0]
        self.pretrained = nn.Module()
        self.pretrained.add_module("model", Hybrid(file))
        for number in (3, 4):
            steps = nn.ModuleDict({"0": nn.Module(), "3": nn.Conv2d(width, width, 1)})
            steps["0"].add_module("project", nn.Sequential(nn.Linear(2 * width, width)))
            if number == 4:
                steps["4"] = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.pretrained.add_module(f"act_postprocess{number}", steps)
        widths = tuple(shapes[f"scratch.layer{number}_rn.weight"][1] for number in (1, 2, 3, 4))
        joined = shapes["scratch.layer1_rn.weight"][0]
        half, last = shapes["scratch.output_conv.0.weight"][0], shapes["scratch.output_conv.2.weight"][0]
        self.scratch = Scratch(widths, joined, doubles=True)
        self.scratch.add_module(
            "output_conv",
            nn.Sequential(
                nn.Conv2d(joined, half, 3, padding=1),
                nn.UpsamplingBilinear2d(scale_factor=2),
                nn.Conv2d(half, last, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(last, 1, 1),
                nn.ReLU(),
            ),
        )

    def forward(self, picture: Tensor) -> Tensor:
        planes, seen, (rows, columns) = self.pretrained.get_submodule("model")(picture)
        for number, tokens in zip((3, 4), seen, strict=True):
            steps = self.pretrained.get_submodule(f"act_postprocess{number}")
            told = torch.cat([tokens[:, 1:], tokens[:, :1].expand_as(tokens[:, 1:])], dim=-1)
            plane = as_plane(gelu(steps.get_submodule("0.project.0")(told)), rows, columns)
            for step in ("3", "4")[: number - 2]:
                plane = steps.get_submodule(step)(plane)
            planes.append(plane)
        found: Tensor = self.scratch.get_submodule("output_conv")(self.scratch(planes))
        return found


MIDAS = network_kind("MiDaS network", Midas)


def depth(picture: Bytes, options: Options) -> Bytes:
    """The nearest is white."""
    with options.network(MIDAS) as network:

        def look(seen: Bytes) -> Bytes:
            return spread(np.asarray(network(planes_of(seen, 1 / 127.5) - 1)[0, 0], np.float32))

        return at_resolution(picture, options.resolution, look)
