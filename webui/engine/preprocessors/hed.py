"""Holistically nested edges: soft outlines, from a network that looks at five scales at once.

Xie and Tu 2015, arXiv:1504.06375, in the form that ControlNet 1.1 was trained with; the file is ControlNetHED.pth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.lines import in_steps, scribbled
from webui.engine.preprocessors.network import count_of, map_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution


class EdgeScale(nn.Module):
    """Convolutions of one width, and the edges that they have found."""

    def __init__(self, file: WeightsFile, name: str) -> None:
        super().__init__()
        shapes = [file.shapes[f"{name}.convs.{at}.weight"] for at in range(count_of(file, rf"{name}\.convs\.(\d+)\."))]
        self.convs = nn.ModuleList(nn.Conv2d(given, out, 3, padding=1) for out, given, *_ in shapes)
        self.projection = nn.Conv2d(shapes[-1][0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convs:
            x = relu(convolution(x))
        return x


class Hed(nn.Module):
    """(1, 3, h, w) in 0..255 -> (1, 1, h, w), how much each pixel is an edge, before the sigmoid."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.names = [f"block{number}" for number in range(1, count_of(file, r"block(\d+)\."))]
        for name in self.names:
            self.add_module(name, EdgeScale(file, name))

    def forward(self, picture: Tensor) -> Tensor:
        x, size = picture - self.norm, picture.shape[-2:]
        edges: list[Tensor] = []
        for name in self.names:
            scale = self.get_submodule(name)
            x = scale(max_pool2d(x, 2) if edges else x)
            edges.append(interpolate(scale.get_submodule("projection")(x), size=size, mode="bilinear"))
        return torch.stack(edges).mean(0)


HED = network_kind("HED network", Hed, exact=True)


def hed(picture: Bytes, options: Options) -> Bytes:
    """Soft edges."""
    return _edges(picture, options, map_of)


def hed_safe(picture: Bytes, options: Options) -> Bytes:
    """Soft edges in a few steps, which hide what else could be seen through them."""
    return _edges(picture, options, lambda found: map_of(in_steps(found)))


def scribble_hed(picture: Bytes, options: Options) -> Bytes:
    """Strokes of a pen."""
    return _edges(picture, options, lambda found: scribbled(map_of(found)))


def _edges(picture: Bytes, options: Options, finish: Callable[[np.ndarray], Bytes]) -> Bytes:
    with options.network(HED) as network:
        return at_resolution(
            picture,
            options.resolution,
            lambda seen: finish(network(planes_of(seen, 1.0))[0, 0].sigmoid().numpy()),
        )
