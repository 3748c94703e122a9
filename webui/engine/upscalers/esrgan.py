"""ESRGAN's network and its relatives: most upscaler files that people have.

Residual in residual dense blocks: Wang et al. 2018, arXiv:1809.00219, section 3.1; Real-ESRGAN's unshuffled input:
Wang et al. 2021, arXiv:2107.10833, section 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad, pixel_unshuffle

from webui.request.tiles import OTHER

N = TypeVar("N", bound=nn.Module)

SLOPE = 0.2
"""Of the leaky rectifier."""
RESIDUAL = 0.2
"""What each block adds is scaled by this."""

# A tensor's name in older files -> today's. ESRGAN wrote a plain sequence, RealSR and BSRGAN names of their own.
_SPELLINGS: tuple[tuple[str, str], ...] = (
    (r"model\.0\.(\w+)$", r"conv_first.\1"),
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(\w+)$", r"body.\1.rdb\2.conv\3.\4"),
    (r"model\.1\.sub\.\d+\.(\w+)$", r"conv_body.\1"),
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.(\w+)$", r"body.\1.rdb\2.conv\3.\4"),
    (r"trunk_conv\.(\w+)$", r"conv_body.\1"),
    (r"upconv(\d)\.(\w+)$", r"conv_up\1.\2"),
    (r"HRconv\.(\w+)$", r"conv_hr.\1"),
)


REACH = 36
"""Pixels, and one more for each block: how far from a tile's edge answers are those for the whole picture, within one
level. Measured, for the convolutions see several hundred."""


class Rrdb(nn.Module):
    """(b, c, h, w) in 0..1 -> the same, `scale` times as large."""

    kind = OTHER

    def __init__(self, channels: int, out_channels: int, width: int, growth: int, blocks: int, doublings: int) -> None:
        """channels: of the first convolution: the picture's, times 4 or 16 where the input is unshuffled."""
        super().__init__()
        self.unshuffle = self.grid = {4 * out_channels: 2, 16 * out_channels: 4}.get(channels, 1)
        self.channels = channels // self.unshuffle**2, out_channels
        self.scale = 2**doublings // self.unshuffle
        self.reach = (REACH + blocks) * self.unshuffle
        self.conv_first = _conv(channels, width)
        self.body = nn.Sequential(*(_Block(width, growth) for _ in range(blocks)))
        self.conv_body = _conv(width, width)
        self.ups = [f"conv_up{number}" for number in range(1, doublings + 1)]
        for name in self.ups:
            self.add_module(name, _conv(width, width))
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, out_channels)

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        if self.unshuffle > 1:
            spare = (-width % self.unshuffle, -height % self.unshuffle)
            picture = pixel_unshuffle(pad(picture, (0, spare[0], 0, spare[1]), mode="replicate"), self.unshuffle)
        features: Tensor = self.conv_first(picture)
        features = features + self.conv_body(self.body(features))
        for name in self.ups:
            features = leaky_relu(self.get_submodule(name)(interpolate(features, scale_factor=2)), SLOPE)
        large: Tensor = self.conv_last(leaky_relu(self.conv_hr(features), SLOPE))
        return large[..., : height * self.scale, : width * self.scale]


class _Block(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return inner * RESIDUAL + x


class _Dense(nn.Module):
    """Five convolutions, each of which sees what all before it have found."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, 6):
            self.add_module(f"conv{number}", _conv(width + (number - 1) * growth, growth if number < 5 else width))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for number in range(1, 5):
            seen = torch.cat([seen, leaky_relu(self.get_submodule(f"conv{number}")(seen), SLOPE)], dim=1)
        last: Tensor = self.get_submodule("conv5")(seen)
        return last * RESIDUAL + x


class Compact(nn.Module):
    """Real-ESRGAN's small network: convolutions at the small size alone, then the pixels are shuffled out."""

    kind = OTHER
    grid = 1

    def __init__(self, channels: int, width: int, convolutions: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels, channels
        self.reach = convolutions + 2
        layers: list[nn.Module] = [_conv(channels, width), nn.PReLU(width)]
        for _ in range(convolutions):
            layers += [_conv(width, width), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, _conv(width, channels * scale**2))

    def forward(self, picture: Tensor) -> Tensor:
        detail = nn.functional.pixel_shuffle(self.body(picture), self.scale)
        return detail + interpolate(picture, scale_factor=self.scale)


def network_of(state: Mapping[str, Tensor]) -> Rrdb | Compact | None:
    """The network with these weights, or None where they are of another kind."""
    if "body.0.weight" in state and "body.1.weight" in state:
        return _compact(state)
    named = {_spelt(name): tensor for name, tensor in _unnumbered(state)}
    if "conv_first.weight" not in named or "body.0.rdb1.conv1.weight" not in named:
        return None
    first, last = named["conv_first.weight"], named.get("conv_last.weight")
    if last is None:
        return None
    inner = named["body.0.rdb1.conv1.weight"]
    blocks = 1 + max(int(found[1]) for name in named if (found := re.match(r"body\.(\d+)\.", name)))
    if blocks > len(named) or not first.ndim == last.ndim == inner.ndim == 4:
        return None
    doublings = sum(bool(re.fullmatch(r"conv_up\d\.weight", name)) for name in named)
    with torch.device("meta"):  # What a file says of itself takes no memory.
        made = Rrdb(first.shape[1], last.shape[0], first.shape[0], inner.shape[0], blocks, doublings)
    return _filled(made, named)


def _compact(state: Mapping[str, Tensor]) -> Compact | None:
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    first, last = state["body.0.weight"], state.get(f"body.{count - 1}.weight")
    if last is None or first.ndim != 4 or not first.shape[1] or last.shape[0] % first.shape[1] or count > len(state):
        return None
    scale = round((last.shape[0] // first.shape[1]) ** 0.5)
    with torch.device("meta"):
        made = Compact(first.shape[1], first.shape[0], (count - 3) // 2, scale)
    return _filled(made, state)


def _filled(network: N, state: Mapping[str, Tensor]) -> N | None:
    """The network with its weights; None where names or shapes are not the network's: it is a relative's."""
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if own != {name: tuple(tensor.shape) for name, tensor in state.items()}:
        return None
    network.to_empty(device="cpu").load_state_dict(dict(state))
    return network


def _unnumbered(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The old sequence counts its layers through: three a doubling, then the last two convolutions."""
    numbers = {int(found[1]) for name in state if (found := re.match(r"model\.(\d+)\.weight$", name))} - {0}
    ordered = sorted(numbers)
    names = {number: f"conv_up{rank}" for rank, number in enumerate(ordered[:-2], 1)}
    names |= dict(zip(ordered[-2:], ("conv_hr", "conv_last"), strict=False))
    for name, tensor in state.items():
        found = re.fullmatch(r"model\.(\d+)\.(\w+)", name)
        number = int(found[1]) if found else 0
        yield (f"{names[number]}.{found[2]}" if found and number in names else name), tensor


def _spelt(name: str) -> str:
    for old, new in _SPELLINGS:
        name = re.sub(f"^{old}", new, name)
    return name


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)
