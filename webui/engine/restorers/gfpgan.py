"""GFPGAN: a network that reads a bad face, and a generator of faces, StyleGAN2, that paints it anew as that one says.

Wang et al. 2021, arXiv:2101.04061, section 3; StyleGAN2: Karras et al. 2020, arXiv:1912.04958, section 2. Its "clean"
form, which the files of versions 1.2, 1.3 and 1.4 have: plain convolutions and bilinear resizing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu

SLOPE = 0.2
"""Of the leaky rectifier."""
GAIN = 2**0.5
"""What the generator's convolutions are multiplied by."""
EPSILON = 1e-8
SMALLEST = 4
"""Pixels of a side where the generator begins; each level doubles it."""
UNUSED = ("toRGB.", "stylegan_decoder.style_mlp.")
"""How tensors are called that only training needs."""


class Gfpgan(nn.Module):
    """(b, 3, side, side) in -1..1, RGB -> the same."""

    def __init__(self, read: Sequence[int], made: Sequence[int], style: int, shifts: Sequence[int]) -> None:
        """read, made: channels of the first network and of the generator, from the smallest side on; style: numbers
        that say what the generator makes at a place; shifts: channels that are shifted, per level."""
        super().__init__()
        self.style = style
        levels = len(read) - 1
        self.side = SMALLEST * 2**levels
        self.conv_body_first = nn.Conv2d(3, read[-1], 1)
        self.conv_body_down = nn.ModuleList(_Resized(read[n + 1], read[n], 0.5) for n in reversed(range(levels)))
        self.final_conv = _conv(read[0], read[0])
        self.conv_body_up = nn.ModuleList(_Resized(read[n], read[n + 1], 2.0) for n in range(levels))
        self.final_linear = nn.Linear(read[0] * SMALLEST**2, 2 * (levels + 1) * style)
        self.condition_scale = nn.ModuleList(_condition(read[n + 1], shifts[n]) for n in range(levels))
        self.condition_shift = nn.ModuleList(_condition(read[n + 1], shifts[n]) for n in range(levels))
        self.stylegan_decoder = _Generator(made, style)

    def forward(self, face: Tensor, _weight: float = 0.0) -> Tensor:
        seen: Tensor = leaky_relu(self.conv_body_first(face), SLOPE)
        skips: list[Tensor] = []
        for down in self.conv_body_down:
            seen = down(seen)
            skips.append(seen)
        seen = leaky_relu(self.final_conv(seen), SLOPE)
        styles = self.final_linear(seen.flatten(1)).unflatten(1, (-1, self.style))
        conditions = []
        ways = zip(self.conv_body_up, self.condition_scale, self.condition_shift, reversed(skips), strict=True)
        for up, scale, shift, skip in ways:
            seen = up(seen + skip)
            conditions.append((scale(seen), shift(seen)))
        made: Tensor = self.stylegan_decoder(styles, conditions)
        return made


