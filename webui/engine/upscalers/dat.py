"""DAT, the dual aggregation transformer: attention over places and over channels by turns, each beside a convolution.

Chen et al. 2023, "Dual Aggregation Transformer for Image Super-Resolution", ICCV, arXiv:2308.03364, section 3.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, gelu, normalize, pad

from webui.engine.upscalers.residual import Shapes, conv, convs, count, mean_of, shuffled_out
from webui.engine.upscalers.windows import Sides, attended, offsets
from webui.request.tiles import DAT

LONGEST = 64
"""Places of a window's side; the published ones have 32."""
FIRST = "layers.0.blocks.0.attn.attns.0.rpe_biases"


class Dat(nn.Module):
    """(b, c, h, w) in 0..1 -> the same, `scale` times as large.

    Attention over channels, and the weights of the convolutions beside the windows, are of the picture as a whole.
    """

    kind = DAT

    def __init__(self, shapes: Shapes, windows: Mapping[str, Sides]) -> None:
        """shapes: of the tensors of a file; windows: by the names of the tensors that tell them.

        Raises KeyError, ValueError, IndexError: they are of another kind.
        """
        super().__init__()
        width, channels = shapes["conv_first.weight"][:2]
        self.channels = channels, channels
        self.grid = max(side for window in windows.values() for side in window)
        self.conv_first = conv(channels, width)
        self.before_RG = nn.Sequential(nn.Identity(), nn.LayerNorm(width))
        groups = count(shapes, r"layers\.(\d+)\..+")
        self.layers = nn.ModuleList(_Group(shapes, windows, number, width) for number in range(groups))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = convs(shapes, "conv_after_body", width)
        inner = width
        self.conv_before_upsample = nn.Sequential()
        if "conv_before_upsample.0.weight" in shapes:
            inner = shapes["conv_before_upsample.0.weight"][0]
            self.conv_before_upsample = nn.Sequential(conv(width, inner), nn.LeakyReLU())
        self.upsample, self.scale = shuffled_out(shapes, inner, channels)
        self.conv_last = conv(inner, channels) if "conv_last.weight" in shapes else nn.Identity()

    def forward(self, picture: Tensor) -> Tensor:
        mean = mean_of(picture)
        features = self.conv_first(picture - mean)
        x = self.before_RG(features.permute(0, 2, 3, 1))
        for group in self.layers:
            x = group(x)
        features = self.conv_after_body(self.norm(x).permute(0, 3, 1, 2)) + features
        large: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(features)))
        return large + mean


