"""What networks that rebuild a picture from a codebook consist of: Esser et al. 2021, arXiv:2012.09841, section 3.1."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention, silu

GROUPS, EPSILON = 32, 1e-6
"""Of the normalisation."""


class ResidualBlock(nn.Module):
    """(b, c, h, w) -> (b, out, h, w): two convolutions, and a way past them."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = normal(channels), conv(channels, out)
        self.norm2, self.conv2 = normal(out), conv(out, out)
        self.conv_out = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(silu(self.norm1(x)))
        past: Tensor = self.conv_out(x)
        change: Tensor = self.conv2(silu(self.norm2(inner)))
        return past + change


class GlobalAttention(nn.Module):
    """Every place looks at every other; where `asked` is given, that asks, as RestoreFormer has it."""

    def __init__(self, channels: int, heads: int, *, asked: bool = False) -> None:
        super().__init__()
        self.heads = heads
        if asked:
            self.norm1, self.norm2 = normal(channels), normal(channels)
        else:
            self.norm = normal(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        own = self.norm1(x) if hasattr(self, "norm1") else self.norm(x)
        asks = own if asked is None else self.norm2(asked)
        q, k, v = (self._apart(way(given)) for way, given in ((self.q, asks), (self.k, own), (self.v, own)))
        found = scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(x.shape)
        seen: Tensor = self.proj_out(found)
        return x + seen

    def _apart(self, x: Tensor) -> Tensor:
        """(b, heads, places, channels of a head)"""
        batch, channels = x.shape[:2]
        return x.reshape(batch, self.heads, channels // self.heads, -1).transpose(-1, -2)


class Smaller(nn.Module):
    """Half the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        half: Tensor = self.conv(pad(x, (0, 1, 0, 1)))
        return half


class Larger(nn.Module):
    """Twice the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        double: Tensor = self.conv(interpolate(x, scale_factor=2.0))
        return double


class Codebook(nn.Module):
    """Words that a picture is put together from."""

    def __init__(self, words: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, channels)

    def spelt(self, words: Tensor, side: int) -> Tensor:
        """(b, places) of numbers of words -> (b, channels, side, side)"""
        found: Tensor = self.embedding(words)
        return found.transpose(1, 2).reshape(len(words), found.shape[2], side, -1)

    def nearest(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> each place by the word that is nearest to it."""
        places = x.flatten(2).transpose(1, 2)
        return self.spelt(torch.cdist(places, self.embedding.weight[None]).argmin(2), x.shape[2])


def normal(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, EPSILON)


def conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)
