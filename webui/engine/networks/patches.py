"""Networks merged into a model's weights, and taken off again bit for bit.

The networks of a picture stay active after it: the same networks cost nothing the next time. The weights as they were
are kept aside while they are changed, and every change begins with them, so nothing adds up from picture to picture.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from webui.base.errors import ModelError, UserError
from webui.catalog.network_families import is_for
from webui.engine.families.family import Model
from webui.engine.families.storage import exact_weights
from webui.engine.networks.adapter import Adapter
from webui.engine.networks.adapter_cache import AdapterCache
from webui.engine.networks.deltas import DeltaKind, bias_change, fits, kind_of, looks_at_weight, weight_change
from webui.engine.networks.embeddings import Embedding
from webui.engine.networks.targets import Home, Target, TargetPlace, Targets, block_of
from webui.prompt.lora_blocks import block_weights
from webui.request.plan import NetworkRef


@dataclass(frozen=True)
class WantedNetwork:
    """A network file, and how strongly it shall act."""

    ref: NetworkRef
    te: float = 1.0
    """On text encoders."""
    unet: float = 1.0
    rank: int | None = None
    """The highest rank that counts; None: all."""
    blocks: str = ""
    """How strongly it acts in each block, as `webui.prompt.lora_blocks.block_weights` takes it; "": the same in all."""


@dataclass(frozen=True)
class Fit:
    """How much of a network's file a model could use."""

    ref: NetworkRef
    applied: int
    total: int


class BrokenNetwork(ModelError):
    """A network file that a model cannot apply_networks; the others can be worn without it."""

    def __init__(self, ref: NetworkRef, message: str, hint: str = "Download it again.") -> None:
        super().__init__(message, hint=hint)
        self.ref = ref

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.ref, self.message, self.hint))


class AddedWeights(NamedTuple):
    """A layer's weights with networks in them, or what these add to them: float32."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer of a network file at work on some of a model's layers."""

    ref: NetworkRef
    name: str
    source: Hashable
    """The file."""
    kind: DeltaKind
    tensors: Mapping[str, Tensor]
    target: Target
    strength: float
    rank: int | None

    @property
    def key(self) -> Hashable:
        return (self.source, self.name, self.rank, self.strength)


