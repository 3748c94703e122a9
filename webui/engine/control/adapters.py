"""T2I-Adapters: a picture becomes four maps, which are added to the way down of a UNet.

Mou et al. 2023, arXiv:2302.08453, section 3.3; light: their repository's `Adapter_light`. Which layers a file has is
told by its names and shapes: published ones differ in the size of their kernels and in how they halve.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, pixel_unshuffle, relu

from webui.catalog.control_kinds import Shapes

LEVELS = 4


class Residual(nn.Module):
    """Halves where it is told to, widens, and adds what two convolutions make of that."""

    def __init__(self, at: str, shapes: Shapes, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.down_opt = _conv(f"{at}.down_opt", shapes, stride=2)
        self.in_conv = _conv(f"{at}.in_conv", shapes)
        self.block1 = _conv(f"{at}.block1", shapes)
        self.block2 = _conv(f"{at}.block2", shapes)
        self.skep = _conv(f"{at}.skep", shapes)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c', h, w) or (b, c', h / 2, w / 2)."""
        if self.halves:
            x = avg_pool2d(x, 2) if isinstance(self.down_opt, nn.Identity) else self.down_opt(x)
        x = self.in_conv(x)
        inner: Tensor = self.block2(relu(self.block1(x)))
        kept: Tensor = self.skep(x)
        return inner + kept


class Extractor(nn.Module):
    """A level of a light adapter: it works in a quarter of the width."""

    def __init__(self, at: str, shapes: Shapes, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.in_conv = _conv(f"{at}.in_conv", shapes)
        count = len({name.split(".")[3] for name in shapes if name.startswith(f"{at}.body.")})
        self.body = nn.Sequential(*(Residual(f"{at}.body.{number}", shapes, halves=False) for number in range(count)))
        self.out_conv = _conv(f"{at}.out_conv", shapes)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c', h, w) or half of that."""
        out: Tensor = self.out_conv(self.body(self.in_conv(avg_pool2d(x, 2) if self.halves else x)))
        return out


class ControlAdapter(nn.Module):
    """The network, built of a file's names (without prefix) and shapes."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.is_light = "conv_in.weight" not in shapes
        first = shapes["body.0.in_conv.weight" if self.is_light else "conv_in.weight"]
        self.sees_one_channel = first[1] in (64, 256)
        self.factor = 16 if first[1] in (256, 768) else 8
        """Pixels along a side of what one value of the first map stands for."""
        halving = (2,) if self.factor == 16 else (1, 2, 3)
        self.halvings = (1, 1, 2, 2) if self.factor == 16 else (0, 1, 2, 3)
        """How often a UNet has halved its latents where each map is added."""
        if self.is_light:
            self.conv_in: nn.Module = nn.Identity()
            self.body = nn.ModuleList(
                Extractor(f"body.{level}", shapes, halves=level in halving) for level in range(LEVELS)
            )
        else:
            self.conv_in = _conv("conv_in", shapes)
            self.body = nn.ModuleList(
                Residual(f"body.{2 * level + number}", shapes, halves=level in halving and number == 0)
                for level in range(LEVELS)
                for number in range(2)
            )

    @property
    def widths(self) -> list[int]:
        """Of its maps."""
        last = [part.out_conv if isinstance(part, Extractor) else part.get_submodule("block2") for part in self.body]
        each = 1 if self.is_light else 2
        return [int(layer.weight.shape[0]) for layer in last[each - 1 :: each] if isinstance(layer, nn.Conv2d)]

    def forward(self, hint: Tensor) -> tuple[Tensor, ...]:
        """hint: (b, 3, h, w) in 0..1, sides multiples of `factor` -> a map for each level."""
        x = pixel_unshuffle(hint[:, :1] if self.sees_one_channel else hint, self.factor)
        x = self.conv_in(x)
        maps = []
        each = 1 if self.is_light else 2
        for number, part in enumerate(self.body):
            x = part(x)
            if number % each == each - 1:
                maps.append(x)
        return tuple(maps)

    def seen(self, hint: Tensor) -> tuple[Tensor, ...]:
        """The same of a hint of any size, in the network's own precision: its edges go on."""
        more = [-side % self.factor for side in hint.shape[-2:]]
        whole = pad(hint, (0, more[1], 0, more[0]), mode="replicate") if any(more) else hint
        weight = next(self.parameters())
        maps: tuple[Tensor, ...] = self(whole.to(weight.device, weight.dtype))
        return maps


def adapter_names(names: Mapping[str, object]) -> dict[str, str]:
    """Name in this network -> name in the file; diffusers gives each level a list of its own."""
    found = {}
    for full in names:
        name = full.removeprefix("adapter.").replace(".down_opt.op.", ".down_opt.")
        parts = name.split(".")
        if parts[0] == "body" and len(parts) > 2 and parts[2] == "resnets":
            name = ".".join(("body", str(2 * int(parts[1]) + int(parts[3])), *parts[4:]))
        elif (
            full.startswith("adapter.body.")
            and parts[2] == "in_conv"
            and f"adapter.body.{parts[1]}.out_conv.weight" not in names
        ):
            name = ".".join(("body", str(2 * int(parts[1])), *parts[2:]))
        found[name] = full
    return found


def _conv(at: str, shapes: Shapes, *, stride: int = 1) -> nn.Module:
    """The convolution there; the identity where the file has none."""
    shape = shapes.get(f"{at}.weight")
    if shape is None:
        return nn.Identity()
    new, old, size, _ = shape
    return nn.Conv2d(old, new, size, stride=stride, padding=size // 2, bias=f"{at}.bias" in shapes)
