"""RestoreFormer: the words of a codebook of faces, and at each size attention that the bad picture itself asks.

Wang et al. 2022, arXiv:2201.06374, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from webui.engine.restorers.parts import Codebook, GlobalAttention, Larger, ResidualBlock, Smaller, conv, normal

HEADS = 8
Shapes = Mapping[str, torch.Size]


class RestoreFormer(nn.Module):
    """(b, 3, side, side) in -1..1, RGB -> the same."""

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors of a file. Raises KeyError, IndexError, ValueError: they are of another kind."""
        super().__init__()
        self.encoder, self.decoder = _Encoder(shapes), _Decoder(shapes)
        inner, outer = shapes["quant_conv.weight"][:2]
        self.quant_conv, self.post_quant_conv = nn.Conv2d(outer, inner, 1), nn.Conv2d(inner, outer, 1)
        self.quantize = Codebook(*shapes["quantize.embedding.weight"])
        self.side = 512
        """As published; the network itself takes any."""

    def forward(self, face: Tensor, _weight: float = 0.0) -> Tensor:
        told, before, after = self.encoder(face)
        words = self.quantize.nearest(self.quant_conv(told))
        made: Tensor = self.decoder(self.post_quant_conv(words), before, after)
        return made


class _Encoder(nn.Module):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.conv_in = _conv_of(shapes, "encoder.conv_in")
        self.down = _levels(shapes, "encoder.down", "downsample")
        self.mid = _Middle(shapes, "encoder.mid")
        self.norm_out, self.conv_out = _normal_of(shapes, "encoder.norm_out"), _conv_of(shapes, "encoder.conv_out")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is told of the face, and what asks the decoder's attention: within its levels, and in its middle."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        before = self.mid.block_1(x)
        after = self.mid.block_2(self.mid.attn_1(before))
        return self.conv_out(silu(self.norm_out(after))), before, after


class _Decoder(nn.Module):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.conv_in = _conv_of(shapes, "decoder.conv_in")
        self.mid = _Middle(shapes, "decoder.mid")
        self.up = _levels(shapes, "decoder.up", "upsample")
        self.norm_out, self.conv_out = _normal_of(shapes, "decoder.norm_out"), _conv_of(shapes, "decoder.conv_out")

    def forward(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        x = self.mid.block_1(self.conv_in(x))
        x = self.mid.block_2(self.mid.attn_1(x, after))
        for level in reversed(self.up):
            x = level(x, before)
        made: Tensor = self.conv_out(silu(self.norm_out(x)))
        return made


class _Middle(nn.Module):
    def __init__(self, shapes: Shapes, where: str) -> None:
        super().__init__()
        self.block_1, self.block_2 = (_residual_of(shapes, f"{where}.block_{number}") for number in (1, 2))
        self.attn_1 = GlobalAttention(shapes[f"{where}.attn_1.q.weight"][0], HEADS, asked=True)


class _Level(nn.Module):
    """All that is done at one size, and the way to the next one."""

    def __init__(self, shapes: Shapes, where: str, resized: str) -> None:
        super().__init__()
        names = [f"{where}.block.{number}" for number in _numbers(shapes, rf"{re.escape(where)}\.block\.(\d+)\..+")]
        self.block = nn.ModuleList(_residual_of(shapes, name) for name in names)
        attention = _numbers(shapes, rf"{re.escape(where)}\.attn\.(\d+)\..+")
        if len(attention) not in (0, len(names)):
            raise ValueError(f"{where} has {len(names)} blocks, and {len(attention)} of attention")
        self.attn = nn.ModuleList(
            GlobalAttention(shapes[f"{where}.attn.{number}.q.weight"][0], HEADS, asked=True) for number in attention
        )
        end = shapes.get(f"{where}.{resized}.conv.weight")
        if end is not None:
            self.add_module(resized, Smaller(end[0]) if resized == "downsample" else Larger(end[0]))
        self.resized = resized if end is not None else ""

    def forward(self, x: Tensor, asked: Tensor | None = None) -> Tensor:
        for number, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[number](x, asked)
        return self.get_submodule(self.resized)(x) if self.resized else x


def restoreformer_of(state: Mapping[str, Tensor]) -> RestoreFormer | None:
    """The network of these weights (`own_names`), to be filled; None: they are of another kind."""
    if "encoder.conv_in.weight" not in state or "quant_conv.weight" not in state:
        return None
    try:
        return RestoreFormer({name: tensor.shape for name, tensor in state.items()})
    except (KeyError, IndexError, ValueError):
        return None


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as the network calls them: without what its training had beside it."""
    inside = {name.removeprefix("vqvae."): tensor for name, tensor in state.items() if name.startswith("vqvae.")}
    return {re.sub(r"\.nin_shortcut\.", ".conv_out.", name): each for name, each in (inside or state).items()}


def _levels(shapes: Shapes, where: str, resized: str) -> nn.ModuleList:
    numbers = _numbers(shapes, rf"{re.escape(where)}\.(\d+)\..+")
    return nn.ModuleList(_Level(shapes, f"{where}.{number}", resized) for number in numbers)


def _residual_of(shapes: Shapes, where: str) -> ResidualBlock:
    out, channels = shapes[f"{where}.conv1.weight"][:2]
    return ResidualBlock(channels, out)


def _conv_of(shapes: Shapes, where: str) -> nn.Conv2d:
    out, channels = shapes[f"{where}.weight"][:2]
    return conv(channels, out)


def _normal_of(shapes: Shapes, where: str) -> nn.GroupNorm:
    return normal(shapes[f"{where}.weight"][0])


def _numbers(shapes: Shapes, pattern: str) -> list[int]:
    return sorted({int(found[1]) for name in shapes if (found := re.fullmatch(pattern, name))})
