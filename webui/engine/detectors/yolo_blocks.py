"""What the networks of YOLOv8 and YOLO11 are built of, each from the tensors of a file: widths, depths and the number
of classes are as these have them.

Written from descriptions of the architectures: Reis et al. 2023, arXiv:2305.09972, and Terven et al. 2023,
arXiv:2304.00501 (C2f blocks, a head without anchors); Khanam and Hussain 2024, arXiv:2410.17725 (C3k2 and C2PSA);
He et al. 2014, arXiv:1406.4729, in its sequential form (SPPF); Bolya et al. 2019, arXiv:1904.02689 (masks).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from webui.engine.families.weights import broken

EPSILON = 1e-3
"""Of its batch normalizations."""
TO_ONNX = "Convert it where it was made (yolo export model=NAME.pt format=onnx) and put NAME.onnx here instead."
NO_SUCH = "it is no YOLOv8 or YOLO11 detector"
HEAD_WIDTH = 64
"""Channels of a head of attention."""


class Tensors:
    """The tensors of a file, by name, taken one by one."""

    def __init__(self, path: Path, found: Mapping[str, Tensor]) -> None:
        self.path, self._found = path, found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, name: str, *sides: int | None) -> Tensor:
        """A tensor, float32; sides: those that it must have, None for any.

        Raises:
            ModelError: it is missing, or of another shape.
        """
        tensor = self._found.get(name)
        if tensor is None:
            raise broken(self.path, f"{NO_SUCH}, or it is incomplete ({name} is missing)", TO_ONNX)
        fits = tensor.ndim == len(sides) and all(
            side in (None, own) for side, own in zip(sides, tensor.shape, strict=False)
        )
        if not fits:
            raise broken(self.path, f"{NO_SUCH} ({name} has the shape {list(tensor.shape)})", TO_ONNX)
        return tensor.detach().float()


def _convolution(tensors: Tensors, name: str, stride: int = 1) -> nn.Conv2d:
    """With the batch normalization beside it, if there is one, folded in."""
    kernel = tensors.take(f"{name}.conv.weight", None, None, None, None)
    out = kernel.shape[0]
    if f"{name}.bn.weight" in tensors:
        scale, shift, mean, spread = (
            tensors.take(f"{name}.bn.{part}", out) for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / (spread + EPSILON).sqrt()
        kernel, bias = kernel * factor[:, None, None, None], shift - mean * factor
    else:
        bias = tensors.take(f"{name}.conv.bias", out)
    return filled(kernel, bias, stride)


def filled(kernel: Tensor, bias: Tensor, stride: int = 1) -> nn.Conv2d:
    """A convolution with these numbers; one that sees a single channel sees each by itself."""
    out, into, high, wide = kernel.shape
    groups = out if into == 1 else 1
    padding = (high // 2, wide // 2)
    layer = nn.Conv2d(into * groups, out, (high, wide), stride, padding, groups=groups, device="meta")
    layer.weight, layer.bias = nn.Parameter(kernel), nn.Parameter(bias)
    return layer


class Convolution(nn.Module):
    """A convolution and, unless it is linear, SiLU."""

    def __init__(self, tensors: Tensors, name: str, stride: int = 1, *, is_linear: bool = False) -> None:
        super().__init__()
        self.layer = _convolution(tensors, name, stride)
        self.is_linear = is_linear

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layer(x)
        return made if self.is_linear else nn.functional.silu(made)


class Bottleneck(nn.Module):
    """Two convolutions; where it adds, to what they are given."""

    def __init__(self, tensors: Tensors, name: str, *, adds: bool) -> None:
        super().__init__()
        self.first, self.second = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(x))
        return x + made if self.adds else made


class C3k(nn.Module):
    """One half goes through bottlenecks one after the other, the other one past them."""

    def __init__(self, tensors: Tensors, name: str, *, adds: bool) -> None:
        super().__init__()
        self.first, self.past, self.last = (Convolution(tensors, f"{name}.cv{number}") for number in (1, 2, 3))
        self.blocks = nn.Sequential(*_bottlenecks(tensors, name, adds=adds))

    def forward(self, x: Tensor) -> Tensor:
        whole: Tensor = self.last(torch.cat((self.blocks(self.first(x)), self.past(x)), dim=1))
        return whole


class C2f(nn.Module):
    """Half of the channels goes through bottlenecks, or C3k blocks (C3k2), one after the other; all that comes on the
    way is put together."""

    def __init__(self, tensors: Tensors, name: str, *, adds: bool) -> None:
        super().__init__()
        self.first, self.last = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")
        self.blocks = nn.ModuleList(_bottlenecks(tensors, name, adds=adds))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        whole: Tensor = self.last(torch.cat(parts, dim=1))
        return whole


def _bottlenecks(tensors: Tensors, name: str, *, adds: bool) -> list[nn.Module]:
    """As many as there are."""
    blocks: list[nn.Module] = []
    while f"{name}.m.{len(blocks)}.cv1.conv.weight" in tensors:
        place = f"{name}.m.{len(blocks)}"
        kind = C3k if f"{place}.cv3.conv.weight" in tensors else Bottleneck
        blocks.append(kind(tensors, place, adds=adds))
    return blocks


class PlaceAttention(nn.Module):
    """Each place looks at all others; what is there is told as well (Wang et al. 2024, arXiv:2405.14458)."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.asked, self.placed, self.last = (
            Convolution(tensors, f"{name}.{part}", is_linear=True) for part in ("qkv", "pe", "proj")
        )
        channels = self.last.layer.out_channels
        self.heads = max(channels // HEAD_WIDTH, 1)
        self.width = (self.asked.layer.out_channels - channels) // (2 * self.heads)

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        whole = self.asked(x).reshape(rows, self.heads, -1, height * width)
        query, key, value = whole.split([self.width, self.width, channels // self.heads], dim=2)
        looked = nn.functional.scaled_dot_product_attention(query.mT, key.mT, value.mT).mT
        placed = self.placed(value.reshape(x.shape))
        made: Tensor = self.last(looked.reshape(x.shape) + placed)
        return made


class C2PSA(nn.Module):
    """Half of the channels goes through blocks of attention."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.first, self.last = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")
        attentions: list[nn.Module] = []
        after: list[nn.Module] = []
        while f"{name}.m.{len(attentions)}.attn.qkv.conv.weight" in tensors:
            place = f"{name}.m.{len(attentions)}"
            attentions.append(PlaceAttention(tensors, f"{place}.attn"))
            wider, narrower = Convolution(tensors, f"{place}.ffn.0"), f"{place}.ffn.1"
            after.append(nn.Sequential(wider, Convolution(tensors, narrower, is_linear=True)))
        self.attentions, self.after = nn.ModuleList(attentions), nn.ModuleList(after)

    def forward(self, x: Tensor) -> Tensor:
        past, inner = self.first(x).chunk(2, dim=1)
        for attention, after in zip(self.attentions, self.after, strict=True):
            inner = inner + attention(inner)
            inner = inner + after(inner)
        whole: Tensor = self.last(torch.cat((past, inner), dim=1))
        return whole


class SPPF(nn.Module):
    """Ever wider surroundings of each place: the largest within 5, 9 and 13 pixels."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.first, self.last = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(nn.functional.max_pool2d(parts[-1], 5, stride=1, padding=2))
        whole: Tensor = self.last(torch.cat(parts, dim=1))
        return whole


class Branch(nn.Module):
    """Two convolutions, or two pairs of them, and a linear layer at each place of a map."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        kernel = tensors.take(f"{name}.2.weight", None, None, 1, 1)
        in_pairs = f"{name}.0.0.conv.weight" in tensors
        places = ("0.0", "0.1", "1.0", "1.1") if in_pairs else ("0", "1")
        self.layers = nn.Sequential(
            *(Convolution(tensors, f"{name}.{place}") for place in places),
            filled(kernel, tensors.take(f"{name}.2.bias", kernel.shape[0])),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x).flatten(2)
        return made


class Prototypes(nn.Module):
    """The shapes that masks are sums of, at a quarter of the picture's size."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.first, self.second, self.last = (Convolution(tensors, f"{name}.cv{number}") for number in (1, 2, 3))
        kernel = tensors.take(f"{name}.upsample.weight", None, None, 2, 2)
        self.larger = nn.ConvTranspose2d(kernel.shape[0], kernel.shape[1], 2, stride=2, device="meta")
        self.larger.weight = nn.Parameter(kernel)
        self.larger.bias = nn.Parameter(tensors.take(f"{name}.upsample.bias", kernel.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(self.second(self.larger(self.first(x))))
        return made