@dataclass(eq=False)
class Patches:
    """The networks that are active in one model. The same networks under another VAE are the same model here."""

    adapter_cache: AdapterCache = field(default_factory=AdapterCache)
    key: Hashable = ()
    """Tells states of the weights apart."""
    fit: tuple[Fit, ...] = ()
    embeddings: Mapping[str, Embedding] = field(default_factory=dict)
    """That the worn files brought along."""
    _targets: Targets | None = None
    _originals: dict[tuple[str, str, str], Tensor] = field(default_factory=dict)
    """Weights as they were, by (part, module, "weight" or "bias"); only of those that are changed."""
    _layers: dict[Home, tuple[_Layer, ...]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Of the weights kept aside."""
        return sum(tensor.nbytes for tensor in self._originals.values())

    def unpatched(self, part: str) -> dict[str, Tensor]:
        """The weights of the checkpoint that are changed now in a part of the model, by their names there."""
        return {f"{module}.{name}": kept for (of, module, name), kept in self._originals.items() if of == part}

    def apply_networks(self, model: Model, wanted: Sequence[WantedNetwork], *, strict: bool = True) -> None:
        """Make the model's weights those with exactly these networks, in this order.

        Not `strict`: networks that do not fit are left out.

        Raises:
            BrokenNetwork: a file cannot be read, or its numbers make no change; the weights are the checkpoint's, or as
                before.
            UserError: a network is for another family, wants to be shown a picture, or nothing in it fits; the weights
                are as before.
        """
        opened = [(one, *self._opened(one.ref)) for one in wanted]
        key = tuple((source, one.te, one.unet, one.rank, one.blocks) for one, source, _ in opened)
        if key == self.key:
            return
        layers, fit, embeddings = self._laid(model, opened, strict=strict)
        try:
            self._change(model, {home: tuple(acting) for home, acting in layers.items()})
        except BaseException:
            self._take_off(model)
            raise
        self.key, self.fit, self.embeddings = key, tuple(fit), embeddings

    def changes(self, model: Model, wanted: Sequence[WantedNetwork]) -> dict[str, AddedWeights]:
        """What these networks would make of the weights of the UNet or transformer, by the names of its layers; the
        weights stay as they are. Networks that do not fit are left out.

        Raises:
            BrokenNetwork: as `apply_networks`.
        """
        opened = [(one, *self._opened(one.ref)) for one in wanted]
        layers, _, _ = self._laid(model, opened, strict=False)
        found: dict[str, AddedWeights] = {}
        for home, acting in layers.items():
            if any(part.startswith("text") for part, _ in home):
                continue
            for (part, name), after in self._merged(model, home, tuple(acting)):
                own = {**_parameters(model, part, name), **exact_weights(model.parts[part].get_submodule(name))}
                bias = None if after.bias is None else after.bias - own["bias"].detach().to(after.bias)
                found[name] = AddedWeights(after.weight - own["weight"].detach().to(after.weight), bias)
        return found

    def _laid(
        self, model: Model, opened: Sequence[tuple[WantedNetwork, Hashable, Adapter]], *, strict: bool
    ) -> tuple[dict[Home, list[_Layer]], list[Fit], dict[str, Embedding]]:
        """Which layers of the files act where.

        Raises:
            UserError: see `apply_networks`.
        """
        if self._targets is None:
            self._targets = Targets.of(model.parts)
        layers: dict[Home, list[_Layer]] = {}
        fit: list[Fit] = []
        embeddings: dict[str, Embedding] = {}
        for one, source, adapter in opened:
            found = _fitting(one, source, adapter, model, self._targets)
            if (adapter.layers and not found) or not is_for(adapter.family, model.family.name):
                if not strict:
                    continue
                raise _refused(one.ref, adapter, model)
            if _sees_a_picture(adapter, model, self._targets):
                if not strict:
                    continue
                raise UserError(
                    f"{one.ref.name} is a control LoRA: it needs a picture of edges or depth in addition to the noise.",
                    hint=f"Remove {one.ref.name} from the prompt, put it into models/ControlNet, and choose it as the "
                    "model of a ControlNet unit.",
                )
            for layer in (each for each in found if each.strength):
                layers.setdefault(self._targets.homes[_key(layer.target[0])], []).append(layer)
            fit.append(Fit(one.ref, len(found), len(adapter.layers)))
            embeddings.update(adapter.embeddings)
        return layers, fit, embeddings

    def _opened(self, ref: NetworkRef) -> tuple[Hashable, Adapter]:
        try:
            return self.adapter_cache.adapter(ref)
        except ModelError as error:
            raise BrokenNetwork(ref, error.message, error.hint) from error

    def _change(self, model: Model, layers: dict[Home, tuple[_Layer, ...]]) -> None:
        """Bring the weights from what they are to these layers; those whose layers stay are not touched."""
        for home in dict.fromkeys([*self._layers, *layers]):
            before, after = self._layers.get(home, ()), layers.get(home, ())
            if [layer.key for layer in before] == [layer.key for layer in after]:
                continue
            self._restore(model, home)
            if after:
                self._set_aside(model, home)
                self._merge(model, home, after)
            self._layers[home] = after
        self._layers = {home: acting for home, acting in self._layers.items() if acting}

    def _take_off(self, model: Model) -> None:
        """Back to the weights of the checkpoint, whatever state they are in."""
        for home in {self._home(part, module) for part, module, _ in self._originals}:
            self._restore(model, home)
        self._layers, self.key, self.fit, self.embeddings = {}, (), (), {}

    def _home(self, part: str, module: str) -> Home:
        return self._targets.homes[part, module] if self._targets else ((part, module),)

    def _set_aside(self, model: Model, home: Home) -> None:
        """Keep the weights as they are, in the host's memory: a GPU has better to do with its own."""
        for part, module in home:
            for name, parameter in _parameters(model, part, module).items():
                self._originals[part, module, name] = parameter.detach().to("cpu", copy=True)

    def _restore(self, model: Model, home: Home) -> None:
        for part, module in home:
            for name, parameter in _parameters(model, part, module).items():
                original = self._originals.pop((part, module, name), None)
                if original is not None:
                    parameter.data.copy_(original)

    def _merge(self, model: Model, home: Home, layers: tuple[_Layer, ...]) -> None:
        """The weights of the checkpoint, and the layers' changes one after the other."""
        for (part, module), after in self._merged(model, home, layers):
            own = _parameters(model, part, module)
            own["weight"].data.copy_(after.weight)
            if after.bias is not None:
                own["bias"].data.copy_(after.bias)

    def _merged(
        self, model: Model, home: Home, layers: tuple[_Layer, ...]
    ) -> list[tuple[tuple[str, str], AddedWeights]]:
        """((part, module), its weights with the layers' changes one after the other), in float32."""
        modules = [_parameters(model, part, module) for part, module in home]
        kept = [exact_weights(model.parts[part].get_submodule(module)) for part, module in home]
        weights = [exact.get("weight", own["weight"].detach()) for exact, own in zip(kept, modules, strict=True)]
        whole = torch.cat([weight.to(model.device, torch.float32) for weight in weights])
        has_bias = all("bias" in own for own in modules)
        bias = (
            torch.cat([own["bias"].detach().to(model.device, torch.float32) for own in modules]) if has_bias else None
        )
        ends = list(accumulate(own["weight"].shape[0] for own in modules))
        rows = {
            key: slice(end - own["weight"].shape[0], end) for key, own, end in zip(home, modules, ends, strict=True)
        }
        for layer in layers:
            mine = slice(rows[_key(layer.target[0])].start, rows[_key(layer.target[-1])].stop)
            swap = layer.target[0].halves_swapped
            change = self._computed(layer, _swapped(whole[mine], swap))
            whole[mine] += _swapped(change, swap) * layer.strength
            own_bias = bias_change(layer.tensors)
            if own_bias is not None and bias is not None and own_bias.numel() == bias[mine].numel():
                bias[mine] += _swapped(own_bias.to(bias).flatten(), swap) * layer.strength
        return [(key, AddedWeights(whole[rows[key]], None if bias is None else bias[rows[key]])) for key in home]

    def _computed(self, layer: _Layer, weight: Tensor) -> Tensor:
        """The layer's change at full strength."""

        def computed() -> Tensor:
            tensors = {name: _as_float(tensor, weight.device) for name, tensor in layer.tensors.items()}
            try:
                change = weight_change(layer.kind, tensors, weight, layer.rank)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ValueError, IndexError, KeyError) as error:
                cause = f"the shapes in its layer {layer.name} do not fit together"
                raise BrokenNetwork(layer.ref, f"{layer.ref.name} is damaged: {cause}.") from error
            if not bool(torch.isfinite(change).all()):
                cause = f"its layer {layer.name} contains NaN or infinite values"
                raise BrokenNetwork(layer.ref, f"{layer.ref.name} is damaged: {cause}.")
            return change

        if weight.device.type != "cpu" or looks_at_weight(layer.kind, layer.tensors):
            return computed()
        return self.adapter_cache.changes.get((layer.source, layer.name, layer.rank, weight.shape), computed)


