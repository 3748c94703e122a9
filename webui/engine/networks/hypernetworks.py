"""Hypernetworks: small networks that change the context that attention looks at. A format of 2022, never published."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional

from webui.base.errors import ModelError
from webui.engine.families.weights import load_pickle, reading

Activation = Callable[[Tensor], Tensor]

_SPECIAL: Mapping[str, Activation] = {
    "relu": functional.relu,
    "leakyrelu": functional.leaky_relu,
    "elu": functional.elu,
    "swish": functional.hardswish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
_OLD = {"linear1": "linear.0", "linear2": "linear.1"}
"""Names of the first files' layers."""


@dataclass(frozen=True, eq=False)
class HypernetworkModule:
    """x -> x + f(x): linear layers, with activations and layer norms between them."""

    layers: tuple[tuple[Tensor, Tensor | None], ...]
    """(weight, bias): of a linear layer where the weight has two dimensions, else of a layer norm."""
    activation: Activation | None
    activates_output: bool

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for layer in self.layers for tensor in layer if tensor is not None)

    def __call__(self, x: Tensor, strength: float) -> Tensor:
        hidden = x
        last = max(index for index, (weight, _) in enumerate(self.layers) if weight.ndim == 2)
        for index, (weight, bias) in enumerate(self.layers):
            weight, bias = weight.to(x), None if bias is None else bias.to(x)
            if weight.ndim == 2:
                hidden = functional.linear(hidden, weight, bias)
                if self.activation and (index != last or self.activates_output):
                    hidden = self.activation(hidden)
            else:
                hidden = functional.layer_norm(hidden, weight.shape, weight, bias)
        return x + hidden * strength


@dataclass(frozen=True, eq=False)
class Hypernetwork:
    """For each width of context: the modules of keys and of values."""

    modules: Mapping[int, tuple[HypernetworkModule, HypernetworkModule]]

    @property
    def nbytes(self) -> int:
        return sum(module.nbytes for pair in self.modules.values() for module in pair)


def read_hypernetwork(path: Path) -> Hypernetwork:
    """Read a file.

    Raises:
        ModelError: it is no hypernetwork, or wants an activation that torch has not.
    """
    with reading(path):
        return _read(path)


def _read(path: Path) -> Hypernetwork:
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise _error(path, "it does not contain a hypernetwork")
    activation = _activation(path, str(content.get("activation_func") or "linear"))
    activates_output = bool(content.get("activate_output", True))  # A1111: of files that do not say, it does
    modules = {
        width: (
            _module(path, pair[0], width, activation, activates_output),
            _module(path, pair[1], width, activation, activates_output),
        )
        for width, pair in content.items()
        if isinstance(width, int) and width > 0 and isinstance(pair, Sequence) and len(pair) >= 2
    }
    if not modules:
        raise _error(path, "it does not contain a hypernetwork")
    return Hypernetwork(modules)


def _error(path: Path, cause: str) -> ModelError:
    return ModelError(f"{path.name} cannot be used: {cause}.", hint="Check that it is the right file.")


def _activation(path: Path, name: str) -> Activation | None:
    if name == "linear":
        return None
    if name.lower() in _SPECIAL:
        return _SPECIAL[name.lower()]
    kinds = {kind.lower(): kind for kind in torch.nn.modules.activation.__all__}
    if name.lower() not in kinds:
        raise _error(path, f"its activation function {name!r} is not supported")
    try:
        module: nn.Module = getattr(torch.nn, kinds[name.lower()])()
    except TypeError as error:
        raise _error(path, f"its activation function {name!r} needs parameters, which are missing") from error
    return module


def _module(
    path: Path, state: object, width: int, activation: Activation | None, activates_output: bool
) -> HypernetworkModule:
    layers: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items() if isinstance(state, dict) else ():
        stem, _, kind = str(name).rpartition(".")
        match = re.fullmatch(r"linear\.(\d+)", _OLD.get(stem, stem))
        if match and kind in ("weight", "bias") and isinstance(tensor, Tensor):
            layers.setdefault(int(match[1]), {})[kind] = tensor.detach().float().clone()
    ordered = [(layer["weight"], layer.get("bias")) for _, layer in sorted(layers.items()) if "weight" in layer]
    if not any(weight.ndim == 2 for weight, _ in ordered):
        raise _error(path, "it is damaged")
    module = HypernetworkModule(tuple(ordered), activation, activates_output)
    try:
        tried = module(torch.zeros(1, width), 1.0)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise _error(path, f"its layers of width {width} do not fit together") from error
    if tried.shape != (1, width) or not bool(torch.isfinite(tried).all()):
        raise _error(path, f"its layers of width {width} are damaged")
    return module


@contextmanager
def patched(unet: nn.Module, networks: Sequence[tuple[Hypernetwork, float]]) -> Iterator[None]:
    """Within the block every attention's keys and values see what the networks, one after the other, make of them."""
    with ExitStack() as hooks:
        for attention in unet.modules() if networks else ():
            if isinstance(attention, Attention):
                for place, layer in ((0, attention.to_k), (1, attention.to_v)):
                    hooks.callback(layer.register_forward_pre_hook(_bending(place, networks)).remove)
        yield


def _bending(place: int, networks: Sequence[tuple[Hypernetwork, float]]) -> Callable[..., tuple[Tensor, ...]]:
    def before(_layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        context = args[0]
        for network, strength in networks:
            pair = network.modules.get(context.shape[-1])
            if pair is not None:
                context = pair[place](context, strength)
        return (context, *args[1:])

    return before
