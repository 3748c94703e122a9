"""Which way each surface looks: the normals of Bae et al.

Bae et al. 2021, arXiv:2109.09881 (a decoder that refines from scale to scale, each pixel by itself), over EfficientNet
(Tan and Le 2019, arXiv:1905.11946) with the padding of TensorFlow. The file is scannet.pt.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, interpolate, leaky_relu, relu, silu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.midas import surrounded
from webui.engine.preprocessors.network import BatchNorm, count_of, map_of, network_kind, normal_planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

ENCODER = "encoder.original_model"
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of EfficientNet's stages; before them its stem halves the size."""
EPSILON = 1e-3
"""Of its batch normalizations."""
JOINED = (4, 2, 1, 0)
"""Stages whose planes the decoder joins, from the coarsest."""
LEAST_SURE, TINY = 0.01, 1e-10


class SameConvolution(nn.Conv2d):
    """With as much around the plane as makes the result's sides the plane's over its stride."""

    def __init__(self, shape: tuple[int, ...], stride: int = 1) -> None:
        out, own, side, _ = shape
        groups = out if own == 1 and side > 1 else 1
        super().__init__(own * groups, out, side, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(surrounded(x, self.kernel_size[0], self.stride[0]))


class ChannelWeights(nn.Module):
    """Squeeze and excitation: how much each channel counts here."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        inner, width, *_ = file.shapes[f"{name}.conv_reduce.weight"]
        self.conv_reduce, self.conv_expand = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = self.conv_expand(silu(self.conv_reduce(x.mean((2, 3), keepdim=True))))
        return x * told.sigmoid()


class MobileBlock(nn.Module):
    """Wider inside (`conv_pw` to `conv_pwl`), or, in the first stage, as wide as outside (`conv_dw` to `conv_pw`)."""

    def __init__(self, file: WeightsFile, name: str, stride: int) -> None:
        super().__init__()
        shapes = file.shapes
        self.widens = f"{name}.conv_pwl.weight" in shapes
        self.steps = ("conv_pw", "conv_dw", "conv_pwl") if self.widens else ("conv_dw", "conv_pw")
        for number, step in enumerate(self.steps, 1):
            shape = shapes[f"{name}.{step}.weight"]
            self.add_module(step, SameConvolution(shape, stride if step == "conv_dw" else 1))
            self.add_module(f"bn{number}", BatchNorm(shape[0], EPSILON))
        self.se = ChannelWeights(file, f"{name}.se")
        first, last = (shapes[f"{name}.{step}.weight"] for step in (self.steps[0], self.steps[-1]))
        self.adds = stride == 1 and last[0] == (first[1] if self.widens else first[0])

    def forward(self, x: Tensor) -> Tensor:
        found = x
        for number, step in enumerate(self.steps, 1):
            found = self.get_submodule(f"bn{number}")(self.get_submodule(step)(found))
            found = silu(found) if number < len(self.steps) else found
            found = self.se(found) if step == "conv_dw" else found
        return x + found if self.adds else found


class EfficientNet(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        shapes = file.shapes
        self.conv_stem = SameConvolution(shapes[f"{ENCODER}.conv_stem.weight"], 2)
        self.bn1 = BatchNorm(shapes[f"{ENCODER}.conv_stem.weight"][0], EPSILON)
        stages: list[nn.Module] = []
        for stage, stride in enumerate(STRIDES):
            name = f"{ENCODER}.blocks.{stage}"
            count = count_of(file, rf"{re.escape(name)}\.(\d+)\.")
            blocks = (MobileBlock(file, f"{name}.{at}", 1 if at else stride) for at in range(count))
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.ModuleList(stages)
        self.conv_head = SameConvolution(shapes[f"{ENCODER}.conv_head.weight"])

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """-> the last plane, and those of the stages that are joined, from the coarsest."""
        x = silu(self.bn1(self.conv_stem(picture)))
        seen: list[Tensor] = []
        for stage in self.blocks:
            x = stage(x)
            seen.append(x)
        return self.conv_head(x), [seen[at] for at in JOINED]


class UpBlock(nn.Module):
    """What coarser levels have found, beside a finer one."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        out, given, *_ = file.shapes[f"{name}._net.0.weight"]
        self._net = nn.ModuleDict(
            {
                "0": nn.Conv2d(given, out, 3, padding=1),
                "1": BatchNorm(out),
                "3": nn.Conv2d(out, out, 3, padding=1),
                "4": BatchNorm(out),
            }
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        large = interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=True)
        x = torch.cat([large, fine], dim=1)
        x = leaky_relu(self._net["1"](self._net["0"](x)))
        return leaky_relu(self._net["4"](self._net["3"](x)))


class PixelLayers(nn.Module):
    """Four layers on each pixel by itself."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        self.numbers = (0, 2, 4, 6)
        for number in self.numbers:
            out, given, _ = file.shapes[f"{name}.{number}.weight"]
            self.add_module(str(number), nn.Conv1d(given, out, 1))

    def forward(self, plane: Tensor) -> Tensor:
        x = plane.flatten(2)
        for number in self.numbers:
            x = self.get_submodule(str(number))(x if number == 0 else relu(x))
        return x.reshape(len(x), -1, *plane.shape[-2:])


class NormalDecoder(nn.Module):
    """Normals at an eighth of the size, refined three times."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        out, given, *_ = file.shapes["decoder.conv2.weight"]
        self.conv2 = nn.Conv2d(given, out, 1)
        self.up1, self.up2, self.up3, self.up4 = (UpBlock(file, f"decoder.up{at}") for at in (1, 2, 3, 4))
        answers, given, *_ = file.shapes["decoder.out_conv_res8.weight"]
        self.out_conv_res8 = nn.Conv2d(given, answers, 3, padding=1)
        self.out_conv_res4, self.out_conv_res2, self.out_conv_res1 = (
            PixelLayers(file, f"decoder.out_conv_res{part}") for part in (4, 2, 1)
        )

    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:
        x = self.up1(self.conv2(coarse), levels[0])
        eighth = self.up2(x, levels[1])
        quarter = self.up3(eighth, levels[2])
        half = self.up4(quarter, levels[3])
        found = _normalized(self.out_conv_res8(eighth))
        steps = ((eighth, self.out_conv_res4), (quarter, self.out_conv_res2), (half, self.out_conv_res1))
        for plane, layers in steps:
            found = _normalized(layers(_doubled(torch.cat([plane, found], dim=1))))
        return found


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _normalized(found: Tensor) -> Tensor:
    """Three parts of a normal, which gets the length 1, and how sure it is."""
    way, sure = found[:, :3], found[:, 3:]
    length = way.square().sum(1, keepdim=True).sqrt() + TINY
    return torch.cat([way / length, elu(sure) + 1 + LEAST_SURE], dim=1)


class Encoding(nn.Module):
    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.original_model = EfficientNet(file)


class NormalNetwork(nn.Module):
    """(1, 3, h, w) -> (1, 4, h, w): x, y and z of the normals, from -1 to 1, and how sure each is. Sides are multiples
    of 32."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoding(file), NormalDecoder(file)

    def forward(self, picture: Tensor) -> Tensor:
        found: Tensor = self.decoder(*self.encoder.original_model(picture))
        return found


NORMALS = network_kind("network of normals", NormalNetwork)


def normal_bae(picture: Bytes, options: Options) -> Bytes:
    """Red is right, green is up, blue is towards the eye."""
    with options.network(NORMALS) as network:

        def look(seen: Bytes) -> Bytes:
            found = network(normal_planes_of(seen))[0, :3]
            return map_of(((found + 1) / 2).permute(1, 2, 0).numpy())

        return at_resolution(picture, options.resolution, look)
