"""ScuNET, which removes noise: a U-Net whose blocks are half convolutions, half attention within windows.

Zhang et al. 2022, arXiv:2203.13278, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from webui.engine.upscalers.windows import attended, offsets, padded
from webui.request.tiles import SCUNET

GRID = 64
"""Both sides of a picture are made multiples of so many pixels; mirrored, as in A1111."""
LEVELS = 3
Shapes = Mapping[str, torch.Size]


class ScuNet(nn.Module):
    """(b, c, h, w) in 0..1 -> the same."""

    scale = 1
    kind = SCUNET
    grid = GRID

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors of a file. Raises KeyError, ValueError, IndexError: they are of another kind."""
        super().__init__()
        width, channels = shapes["m_head.0.weight"][:2]
        self.channels = channels, shapes["m_tail.0.weight"][0]
        self.m_head = nn.Sequential(_conv(channels, width))
        for level in range(1, LEVELS + 1):
            own = width * 2 ** (level - 1)
            self.add_module(
                f"m_down{level}",
                nn.Sequential(*_blocks(shapes, f"m_down{level}", own), nn.Conv2d(own, 2 * own, 2, 2, bias=False)),
            )
            self.add_module(
                f"m_up{level}",
                nn.Sequential(
                    nn.ConvTranspose2d(2 * own, own, 2, 2, bias=False), *_blocks(shapes, f"m_up{level}", own)
                ),
            )
        self.m_body = nn.Sequential(*_blocks(shapes, "m_body", width * 2**LEVELS))
        self.m_tail = nn.Sequential(_conv(width, self.channels[1]))

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        x = self.m_head(padded(picture, GRID))
        seen = [x]
        for level in range(1, LEVELS + 1):
            x = self.get_submodule(f"m_down{level}")(x)
            seen.append(x)
        x = self.m_body(x)
        for level in range(LEVELS, 0, -1):
            x = self.get_submodule(f"m_up{level}")(x + seen[level])
        clean: Tensor = self.m_tail(x + seen[0])
        return clean[..., :height, :width]


class _Block(nn.Module):
    """Half of the channels by convolutions, half by attention."""

    def __init__(self, shapes: Shapes, where: str, width: int, *, shifted: bool) -> None:
        super().__init__()
        half = width // 2
        self.trans_block = _Transformer(shapes[f"{where}.trans_block.msa.relative_position_params"], half, shifted)
        self.conv1_1, self.conv1_2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.conv_block = nn.Sequential(_conv(half, half), nn.ReLU(), _conv(half, half))

    def forward(self, x: Tensor) -> Tensor:
        convolved, attending = self.conv1_1(x).chunk(2, 1)
        convolved = self.conv_block(convolved) + convolved
        attending = self.trans_block(attending.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        both: Tensor = self.conv1_2(torch.cat([convolved, attending], 1))
        return x + both


class _Transformer(nn.Module):
    def __init__(self, ways: torch.Size, width: int, shifted: bool) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.msa = _Attention(ways, width, shifted)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.msa(self.ln1(x))
        rest: Tensor = self.mlp(self.ln2(x))
        return x + rest


class _Attention(nn.Module):
    def __init__(self, ways: torch.Size, width: int, shifted: bool) -> None:
        super().__init__()
        heads, down, across = ways
        if width % heads or down != across:
            raise ValueError(f"{heads} heads do not share {width} channels")
        self.window, self.shifted = (down + 1) // 2, shifted
        self.relative_position_params = nn.Parameter(torch.zeros(ways))
        self.embedding_layer, self.linear = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.relative_position_params.flatten(1)[:, offsets((self.window, self.window), x.device)]
        found: Tensor = self.linear(
            attended(self.embedding_layer(x), bias, (self.window, self.window), shifted=self.shifted)
        )
        return found


def scunet_of(state: Mapping[str, Tensor]) -> ScuNet | None:
    """The network of these weights, to be filled with those of them that it has; None: they are of another kind."""
    if "m_head.0.weight" not in state or "m_body.0.trans_block.msa.relative_position_params" not in state:
        return None
    try:
        return ScuNet({name: tensor.shape for name, tensor in state.items()})
    except (KeyError, ValueError, IndexError):
        return None


def _blocks(shapes: Shapes, where: str, width: int) -> list[nn.Module]:
    numbers = sorted({int(found[1]) for name in shapes if (found := re.match(rf"{where}\.(\d+)\.trans_block", name))})
    return [_Block(shapes, f"{where}.{number}", width, shifted=rank % 2 == 1) for rank, number in enumerate(numbers)]


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, bias=False)
