"""ControlNet-LLLite: small networks in front of a UNet's attention, which see a hint beside what they change.

Kohya, https://github.com/kohya-ss/sd-scripts/blob/main/docs/train_lllite_README.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from webui.base.errors import UserError
from webui.catalog.control_kinds import Shapes
from webui.engine.control.hints import PER_LATENT
from webui.engine.denoisers import Window
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile

PLACE = re.compile(r"lllite_unet_(input_blocks_(\d+)|middle_block)_1_transformer_blocks_(\d+)_(attn[12])_to_([qkv])$")
PER_LEVEL = 3
"""Input blocks of a level of a UNet: two with attention, one that halves."""


class Module(nn.Module):
    """What stands before one layer."""

    def __init__(self, at: str, shapes: Shapes) -> None:
        super().__init__()
        convolutions = []
        for number in (0, 2, 4):
            shape = shapes.get(f"{at}.conditioning1.{number}.weight")
            if shape is not None:
                new, old, size, _ = shape
                convolutions += [nn.Conv2d(old, new, size, stride=size), nn.ReLU()]
        self.conditioning1 = nn.Sequential(*convolutions[:-1])
        self.down = nn.Sequential(_linear(f"{at}.down.0", shapes))
        self.mid = nn.Sequential(_linear(f"{at}.mid.0", shapes))
        self.up = nn.Sequential(_linear(f"{at}.up.0", shapes))

    def seen(self, hint: Tensor) -> Tensor:
        """(1, 3, h, w) -> (1, width, h', w')."""
        maps: Tensor = self.conditioning1(hint)
        return maps

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """What is added to x: (b, tokens, width)."""
        inner = torch.cat([seen.expand(len(x), -1, -1), relu(self.down(x))], dim=2)
        out: Tensor = self.up(relu(self.mid(inner)))
        return out


class LLLite(nn.Module):
    """All modules of a file, by their places in it."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.places = tuple(dict.fromkeys(name.split(".")[0] for name in shapes))
        self.parts = nn.ModuleDict({place: Module(place, shapes) for place in self.places})

    def fits(self, unet: nn.Module) -> bool:
        """Whether the UNet has layers of these widths there."""
        for place, part in self.parts.items():
            try:
                layer = unet.get_submodule(layer_of(place))
            except AttributeError:
                return False
            first = part.get_submodule("down.0")
            if not (isinstance(first, nn.Linear) and isinstance(layer, nn.Linear)):
                return False
            if first.in_features != layer.in_features:
                return False
        return True

    @contextmanager
    def before(
        self, unet: nn.Module, hint: Tensor, strength: Callable[[], float], windows: Callable[[], Sequence[Window]]
    ) -> Iterator[None]:
        """Within the block the UNet's layers are given what these networks make of their inputs. hint: (1, 3, h, w) in
        0..1. strength: at the time of a call; 0: they are not asked. windows: those of the call.

        Raises:
            KeyError: the UNet has no such layer.
        """
        with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
            for place, part in self.parts.items():
                assert isinstance(part, Module)
                layer = unet.get_submodule(layer_of(place))
                shared = next((hook for hook in layer._forward_pre_hooks.values() if isinstance(hook, _Added)), None)
                if shared is None:
                    shared = _Added()
                    hooks.callback(layer.register_forward_pre_hook(shared).remove)
                own = _Unit(part, hint, strength, windows)
                shared.units.append(own)
                hooks.callback(shared.units.remove, own)
            yield


@dataclass(eq=False)
class _Unit:
    """What one unit adds before a layer."""

    part: Module
    hint: Tensor
    strength: Callable[[], float]
    windows: Callable[[], Sequence[Window]]
    fitting: dict[tuple[Window | None, int], Tensor] = field(default_factory=dict)
    """By what is seen, and the number of tokens."""

    def __call__(self, x: Tensor) -> Tensor | None:
        """x: (b, tokens, width) -> what is added to it; None: nothing."""
        factor = self.strength()
        if factor == 0.0:
            return None
        count, windows = x.shape[1], self.windows() or (None,)
        each = len(x) // len(windows)
        seen = torch.cat([self._tokens(window, count).expand(each, -1, -1) for window in windows])
        added: Tensor = self.part(x.to(seen.dtype), seen)
        return added.to(x.dtype) * factor

    def _tokens(self, window: Window | None, count: int) -> Tensor:
        """What the part makes of the hint, or of what a window shows of it: (1, count, width)."""
        if (window, count) not in self.fitting:
            hint = self.hint if window is None else window.of(self.hint, PER_LATENT)
            weight = next(self.part.parameters())
            seen = self.part.seen((hint * 2 - 1).to(weight.device, weight.dtype))
            size = (hint.shape[-2] // PER_LATENT, hint.shape[-1] // PER_LATENT)
            self.fitting[window, count] = as_tokens(seen, count, size)
        return self.fitting[window, count]


class _Added:
    """Before a layer: all units see what came to it, not what another one has made of that."""

    def __init__(self) -> None:
        self.units: list[_Unit] = []

    def __call__(self, _layer: nn.Module, args: tuple[Tensor, ...]) -> object:
        added = [each for each in (unit(args[0]) for unit in self.units) if each is not None]
        return (args[0] + torch.stack(added).sum(dim=0), *args[1:]) if added else None


def as_tokens(maps: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """(1, c, h, w) -> (1, count, c): where the layer has another resolution than the map, the nearest values.

    size: of the latents; each level of a UNet rounds up where it halves them.
    """
    grid = grid_of(count, size)
    if grid is None:
        raise UserError(
            "ControlNet-LLLite cannot be used together with token merging.",
            hint="Set Token merging ratio to 0, or turn the unit off.",
            field="features",
        )
    if maps.shape[-2:] != grid:
        maps = interpolate(maps, size=grid, mode="nearest-exact")
    return maps.flatten(2).transpose(1, 2)


def grid_of(count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """(height, width) of a layer with so many tokens; None: they are no grid, some were merged.

    size: of the latents; each level of a UNet rounds up where it halves them.
    """
    height, width = size
    while height * width > count and max(height, width) > 1:
        height, width = -(-height // 2), -(-width // 2)
    return (height, width) if height * width == count else None


def layer_of(place: str) -> str:
    """The layer of a UNet of diffusers that a module of a file stands before.

    Raises:
        KeyError: no such place is known.
    """
    found = PLACE.match(place)
    if found is None:
        raise KeyError(place)
    _, block, depth, attention, letter = found.groups()
    inner = f"transformer_blocks.{depth}.{attention}.to_{letter}"
    if block is None:
        return f"mid_block.attentions.0.{inner}"
    level, number = divmod(int(block) - 1, PER_LEVEL)
    return f"down_blocks.{level}.attentions.{number}.{inner}"


def lllite_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> LLLite:
    """
    Raises:
        ModelError: tensors are missing, or it changes layers that nobody knows.
    """
    try:
        with ldm.unfilled():
            network = LLLite(file.shapes)
        for place in network.places:
            layer_of(place)
    except KeyError as error:
        raise file.error(f"it is not complete, or of an unknown kind ({error})", "Download it again.") from error
    names = {f"parts.{name}": name for name in file.shapes}
    ldm.check_complete(network, names, file, "ControlNet-LLLite")
    ldm.fill(network, names, file, device, dtype)
    return network


def _linear(at: str, shapes: Shapes) -> nn.Linear:
    new, old = shapes[f"{at}.weight"][:2]
    return nn.Linear(old, new)
