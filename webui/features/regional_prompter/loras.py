"""LoRAs that act in a region alone: what they add to a layer's weights is added to its output, where they act."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import group_norm, layer_norm, linear

from webui.engine.networks.patches import AddedWeights
from webui.features.regional_prompter.areas import Size

AT_TIME = "time_emb_proj"
"""What diffusers calls the layer of a ResNet that tells it the time."""
Strength = Callable[[int, Tensor, Size | None], Tensor | float]
"""(number of the set of LoRAs, output of a layer, size of the map that its transformer is at) -> how strongly the set
acts on each value of the output: a number, or what can be multiplied with it."""


def added(layer: nn.Module, x: Tensor, change: AddedWeights) -> Tensor | None:
    """What a layer answers with the change in the place of its weights; None: it is of another kind."""
    weight, bias = change.weight.to(x.dtype), None if change.bias is None else change.bias.to(x.dtype)
    match layer:
        case nn.Linear():
            return linear(x, weight, bias)
        case nn.Conv2d():
            answer: Tensor = layer._conv_forward(x, weight, bias)
            return answer
        case nn.LayerNorm():
            return layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        case nn.GroupNorm():
            return group_norm(x, layer.num_groups, weight, bias, layer.eps)
        case _:
            return None


@contextmanager
def acting(
    unet: nn.Module, sets: Sequence[Mapping[str, AddedWeights]], sizes: Mapping[str, Size], strength: Strength
) -> Iterator[None]:
    """Within the block each set of changes, by the names of the UNet's layers, acts as strongly as `strength` says."""
    transformers = [name for name, module in unet.named_modules() if isinstance(module, Transformer2DModel)]
    with ExitStack() as hooks:
        for name in dict.fromkeys(name for changes in sets for name in changes):
            layer = unet.get_submodule(name)
            here = [(number, changes[name]) for number, changes in enumerate(sets) if name in changes]
            around = next((each for each in transformers if name.startswith(f"{each}.")), "")
            parent, _, own = name.rpartition(".")
            adding = (_AddingLater if own == AT_TIME else _Adding)(here, around, sizes, strength)
            if isinstance(adding, _AddingLater):
                behind = unet.get_submodule(parent).get_submodule("norm2")
                hooks.callback(behind.register_forward_pre_hook(adding.later).remove)
            hooks.callback(layer.register_forward_hook(adding).remove)
        yield


class _Adding:
    """After a layer: its output, and what the sets of LoRAs add to it."""

    def __init__(
        self,
        changes: Sequence[tuple[int, AddedWeights]],
        around: str,
        sizes: Mapping[str, Size],
        strength: Strength,
    ) -> None:
        self.changes, self.around, self.sizes, self.strength = changes, around, sizes, strength

    def __call__(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        size = self.sizes.get(self.around)
        for number, change in self.changes:
            strength = self.strength(number, output, size)
            if not isinstance(strength, float) or strength:
                output = _with(output, added(layer, args[0], change), strength)
        return output


class _AddingLater(_Adding):
    """Of a ResNet's layer that brings the time in, one number for all places: what is added comes where it is part of a
    map, before the next norm."""

    made: Sequence[tuple[int, Tensor | None]] = ()

    def __call__(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self.made = [(number, added(layer, args[0], change)) for number, change in self.changes]
        return output

    def later(self, _norm: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, *rest = args
        for number, more in self.made:
            x = _with(x, None if more is None else more[..., None, None], self.strength(number, x, None))
        return (x, *rest)


def _with(output: Tensor, more: Tensor | None, strength: Tensor | float) -> Tensor:
    if more is None:
        return output
    return output + more * (strength if isinstance(strength, float) else strength.to(more))
