"""Line drawings, as networks have learnt to make them of photographs and of paintings.

Chan et al. 2022, arXiv:2203.12691 (sk_model.pth, and sk_model2.pth for coarse lines): a generator of residual blocks.
Isola et al. 2016, arXiv:1611.07004: the U-Net in which Anime2Sketch's netG.pth is written.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import MapNetwork, count_of, map_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels
from webui.engine.residents import ResidentKind

MULTIPLE = 256
"""Of which the sides are while the U-Net looks: it halves them eight times."""
SLOPE = 0.2


class Again(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(width, width, 3) for _ in range(2)]
        first, second = ([nn.ReflectionPad2d(1), each, nn.InstanceNorm2d(width)] for each in convolutions)
        self.conv_block = nn.Sequential(*first, nn.ReLU(), *second)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.conv_block(x)
        return made


class DrawingGenerator(nn.Module):
    """(1, 3, h, w) in 0..1 -> (1, 1, h, w) in 0..1: black lines on white. Sides are multiples of 4."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        width, given, *_ = file.shapes["model0.1.weight"]
        out = file.shapes["model4.1.weight"][0]
        blocks = count_of(file, r"model2\.(\d+)\.conv_block\.")
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for narrow, wide in ((width, 2 * width), (2 * width, 4 * width)):
            down += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.InstanceNorm2d(wide), nn.ReLU()]
            larger = nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
            up = [larger, nn.InstanceNorm2d(narrow), nn.ReLU(), *up]
        self.model0 = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(given, width, 7), nn.InstanceNorm2d(width), nn.ReLU()
        )
        self.model1 = nn.Sequential(*down)
        self.model2 = nn.Sequential(*(Again(4 * width) for _ in range(blocks)))
        self.model3 = nn.Sequential(*up)
        self.model4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Sigmoid())

    def forward(self, picture: Tensor) -> Tensor:
        drawn: Tensor = self.model4(self.model3(self.model2(self.model1(self.model0(picture)))))
        return drawn


class Level(nn.Module):
    """Half the size, what lies below, and back; beside what it was given, unless it is the outermost."""

    def __init__(self, file: WeightsFile, name: str = "model.model", *, outermost: bool = True) -> None:
        super().__init__()
        self.outermost = outermost
        at = 0 if outermost else 1
        inner, given, *_ = file.shapes[f"{name}.{at}.weight"]
        below = f"{name}.{1 if outermost else 3}.model"
        has_below = f"{below}.1.weight" in file.shapes
        last = 3 if outermost or not has_below else 5
        wide, out, *_ = file.shapes[f"{name}.{last}.weight"]
        self.normed = (not outermost) and has_below
        parts: dict[str, nn.Module] = {str(at): nn.Conv2d(given, inner, 4, stride=2, padding=1)}
        if has_below:
            parts[below.split(".")[-2]] = Level(file, below, outermost=False)
        parts[str(last)] = nn.ConvTranspose2d(wide, out, 4, stride=2, padding=1)
        self.model = nn.ModuleDict(parts)
        self.down, *between, self.up = parts
        self.below = between[0] if between else ""
        self.before, self.after = nn.InstanceNorm2d(inner), nn.InstanceNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        found = self.model[self.down](x if self.outermost else leaky_relu(x, SLOPE))
        found = self.before(found) if self.normed else found
        found = self.model[self.below](found) if self.below else found
        found = self.model[self.up](relu(found))
        return found.tanh() if self.outermost else torch.cat([x, self.after(found)], dim=1)


class UNet(nn.Module):
    """(1, 3, h, w) in -1..1 -> (1, 1, h, w) in -1..1: black lines on white. Sides are multiples of 256."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.model = Level(file)

    def forward(self, picture: Tensor) -> Tensor:
        drawn: Tensor = self.model(picture)
        return drawn


LINEART = network_kind("line drawing network", DrawingGenerator)
ANIME = network_kind("anime line drawing network", UNet)


def lineart(picture: Bytes, options: Options) -> Bytes:
    """Fine lines, white on black; also for the file of coarse ones."""
    return _drawn(picture, options, LINEART, _generated)


def lineart_anime(picture: Bytes, options: Options) -> Bytes:
    """Lines as of anime, white on black."""
    return _drawn(picture, options, ANIME, _sketched)


def _drawn(
    picture: Bytes, options: Options, kind: ResidentKind[MapNetwork], draw: Callable[[MapNetwork, Bytes], Bytes]
) -> Bytes:
    with options.network(kind) as network:
        return at_resolution(picture, options.resolution, lambda seen: 255 - draw(network, seen))


def _generated(network: MapNetwork, seen: Bytes) -> Bytes:
    return map_of(network(planes_of(seen))[0, 0].numpy())


def _sketched(network: MapNetwork, seen: Bytes) -> Bytes:
    high, wide = seen.shape[:2]
    sides = (-(-wide // MULTIPLE) * MULTIPLE, -(-high // MULTIPLE) * MULTIPLE)
    given = levels(cv2.resize(seen, sides, interpolation=cv2.INTER_CUBIC))
    drawn = (network(planes_of(given, 1 / 127.5) - 1)[0, 0] * 127.5 + 127.5).numpy()
    return levels(cv2.resize(drawn, (wide, high), interpolation=cv2.INTER_CUBIC).clip(0, 255))
