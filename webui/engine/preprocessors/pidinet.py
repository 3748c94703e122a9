"""PiDiNet: edges from convolutions over differences of pixels.

Su et al. 2021, arXiv:2108.07009: central, angular and radial differences in turn (its "carv4"), compact dilations and
attention at four scales. The file is table5_pidinet.pth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, max_pool2d, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.lines import in_steps, scribbled
from webui.engine.preprocessors.network import map_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

AROUND = (3, 0, 1, 6, 4, 2, 7, 8, 5)
"""The place of a 3x3 kernel that each is compared with: the next one around the middle."""
OUTER, INNER = (0, 2, 4, 10, 14, 20, 22, 24), (6, 7, 8, 11, 13, 16, 17, 18)
"""Places of a 5x5 kernel that lie outside on a ray, and those between them and the middle."""
CENTRAL, ANGULAR, RADIAL, PLAIN = range(4)
SCALES = {1: 3, 2: 4, 3: 4, 4: 4}
"""Scale -> its blocks."""
DILATIONS = (5, 7, 9, 11)
SURE = 0.5


def over_differences(kernel: Tensor, kind: int) -> Tensor:
    """(out, in, 3, 3) -> the kernel of an ordinary convolution that does the same: 3x3, or 5x5 for radial ones."""
    if kind == PLAIN:
        return kernel
    flat = kernel.flatten(2)
    if kind == CENTRAL:
        changed = flat.clone()
        changed[..., 4] -= flat.sum(-1)
        return changed.view_as(kernel)
    if kind == ANGULAR:
        return (flat - flat[..., list(AROUND)]).view_as(kernel)
    wide = flat.new_zeros(*flat.shape[:2], 25)
    wide[..., list(OUTER)], wide[..., list(INNER)] = flat[..., 1:], -flat[..., 1:]
    return wide.view(*flat.shape[:2], 5, 5)


class DifferenceConvolution(nn.Module):
    """A convolution of each channel by itself, or of all where they are few."""

    def __init__(self, shape: tuple[int, ...], kind: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        kernel = over_differences(self.weight, self.kind)
        return conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=x.shape[1] // kernel.shape[1])


class DifferenceBlock(nn.Module):
    def __init__(self, file: WeightsFile, name: str, kind: int) -> None:
        super().__init__()
        out, given, *_ = file.shapes[f"{name}.conv2.weight"]
        self.conv1 = DifferenceConvolution((given, 1, 3, 3), kind)
        self.conv2 = nn.Conv2d(given, out, 1, bias=False)
        self.narrows = f"{name}.shortcut.weight" in file.shapes
        self.shortcut = nn.Conv2d(given, out, 1) if self.narrows else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = max_pool2d(x, 2) if self.narrows else x
        made: Tensor = self.conv2(relu(self.conv1(x))) + self.shortcut(x)
        return made


class Dilations(nn.Module):
    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, width, 1)
        for number, apart in enumerate(DILATIONS, 1):
            layer = nn.Conv2d(width, width, 3, padding=apart, dilation=apart, bias=False)
            self.add_module(f"conv2_{number}", layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(relu(x))
        return torch.stack([self.get_submodule(f"conv2_{at}")(x) for at in range(1, len(DILATIONS) + 1)]).sum(0)


class Where(nn.Module):
    """Attention: a number for each pixel."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv2(self.conv1(relu(x)))
        return x * found.sigmoid()


class EdgeReading(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x)
        return made


class PiDiNet(nn.Module):
    """(1, 3, h, w) in 0..1, blue first -> (1, 1, h, w), how sure each pixel is an edge."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        shapes = file.shapes
        self.init_block = DifferenceConvolution(shapes["init_block.weight"], CENTRAL)
        number = 1
        widths: list[int] = []
        for scale, blocks in SCALES.items():
            for at in range(1, blocks + 1):
                name = f"block{scale}_{at}"
                self.add_module(name, DifferenceBlock(file, name, number % 4))
                number += 1
            widths.append(shapes[f"block{scale}_{blocks}.conv2.weight"][0])
        width = shapes["dilations.0.conv1.weight"][0]
        inner = shapes["attentions.0.conv1.weight"][0]
        self.dilations = nn.ModuleList(Dilations(given, width) for given in widths)
        self.attentions = nn.ModuleList(Where(width, inner) for _ in widths)
        self.conv_reduces = nn.ModuleList(EdgeReading(width) for _ in widths)
        self.classifier = nn.Conv2d(len(widths), 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        x, size = self.init_block(picture), picture.shape[-2:]
        edges: list[Tensor] = []
        ways = zip(self.dilations, self.attentions, self.conv_reduces, strict=True)
        for (scale, blocks), (dilated, where, reduced) in zip(SCALES.items(), ways, strict=True):
            for at in range(1, blocks + 1):
                x = self.get_submodule(f"block{scale}_{at}")(x)
            edges.append(interpolate(reduced(where(dilated(x))), size=size, mode="bilinear"))
        joined: Tensor = self.classifier(torch.cat(edges, dim=1))
        return joined.sigmoid()


PIDINET = network_kind("PiDiNet network", PiDiNet)


def pidinet(picture: Bytes, options: Options) -> Bytes:
    """Soft edges."""
    return _edges(picture, options, map_of)


def pidinet_safe(picture: Bytes, options: Options) -> Bytes:
    """Soft edges in a few steps, which hide what else could be seen through them."""
    return _edges(picture, options, lambda found: map_of(in_steps(found)))


def pidinet_sketch(picture: Bytes, options: Options) -> Bytes:
    """What is rather an edge than none, in white."""
    return _edges(picture, options, lambda found: map_of((found > SURE).astype(np.float32)))


def pidinet_scribble(picture: Bytes, options: Options) -> Bytes:
    """Strokes of a pen."""
    return _edges(picture, options, lambda found: scribbled(map_of(found)))


def _edges(picture: Bytes, options: Options, finish: Callable[[np.ndarray], Bytes]) -> Bytes:
    with options.network(PIDINET) as network:
        return at_resolution(
            picture, options.resolution, lambda seen: finish(network(planes_of(seen[..., ::-1]))[0, 0].numpy())
        )