class _Resized(nn.Module):
    """Two convolutions with a change of size between them, and a way past them."""

    def __init__(self, channels: int, out: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = _conv(channels, channels)
        self.conv2 = _conv(channels, out)
        self.skip = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = _resized(leaky_relu(self.conv1(x), SLOPE), self.factor)
        inner = leaky_relu(self.conv2(inner), SLOPE)
        past: Tensor = self.skip(_resized(x, self.factor))
        return inner + past


class _Generator(nn.Module):
    """StyleGAN2, whose features are scaled and shifted on the way: all of them, or the second half."""

    def __init__(self, channels: Sequence[int], style: int) -> None:
        super().__init__()
        self.constant_input = _Constant(channels[0])
        self.style_conv1 = _Styled(channels[0], channels[0], style)
        self.to_rgb1 = _ToRgb(channels[0], style)
        self.style_convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for before, after in pairwise(channels):
            self.style_convs += [_Styled(before, after, style, doubles=True), _Styled(after, after, style)]
            self.to_rgbs.append(_ToRgb(after, style))
        self.noises = nn.Module()
        for number in range(2 * len(channels) - 1):
            side = SMALLEST * 2 ** ((number + 1) // 2)
            self.noises.register_buffer(f"noise{number}", torch.zeros(1, 1, side, side))

    def forward(self, styles: Tensor, conditions: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """styles: (b, places, style); conditions: (scale, shift) of each level."""
        noises = [self.noises.get_buffer(f"noise{number}") for number in range(2 * len(conditions) + 1)]
        features = self.constant_input.weight.expand(len(styles), -1, -1, -1)
        features = self.style_conv1(features, styles[:, 0], noises[0])
        picture: Tensor = self.to_rgb1(features, styles[:, 1])
        for level, (scale, shift) in enumerate(conditions):
            at = 2 * level + 1
            features = self.style_convs[at - 1](features, styles[:, at], noises[at])
            kept, bent = features.split([features.shape[1] - scale.shape[1], scale.shape[1]], 1)
            features = torch.cat([kept, bent * scale + shift], 1)
            features = self.style_convs[at](features, styles[:, at + 1], noises[at + 1])
            picture = _resized(picture, 2.0) + self.to_rgbs[level](features, styles[:, at + 2])
        return picture


class _Constant(nn.Module):
    """What every face begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, channels, SMALLEST, SMALLEST))


class _Modulated(nn.Module):
    """A convolution whose input channels a style scales; the outcome is brought back to one size, if `evens`."""

    def __init__(self, channels: int, out: int, size: int, style: int, *, evens: bool) -> None:
        super().__init__()
        self.evens = evens
        self.modulation = nn.Linear(style, channels)
        self.weight = nn.Parameter(torch.zeros(1, out, channels, size, size))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, weight = self.modulation(style), self.weight[0]
        # Scaling what comes in, instead of the weights of each picture, is the same.
        found = conv2d(x * scale[..., None, None], weight, padding=weight.shape[-1] // 2)
        if not self.evens:
            return found
        power = (scale**2) @ weight.pow(2).sum((2, 3)).T
        return found * torch.rsqrt(power + EPSILON)[..., None, None]


class _Styled(nn.Module):
    """A convolution in a style, with noise."""

    def __init__(self, channels: int, out: int, style: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.doubles = doubles
        self.modulated_conv = _Modulated(channels, out, 3, style, evens=True)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, out, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = _resized(x, 2.0) if self.doubles else x
        return leaky_relu(self.modulated_conv(x, style) * GAIN + self.weight * noise + self.bias, SLOPE)


class _ToRgb(nn.Module):
    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.modulated_conv = _Modulated(channels, 3, 1, style, evens=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        colours: Tensor = self.modulated_conv(x, style)
        return colours + self.bias


def gfpgan_of(state: Mapping[str, Tensor]) -> Gfpgan | None:
    """The network of these weights, to be filled with those of them that it has; None: they are of another kind."""
    levels = _count(state, r"conv_body_down\.(\d+)\.conv2\.weight")
    first, last = state.get("conv_body_first.weight"), state.get("final_conv.weight")
    constant = state.get("stylegan_decoder.constant_input.weight")
    if first is None or last is None or constant is None or not levels:
        return None
    try:
        read = [state[f"conv_body_down.{n}.conv2.weight"].shape[0] for n in reversed(range(levels))]
        made = [state[f"stylegan_decoder.style_convs.{2 * n}.modulated_conv.weight"].shape[1] for n in range(levels)]
        style = state["stylegan_decoder.style_conv1.modulated_conv.modulation.weight"].shape[1]
        shifts = [state[f"condition_scale.{n}.2.weight"].shape[0] for n in range(levels)]
    except (KeyError, IndexError):
        return None
    return Gfpgan((*read, first.shape[0]), (constant.shape[1], *made), style, shifts)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _condition(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels, channels), nn.LeakyReLU(SLOPE), _conv(channels, out))


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)


def _resized(x: Tensor, factor: float) -> Tensor:
    return interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
