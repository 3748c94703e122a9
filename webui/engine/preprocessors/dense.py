"""What networks of depth have in common: blocks of a vision transformer, and how its layers become a picture again.

Dosovitskiy et al. 2020, arXiv:2010.11929; Touvron et al. 2021, arXiv:2103.17239 (layer scale); Ranftl et al. 2021,
arXiv:2103.13413 (DPT). The names of parts are those of the published files.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, relu, scaled_dot_product_attention

EPSILON = 1e-6
"""Of layer norms."""


class LayerScale(nn.Module):
    """A number for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    """Of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return mixed


class Mlp(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc2(gelu(self.fc1(x)))
        return made


class TransformerBlock(nn.Module):
    """A layer: (batch, tokens, width) -> the same."""

    def __init__(self, width: int, heads: int, inner: int, *, scaled: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
        self.attn, self.mlp = Attention(width, heads), Mlp(width, inner)
        self.ls1, self.ls2 = (LayerScale(width) if scaled else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        grown: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return grown


def as_plane(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """(batch, rows * columns, width) -> (batch, width, rows, columns)"""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)


class ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.conv2(relu(self.conv1(relu(x))))
        return made


class Fusion(nn.Module):
    """What coarser levels have found, joined by a finer one and made larger."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resConfUnit1, self.resConfUnit2 = ResidualUnit(width), ResidualUnit(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, coarse: Tensor | None, level: Tensor, size: tuple[int, ...] | None) -> Tensor:
        """size: (height, width) of what it gives; None: twice as large."""
        found = level if coarse is None else coarse + self.resConfUnit1(level)
        found = self.resConfUnit2(found)
        size = size or (2 * found.shape[-2], 2 * found.shape[-1])
        large: Tensor = self.out_conv(interpolate(found, size=size, mode="bilinear", align_corners=True))
        return large


class Scratch(nn.Module):
    """Four levels, the finest first, brought to one width and joined."""

    def __init__(self, widths: tuple[int, ...], width: int, *, doubles: bool) -> None:
        """doubles: each step makes twice as large, whatever size the next level has."""
        super().__init__()
        self.doubles, self.levels = doubles, range(1, len(widths) + 1)
        for number, own in zip(self.levels, widths, strict=True):
            self.add_module(f"layer{number}_rn", nn.Conv2d(own, width, 3, padding=1, bias=False))
            self.add_module(f"refinenet{number}", Fusion(width))

    def forward(self, levels: list[Tensor]) -> Tensor:
        evened = [self.get_submodule(f"layer{at}_rn")(level) for at, level in zip(self.levels, levels, strict=True)]
        joined: Tensor | None = None
        for number in reversed(self.levels):
            size = None if self.doubles or number == 1 else tuple(evened[number - 2].shape[-2:])
            joined = self.get_submodule(f"refinenet{number}")(joined, evened[number - 1], size)
        assert joined is not None
        return joined