class _Group(nn.Module):
    def __init__(self, shapes: Shapes, windows: Mapping[str, Sides], number: int, width: int) -> None:
        super().__init__()
        inside = f"layers.{number}.blocks"
        blocks = count(shapes, rf"{re.escape(inside)}\.(\d+)\..+")
        # Of the blocks that attend within windows, every other one has them shifted; odd groups begin with one.
        self.blocks = nn.ModuleList(
            _Block(shapes, windows, f"{inside}.{block}", width, shifted=block % 4 == (0 if number % 2 else 2))
            for block in range(blocks)
        )
        self.conv = convs(shapes, f"layers.{number}.conv", width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, c)"""
        inner = x
        for block in self.blocks:
            inner = block(inner)
        folded: Tensor = self.conv(inner.permute(0, 3, 1, 2))
        return folded.permute(0, 2, 3, 1) + x


class _Block(nn.Module):
    def __init__(self, shapes: Shapes, windows: Mapping[str, Sides], where: str, width: int, *, shifted: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = (
            _OfChannels(shapes, f"{where}.attn", width)
            if f"{where}.attn.temperature" in shapes
            else _OfPlaces(shapes, windows, f"{where}.attn", width, shifted=shifted)
        )
        self.ffn = _Gated(width, shapes[f"{where}.ffn.fc1.weight"][0])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        rest: Tensor = self.ffn(self.norm2(x))
        return x + rest


class _Gated(nn.Module):
    """Two linear layers; half of what lies between is multiplied by the other half, convolved. Section 3.3."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        half = inner // 2
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(half, width)
        self.sg = nn.Module()
        self.sg.norm, self.sg.conv = nn.LayerNorm(half), nn.Conv2d(half, half, 3, padding=1, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        kept, gate = gelu(self.fc1(x)).chunk(2, -1)
        norm, convolution = self.sg.children()
        found: Tensor = self.fc2(kept * convolution(norm(gate).permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return found


class _Beside(nn.Module, ABC):
    """Attention beside a convolution of the values, each weighed by the other. Section 3.2."""

    def __init__(self, shapes: Shapes, where: str, width: int) -> None:
        super().__init__()
        few, fewer = (
            shapes[f"{where}.channel_interaction.1.weight"][0],
            shapes[f"{where}.spatial_interaction.0.weight"][0],
        )
        self.qkv = nn.Linear(width, 3 * width, bias=f"{where}.qkv.bias" in shapes)
        self.proj = nn.Linear(width, width)
        self.dwconv = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), _Norm(width), nn.GELU())
        self.channel_interaction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, few, 1), _Norm(few), nn.GELU(), nn.Conv2d(few, width, 1)
        )
        self.spatial_interaction = nn.Sequential(
            nn.Conv2d(width, fewer, 1), _Norm(fewer), nn.GELU(), nn.Conv2d(fewer, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, c)"""
        qkv = self.qkv(x)
        attention = self.attention(qkv).permute(0, 3, 1, 2)
        convolved = self.dwconv(qkv.chunk(3, -1)[2].permute(0, 3, 1, 2))
        both = self.mixed(attention, convolved)
        found: Tensor = self.proj(both.permute(0, 2, 3, 1))
        return found

    @abstractmethod
    def attention(self, qkv: Tensor) -> Tensor:
        """(b, h, w, 3 * c) -> (b, h, w, c)"""

    @abstractmethod
    def mixed(self, attention: Tensor, convolved: Tensor) -> Tensor:
        """Of (b, c, h, w) each."""


class _OfPlaces(_Beside):
    """Half of the channels within flat windows, half within upright ones."""

    def __init__(self, shapes: Shapes, windows: Mapping[str, Sides], where: str, width: int, *, shifted: bool) -> None:
        super().__init__(shapes, where, width)
        self.shifted = shifted
        names = [f"{where}.attns.{number}" for number in range(2)]
        self.attns = nn.ModuleList(_Positions(shapes, name, windows[f"{name}.rpe_biases"]) for name in names)
        self.windows = [windows[f"{name}.rpe_biases"] for name in names]
        if any((width // 2) % shapes[f"{name}.pos.pos3.2.weight"][0] for name in names):
            raise ValueError(f"the heads do not share {width} channels")

    def attention(self, qkv: Tensor) -> Tensor:
        height, width, channels = qkv.shape[1:]
        side = max(side for window in self.windows for side in window)
        # As published: what the windows lack at the edges is filled with queries, keys and values of zero.
        whole = pad(qkv, (0, 0, 0, -width % side, 0, -height % side))
        halves = whole.reshape(*whole.shape[:3], 3, 2, channels // 6).unbind(4)
        found = [
            attended(half.flatten(3), positions(), window, shifted=self.shifted)[:, :height, :width]
            for half, positions, window in zip(halves, self.attns, self.windows, strict=True)
        ]
        return torch.cat(found, -1)

    def mixed(self, attention: Tensor, convolved: Tensor) -> Tensor:
        of_channels, of_places = self.channel_interaction(convolved), self.spatial_interaction(attention)
        both: Tensor = attention * of_channels.sigmoid() + convolved * of_places.sigmoid()
        return both


class _Positions(nn.Module):
    """How much each place of a window looks at each other one, by the way between them."""

    def __init__(self, shapes: Shapes, where: str, window: Sides) -> None:
        super().__init__()
        self.window = window
        heads, inner = shapes[f"{where}.pos.pos3.2.weight"]
        self.rpe_biases: Tensor
        self.register_buffer("rpe_biases", torch.zeros((2 * window[0] - 1) * (2 * window[1] - 1), 2))
        self.pos = nn.Module()
        self.pos.pos_proj = nn.Linear(2, inner)
        for name, out in (("pos1", inner), ("pos2", inner), ("pos3", heads)):
            self.pos.add_module(name, nn.Sequential(nn.LayerNorm(inner), nn.ReLU(), nn.Linear(inner, out)))

    def forward(self) -> Tensor:
        """(heads, places, places)"""
        ways = self.rpe_biases
        for layer in self.pos.children():
            ways = layer(ways)
        return ways[offsets(self.window, ways.device)].permute(2, 0, 1)


class _OfChannels(_Beside):
    """Each channel of a head looks at its others, over all places."""

    def __init__(self, shapes: Shapes, where: str, width: int) -> None:
        super().__init__(shapes, where, width)
        self.heads = shapes[f"{where}.temperature"][0]
        if width % self.heads:
            raise ValueError(f"{self.heads} heads do not share {width} channels")
        self.temperature = nn.Parameter(torch.zeros(self.heads, 1, 1))

    def attention(self, qkv: Tensor) -> Tensor:
        batch, height, width, channels = qkv.shape
        # three of (b, heads, channels of a head, places)
        q, k, v = qkv.reshape(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 4, 1)
        ways = (normalize(q, dim=-1) @ normalize(k, dim=-1).transpose(-2, -1) * self.temperature).softmax(-1)
        found: Tensor = (ways @ v).permute(0, 3, 1, 2).reshape(batch, height, width, channels // 3)
        return found

    def mixed(self, attention: Tensor, convolved: Tensor) -> Tensor:
        of_channels, of_places = self.channel_interaction(attention), self.spatial_interaction(convolved)
        both: Tensor = attention * of_places.sigmoid() + convolved * of_channels.sigmoid()
        return both


class _Norm(nn.Module):
    """By what was seen in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


def dat_of(state: Mapping[str, Tensor]) -> Dat | None:
    """The network of these weights, to be filled with those of them that it has; None: they are of another kind."""
    if FIRST not in state:
        return None
    try:
        windows = {name: _window(tensor) for name, tensor in state.items() if name.endswith(".rpe_biases")}
        return Dat({name: tensor.shape for name, tensor in state.items()}, windows)
    except (KeyError, ValueError, IndexError, OverflowError):
        return None


def _window(ways: Tensor) -> Sides:
    """By the first of the ways from place to place, which leads from the last one to the first.

    Raises ValueError: these are no such ways.
    """
    down, across = (1 - int(way) for way in ways[0].tolist())
    if not (1 <= down <= LONGEST and 1 <= across <= LONGEST and len(ways) == (2 * down - 1) * (2 * across - 1)):
        raise ValueError("no window")
    return down, across
