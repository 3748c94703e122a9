"""SwinIR: residual groups of layers with attention within windows.

Liang et al. 2021, arXiv:2108.10257, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, leaky_relu

from webui.engine.upscalers.residual import SLOPE, Shapes, conv, convs, count, mean_of, shuffled_out
from webui.engine.upscalers.windows import attended, offsets, padded
from webui.request.tiles import SWINIR


class SwinIR(nn.Module):
    """(b, c, h, w) in 0..1 -> the same, `scale` times as large."""

    kind = SWINIR

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors of a file. Raises KeyError, ValueError, IndexError: they are of another kind."""
        super().__init__()
        width, channels = shapes["conv_first.weight"][:2]
        table = shapes["layers.0.residual_group.blocks.0.attn.relative_position_bias_table"]
        self.window = self.grid = (round(table[0] ** 0.5) + 1) // 2
        self.conv_first = conv(channels, width)
        self.patch_embed = nn.Module()
        self.patch_embed.norm = nn.LayerNorm(width) if "patch_embed.norm.weight" in shapes else nn.Identity()
        groups = count(shapes, r"layers\.(\d+)\..+")
        self.layers = nn.ModuleList(_Group(shapes, f"layers.{number}", width, self.window) for number in range(groups))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = convs(shapes, "conv_after_body", width)
        if "conv_before_upsample.0.weight" in shapes:
            inner = shapes["conv_before_upsample.0.weight"][0]
            self.conv_before_upsample = nn.Sequential(conv(width, inner), nn.LeakyReLU())
        else:
            inner = width
        self.scale, self.nearest = 1, "conv_up1.weight" in shapes
        if self.nearest:
            self.ups = [name for name in ("conv_up1", "conv_up2") if f"{name}.weight" in shapes]
            for name in (*self.ups, "conv_hr"):
                self.add_module(name, conv(inner, inner))
            self.scale = 2 ** len(self.ups)
        elif "upsample.0.weight" in shapes:
            self.upsample, self.scale = shuffled_out(shapes, inner, channels)
        if "conv_last.weight" in shapes:
            self.conv_last = conv(inner, shapes["conv_last.weight"][0])
        self.channels = channels, channels

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        mean = mean_of(picture)
        x = padded(picture, self.window) - mean
        features = self.conv_first(x)
        features = self.conv_after_body(self._body(features)) + features
        if self.nearest:
            features = self.get_submodule("conv_before_upsample")(features)
            for name in self.ups:
                features = leaky_relu(self.get_submodule(name)(interpolate(features, scale_factor=2.0)), SLOPE)
            large = self.conv_last(leaky_relu(self.get_submodule("conv_hr")(features), SLOPE))
        elif self.scale == 1 and not hasattr(self, "upsample"):
            large = x + self.conv_last(features)
        else:
            if hasattr(self, "conv_before_upsample"):
                features = self.conv_before_upsample(features)
            large = self.upsample(features)
            large = self.conv_last(large) if hasattr(self, "conv_last") else large
        whole: Tensor = large + mean
        return whole[..., : height * self.scale, : width * self.scale]

    def _body(self, features: Tensor) -> Tensor:
        x = self.patch_embed.get_submodule("norm")(features.permute(0, 2, 3, 1))
        for group in self.layers:
            x = group(x)
        last: Tensor = self.norm(x)
        return last.permute(0, 3, 1, 2)


class _Group(nn.Module):
    def __init__(self, shapes: Shapes, where: str, width: int, window: int) -> None:
        super().__init__()
        inside = f"{where}.residual_group.blocks"
        blocks = count(shapes, rf"{re.escape(inside)}\.(\d+)\..+")
        self.residual_group = nn.Module()
        self.residual_group.blocks = nn.ModuleList(
            _Layer(shapes, f"{inside}.{number}", width, window, shifted=number % 2 == 1) for number in range(blocks)
        )
        self.conv = convs(shapes, f"{where}.conv", width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, c)"""
        inner = x
        for layer in self.residual_group.get_submodule("blocks").children():
            inner = layer(inner)
        folded: Tensor = self.conv(inner.permute(0, 3, 1, 2))
        return folded.permute(0, 2, 3, 1) + x


class _Layer(nn.Module):
    """Attention within windows, then two linear layers."""

    def __init__(self, shapes: Shapes, where: str, width: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        inner = shapes[f"{where}.mlp.fc1.weight"][0]
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(width, shapes[f"{where}.attn.relative_position_bias_table"][1], window, shifted=shifted)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        first, second = self.mlp.children()
        rest: Tensor = second(gelu(first(self.norm2(x))))
        return x + rest


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not share {width} channels")
        self.window, self.shifted = window, shifted
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        table = self.relative_position_bias_table
        bias = table[offsets((self.window, self.window), table.device)].permute(2, 0, 1)
        found: Tensor = self.proj(attended(self.qkv(x), bias, (self.window, self.window), shifted=self.shifted))
        return found


def swinir_of(state: Mapping[str, Tensor]) -> SwinIR | None:
    """The network of these weights, to be filled with those of them that it has; None: they are of another kind."""
    if "layers.0.residual_group.blocks.0.attn.relative_position_bias_table" not in state:
        return None
    try:
        return SwinIR({name: tensor.shape for name, tensor in state.items()})
    except (KeyError, ValueError, IndexError):
        return None
