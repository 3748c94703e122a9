"""CodeFormer: a transformer guesses the words of a codebook of faces that a bad picture of a face stands for.

Zhou et al. 2022, arXiv:2206.11253: the codebook (section 3.1), the transformer (3.2), and how much of the picture is
let in (3.3). The weights that its authors published are for non-commercial use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from webui.engine.restorers.parts import Codebook, GlobalAttention, Larger, ResidualBlock, Smaller, conv, normal

HEADS = 8
"""Of the transformer's attention."""
SLOPE = 0.2
EPSILON = 1e-5


class CodeFormer(nn.Module):
    """(b, 3, side, side) in -1..1, RGB -> the same; weight: from 0, the best face, to 1, the most like the picture."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        """shapes: of the tensors of a file. Raises KeyError, IndexError, ValueError: they are of another kind."""
        super().__init__()
        places, width = shapes["position_emb"]
        words, channels = shapes["quantize.embedding.weight"]
        self.encoder, self.generator = _Blocks(shapes, "encoder", Smaller), _Blocks(shapes, "generator", Larger)
        self.grid = round(places**0.5)
        self.side = self.grid * 2 ** sum(isinstance(block, Smaller) for block in self.encoder.blocks)
        self.quantize = Codebook(words, channels)
        self.position_emb = nn.Parameter(torch.zeros(places, width))
        self.feat_emb = nn.Linear(channels, width)
        layers = _numbers(shapes, r"ft_layers\.(\d+)\..+")
        self.ft_layers = nn.ModuleList(_Layer(width, shapes[f"ft_layers.{n}.linear1.weight"][0]) for n in layers)
        self.idx_pred_layer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, words, bias=False))
        fused = _numbers(shapes, r"fuse_convs_dict\.(\d+)\.scale\.0\.weight")
        self.fuse_convs_dict = nn.ModuleDict(
            {str(side): _Fused(shapes[f"fuse_convs_dict.{side}.scale.0.weight"][0]) for side in fused}
        )

    def forward(self, face: Tensor, weight: float = 0.5) -> Tensor:
        seen: dict[str, Tensor] = {}
        x = face
        for block in self.encoder.blocks:
            if isinstance(block, Smaller):
                seen[str(x.shape[-1])] = x
            x = block(x)
        x = _coloured(self.quantize.spelt(self._words(x), self.grid), x)
        grown = False
        for block in self.generator.blocks:
            x = block(x)
            name = str(x.shape[-1])
            if grown and weight > 0 and name in self.fuse_convs_dict and name in seen:
                x = self.fuse_convs_dict[name](seen[name], x, weight)
            grown = isinstance(block, Larger)
        return x

    def _words(self, x: Tensor) -> Tensor:
        """(b, places): the likeliest word at each place."""
        told = self.feat_emb(x.flatten(2).transpose(1, 2))
        for layer in self.ft_layers:
            told = layer(told, self.position_emb)
        likely: Tensor = self.idx_pred_layer(told)
        return likely.argmax(2)


class _Blocks(nn.Module):
    """One block after the other, as their tensors say what they are."""

    def __init__(self, shapes: Mapping[str, torch.Size], where: str, resized: type[Smaller | Larger]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for number in _numbers(shapes, rf"{where}\.blocks\.(\d+)\..+"):
            own = f"{where}.blocks.{number}"
            weight = shapes.get(f"{own}.weight")
            if weight is not None:
                self.blocks.append(normal(weight[0]) if len(weight) == 1 else conv(weight[1], weight[0]))
            elif f"{own}.q.weight" in shapes:
                self.blocks.append(GlobalAttention(shapes[f"{own}.q.weight"][0], 1))
            elif f"{own}.conv.weight" in shapes:
                self.blocks.append(resized(shapes[f"{own}.conv.weight"][0]))
            else:
                out, channels = shapes[f"{own}.conv1.weight"][:2]
                self.blocks.append(ResidualBlock(channels, out))


class _Layer(nn.Module):
    """Attention and two linear layers; the places take part where it is decided who looks at whom."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        own = self.norm1(x)
        looks = own + places
        x = x + self.self_attn(looks, looks, own, need_weights=False)[0]
        rest: Tensor = self.linear2(gelu(self.linear1(self.norm2(x))))
        return x + rest


class _Fused(nn.Module):
    """Lets the picture itself in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = ResidualBlock(2 * channels, channels)
        self.scale, self.shift = (
            nn.Sequential(conv(channels, channels), nn.LeakyReLU(SLOPE), conv(channels, channels)) for _ in range(2)
        )

    def forward(self, seen: Tensor, made: Tensor, weight: float) -> Tensor:
        both = self.encode_enc(torch.cat([seen, made], 1))
        change: Tensor = made * self.scale(both) + self.shift(both)
        return made + weight * change


def codeformer_of(state: Mapping[str, Tensor]) -> CodeFormer | None:
    """The network of these weights, to be filled; None: they are of another kind."""
    if "position_emb" not in state or "quantize.embedding.weight" not in state:
        return None
    try:
        return CodeFormer({name: tensor.shape for name, tensor in state.items()})
    except (KeyError, IndexError, ValueError):
        return None


def _coloured(made: Tensor, as_in: Tensor) -> Tensor:
    """With the mean and the spread of each channel as in another: Huang and Belongie 2017, arXiv:1703.06868."""
    mean, spread = _statistics(made)
    wanted, wide = _statistics(as_in)
    return (made - mean) / spread * wide + wanted


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + EPSILON).sqrt()


def _numbers(shapes: Mapping[str, torch.Size], pattern: str) -> list[int]:
    """The numbers that names have there, in order."""
    return sorted({int(found[1]) for name in shapes if (found := re.fullmatch(pattern, name))})
