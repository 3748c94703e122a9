"""LoRAs that act in a part of what is computed alone: what they add to a layer's weights is added to its output, where
they act, and texts are read with them in the text encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn.functional import group_norm, layer_norm, linear

from webui.engine.batch import Loaded
from webui.engine.conditioning import Encoder
from webui.engine.feature import PassContext
from webui.engine.networks.patches import AddedWeights, BrokenNetwork
from webui.engine.passes import encoder_of
from webui.features.lora.engine import apply_adapters, note_hashes, wanted_of
from webui.prompt.lora_blocks import ARGUMENT
from webui.prompt.networks import NetworkTag, lora_weights

AT_TIME = "time_emb_proj"
"""What diffusers calls the layer of a ResNet that tells it the time."""
Tags = tuple[NetworkTag, ...]
"""Of LoRAs that act together."""
Size = tuple[int, int]
"""(height, width) of a map."""
Strength = Callable[[int, Tensor, Size | None], Tensor | float]
"""(number of the set of LoRAs, output of a layer, size of the map that its transformer is at) -> how strongly the set
acts on each value of the output: a number, or what can be multiplied with it."""


class ScopedLoras:
    """Sets of LoRAs that act in parts of a pass, in the models that enter it."""

    def __init__(self, context: PassContext, sets: Sequence[Tags]) -> None:
        self.context, self.sets = context, sets
        self.changes: dict[int, list[dict[str, AddedWeights]]] = {}
        """By the model: what each set makes of its network's layers."""

    def learn(self, loaded: Loaded) -> None:
        """Say what the sets make of this model's network, which stays as it is."""
        self.changes[id(loaded.model)] = [self._changes(loaded, tags) for tags in self.sets]

    def _changes(self, loaded: Loaded, tags: Tags) -> dict[str, AddedWeights]:
        services = self.context.services
        wanted = wanted_of(tags, services.networks, services.watch.remark)
        while True:
            try:
                return loaded.patches.changes(loaded.model, wanted)
            except BrokenNetwork as error:
                wanted = [one for one in wanted if one.ref != error.ref]  # remarked upon where it was read

    def encoder(self, loaded: Loaded, tags: Sequence[NetworkTag]) -> Encoder:
        """What reads texts with these LoRAs in the text encoder, beside those of the pass. The last that is asked for
        has none: it leaves the model as the pass shall have it."""
        context = self.context
        this, services, is_first = context.this, context.services, loaded is context.loaded
        networks = [*this.networks, *tags]
        told = apply_adapters(
            loaded.patches, loaded.model, networks, services.networks, services.watch.remark, strict=is_first
        )
        if is_first:
            note_hashes(context.batch.facts, told)
        return encoder_of(context.batch, this, loaded, services)


def on_text(tag: NetworkTag, times: float = 1.0) -> NetworkTag:
    """The same for the text encoder alone; one whose weight is no number stays as it is, to be remarked upon."""
    try:
        te, _, rank = lora_weights(tag)
    except ValueError:
        return tag
    blocks = tuple(pair for pair in tag.named if pair[0] == ARGUMENT)
    positional = (tag.name, str(te * times), "0", *([] if rank is None else [str(rank)]))
    return tag._replace(positional=positional, named=blocks)


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
