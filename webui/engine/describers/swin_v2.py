"""SwinV2 (Liu et al. 2021, arXiv:2111.09883) under timm's names: attention within windows, which move by half of their
side in every other block, by the angle between queries and keys and by a bias that a small network gives each distance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, scaled_dot_product_attention

from webui.engine.describers.timm_config import Activation, TimmConfig, count
from webui.engine.families.weights import WeightsFile

WIDEST = math.log(100)
"""The logarithm of the largest factor of a likeness."""
REACH, BIAS = 8, 16
"""Distances are counted from -8 to 8; biases from 0 to 16."""
HIDDEN = -100.0
"""Added where a window holds pixels that have come in again at the other edge."""
Names = Mapping[str, tuple[int, ...]]


def distances(window: int, first: int) -> Tensor:
    """(2 window - 1, 2 window - 1, 2): how far down and right, on a logarithmic scale (equation 4 of the paper).

    first: patches of the window's side in the first training; 0: as many as now.
    """
    steps = torch.arange(1 - window, window, dtype=torch.float32)
    steps = steps * REACH / max((first or window) - 1, 1)
    steps = steps.sign() * torch.log2(steps.abs() + 1) / math.log2(REACH)
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((down, right), -1)


def pairs(window: int) -> Tensor:
    """(window^2, window^2) int64: the place among `distances`, laid in a row, of each pair of patches."""
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    down, right = (place[:, :, None] - place[:, None, :] + window - 1).unbind()
    return down * (2 * window - 1) + right


def apart(side: int, window: int, shift: int) -> Tensor:
    """(windows, 1, window^2, window^2): 0 for patches that were neighbours before the picture was rolled by `shift`."""
    band = torch.zeros(side, dtype=torch.int64)
    band[side - window :] = 1
    band[side - shift :] = 2
    regions = windows_of((3 * band[:, None] + band)[None, :, :, None], window)[0, :, :, 0]
    return torch.where(regions[:, :, None] == regions[:, None, :], 0.0, HIDDEN)[:, None]


def windows_of(x: Tensor, window: int) -> Tensor:
    """(b, h, w, c) -> (b, windows, window^2, c)"""
    rows, high, wide, channels = x.shape
    x = x.reshape(rows, high // window, window, wide // window, window, channels)
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def joined(x: Tensor, side: int, window: int) -> Tensor:
    """(b, windows, window^2, c) -> (b, side, side, c)"""
    across = side // window
    x = x.reshape(len(x), across, across, window, window, x.shape[3])
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class AttentionWithin(nn.Module):
    """Within each window by itself."""

    def __init__(self, shapes: Names, at: str, window: int, first: int) -> None:
        super().__init__()
        width, heads = shapes[f"{at}.proj.weight"][0], shapes[f"{at}.logit_scale"][0]
        hidden = shapes[f"{at}.cpb_mlp.0.weight"][0]
        self.logit_scale = nn.Parameter(torch.empty(heads, 1, 1))
        self.q_bias, self.v_bias = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.heads, self.window, self.first = heads, window, first

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (b, windows, window^2, width); mask: (windows, 1, window^2, window^2) -> like x."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = linear(x, self.qkv.weight, bias).reshape(*x.shape[:3], 3, self.heads, -1)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind()
        scale = self.logit_scale.clamp(max=WIDEST).exp()
        table: Tensor = self.cpb_mlp(distances(self.window, self.first).to(x)).flatten(0, 1)
        near = BIAS * table[pairs(self.window).to(x.device)].permute(2, 0, 1).sigmoid()
        added = near if mask is None else near + mask.to(x)
        seen = scaled_dot_product_attention(
            normalize(q, dim=-1) * scale, normalize(k, dim=-1), v, attn_mask=added, scale=1.0
        )
        out: Tensor = self.proj(seen.transpose(2, 3).flatten(3))
        return out


class SwinBlock(nn.Module):
    """Attention and two layers, each normalised and then added to what it was given."""

    def __init__(self, shapes: Names, at: str, config: TimmConfig, side: int, window: int, first: int) -> None:
        super().__init__()
        width, inner = shapes[f"{at}.attn.proj.weight"][0], shapes[f"{at}.mlp.fc1.weight"][0]
        self.attn = AttentionWithin(shapes, f"{at}.attn", window, first)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.activation: Activation = config.activation
        self.side, self.window = side, window
        self.shift = 0

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, side, side, width) -> the same."""
        moved = x.roll((-self.shift, -self.shift), (1, 2)) if self.shift else x
        mask = apart(self.side, self.window, self.shift) if self.shift else None
        seen = joined(self.attn(windows_of(moved, self.window), mask), self.side, self.window)
        x = x + self.norm1(seen.roll((self.shift, self.shift), (1, 2)) if self.shift else seen)
        inner: Tensor = self.norm2(self.mlp["fc2"](self.activation(self.mlp["fc1"](x))))
        return x + inner