def _fitting(one: WantedNetwork, source: Hashable, adapter: Adapter, model: Model, targets: Targets) -> list[_Layer]:
    """The layers of the file that the model has."""
    found = []
    weights = block_weights(one.blocks, model.family.name) if one.blocks else {}
    for name, tensors in adapter.layers.items():
        kind, target = kind_of(tensors), targets.find(name)
        if kind is not None and target is not None and fits(kind, tensors, _shape(model, target)):
            is_text = target[0].part.startswith("text")
            strength = one.te if is_text else one.unet
            if weights and (block := block_of(target[0], model.parts[target[0].part])):
                strength *= weights.get(block, 0.0)
            found.append(_Layer(one.ref, name, source, kind, tensors, target, strength, one.rank))
    return found


def _sees_a_picture(adapter: Adapter, model: Model, targets: Targets) -> bool:
    """Whether a transformer's first layer would have inputs for a second picture, as Flux's control LoRAs want it."""
    for name, tensors in adapter.layers.items():
        target = targets.find(name) if "down" in tensors else None
        if target is not None and target[0].module == "x_embedder":
            inputs = tensors["down"].shape[1:]
            return len(inputs) == 1 and inputs[0] == 2 * _shape(model, target)[1]
    return False


def _key(place: TargetPlace) -> tuple[str, str]:
    return place.part, place.module


def _shape(model: Model, target: Target) -> torch.Size:
    """Of the layers' weights, one below the other."""
    shapes = [_parameters(model, place.part, place.module)["weight"].shape for place in target]
    return torch.Size((sum(shape[0] for shape in shapes), *shapes[0][1:]))


def _parameters(model: Model, part: str, module: str) -> dict[str, nn.Parameter]:
    """The weight of a layer, and its bias where it has one."""
    own = model.parts[part].get_submodule(module)._parameters
    return {name: parameter for name in ("weight", "bias") if (parameter := own.get(name)) is not None}


def _swapped(rows: Tensor, swap: bool) -> Tensor:
    return torch.cat(rows.chunk(2)[::-1]) if swap else rows


def _as_float(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, torch.float32) if tensor.is_floating_point() else tensor.to(device)


def _refused(ref: NetworkRef, adapter: Adapter, model: Model) -> UserError:
    hint = f"Choose a checkpoint that it was made for, or remove {ref.name} from the prompt."
    if not is_for(adapter.family, model.family.name):
        cause = f"{ref.name} was made for {adapter.family}, but the checkpoint is {model.family.name}."
        return UserError(cause, hint=hint)
    return UserError(
        f"{ref.name} does not fit this {model.family.name} checkpoint: none of its {len(adapter.layers)} layers match.",
        hint=hint,
    )
