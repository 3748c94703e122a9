"""What networks of residual groups with attention (SwinIR, DAT) have in common: how they begin and how they end."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)
"""Of the colours of the pictures that they were trained on."""
SLOPE = 0.2
Shapes = Mapping[str, torch.Size]
"""Of the tensors of a file."""


def mean_of(picture: Tensor) -> Tensor:
    """(3, 1, 1), or (1, 1, 1) of zero where the pictures have no colours."""
    mean = torch.tensor(MEAN if picture.shape[1] == 3 else (0.0,), device=picture.device, dtype=picture.dtype)
    return mean[:, None, None]


def shuffled_out(shapes: Shapes, width: int, channels: int) -> tuple[nn.Sequential, int]:
    """Convolutions after each of which pixels are shuffled out -> with how many times larger that makes a picture.

    Where no convolution follows ("conv_last"), a single one makes the picture's channels itself.
    """
    steps: list[nn.Module] = []
    scale = 1
    direct = "conv_last.weight" not in shapes
    for number in range(0, 2 * count(shapes, r"upsample\.(\d+)\.weight"), 2):
        out = shapes[f"upsample.{number}.weight"][0]
        factor = round((out / (channels if direct else width)) ** 0.5)
        steps += [conv(width, out), nn.PixelShuffle(factor)]
        scale *= factor
    return nn.Sequential(*steps), scale


def convs(shapes: Shapes, name: str, width: int) -> nn.Module:
    """One convolution, or three of which the middle ones are narrow."""
    if f"{name}.weight" in shapes:
        return conv(width, width)
    narrow = shapes[f"{name}.0.weight"][0]
    return nn.Sequential(
        conv(width, narrow),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(narrow, narrow, 1),
        nn.LeakyReLU(SLOPE),
        conv(narrow, width),
    )


def conv(channels: int, out: int) -> nn.Conv2d:
    """Of 3x3 pixels, which keeps the size."""
    return nn.Conv2d(channels, out, 3, padding=1)


def count(shapes: Shapes, pattern: str) -> int:
    """How many numbers there are in the names that match; the pattern's first group is one."""
    return len({found[1] for name in shapes if (found := re.fullmatch(pattern, name))})