class PatchMerging(nn.Module):
    """Each square of four patches becomes one."""

    def __init__(self, shapes: Names, at: str) -> None:
        super().__init__()
        width, taken = shapes[f"{at}.reduction.weight"]
        self.reduction, self.norm = nn.Linear(taken, width, bias=False), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, c) -> (b, h / 2, w / 2, width): of the four, down comes before right."""
        rows, high, wide, channels = x.shape
        four = x.reshape(rows, high // 2, 2, wide // 2, 2, channels).permute(0, 1, 3, 4, 2, 5).flatten(3)
        out: Tensor = self.norm(self.reduction(four))
        return out


class SwinV2(nn.Module):
    """The network: the mean of what it says of all patches gives the scores."""

    def __init__(self, file: WeightsFile, config: TimmConfig) -> None:
        """
        Raises:
            KeyError, ValueError: these are not the tensors of one, or its windows do not fit into its pictures.
        """
        super().__init__()
        shapes = file.shapes
        width, channels, patch, _ = shapes["patch_embed.proj.weight"]
        embed = {"proj": nn.Conv2d(channels, width, patch, patch), "norm": nn.LayerNorm(width)}
        self.patch_embed = nn.ModuleDict(embed)
        side, first = config.side // patch, _first(config)
        self.layers = nn.ModuleList()
        for stage in range(count(file, r"layers\.(\d+)\.blocks\.0\.attn\.logit_scale")):
            at = f"layers.{stage}"
            merging = PatchMerging(shapes, f"{at}.downsample") if stage else None
            side = side // 2 if stage else side
            window = min(_window(config), side)
            if side < 1 or side % window or (stage == 0 and config.side % patch):
                raise ValueError(f"its windows of {window} patches do not fit into {side}")
            blocks = nn.Sequential()
            for number in range(count(file, rf"layers\.{stage}\.blocks\.(\d+)\.attn\.logit_scale")):
                early = first[stage] if stage < len(first) else 0
                block = SwinBlock(shapes, f"{at}.blocks.{number}", config, side, window, early)
                block.shift = window // 2 if number % 2 and side > window else 0
                blocks.append(block)
            self.layers.append(nn.ModuleDict({"blocks": blocks} | ({"downsample": merging} if merging else {})))
            width = shapes[f"{at}.blocks.0.norm1.weight"][0]
        self.norm = nn.LayerNorm(width)
        self.head = nn.ModuleDict({"fc": nn.Linear(width, shapes["head.fc.weight"][0])})

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, 3, side, side) -> (b, tags), from minus to plus infinity."""
        x = self.patch_embed["norm"](self.patch_embed["proj"](x).permute(0, 2, 3, 1))
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            x = layer["blocks"](layer["downsample"](x) if "downsample" in layer else x)
        scores: Tensor = self.head["fc"](self.norm(x).mean((1, 2)))
        return scores


def _window(config: TimmConfig) -> int:
    """As said, else as the architecture is called (swinv2_base_window12to16_192to256). Raises ValueError."""
    called = re.search(r"window(?:\d+to)?(\d+)", config.architecture)
    if config.window or called is None:
        if not config.window:
            raise ValueError("how wide its windows are is not said in config.json")
        return config.window
    return int(called[1])


def _first(config: TimmConfig) -> Sequence[int]:
    """Of each stage, the windows of the first training, where they were others."""
    called = re.search(r"window(\d+)to\d+", config.architecture)
    if config.first_windows or called is None:
        return config.first_windows
    wide = int(called[1])
    return (wide, wide, wide, wide // 2)
