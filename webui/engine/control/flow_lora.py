"""Control LoRAs of Flux: low-rank changes to its transformer, which sees a picture of edges or depth beside the noise.

Black Forest Labs 2024, FLUX.1 Canny and Depth [dev] LoRA; Hu et al. 2021, arXiv:2106.09685. What diffusers does by
making the first layer wider is done here by sums: the weights that it adds to that layer are zeros, so that what stands
for the picture comes from the low-rank change alone. The weights stay as they are, and a unit may act in some calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from webui.engine.families import flux
from webui.engine.families.weights import WeightsFile

PREFIXES = ("transformer.", "model.diffusion_model.", "diffusion_model.", "")
FIRST, EPSILON = "x_embedder", 1e-6
"""The layer that sees the picture; of the norms of queries and keys."""
PARTS = {"lora_A.weight": "down", "lora_B.weight": "up", "lora_B.bias": "bias", "alpha": "alpha"}
_PART = re.compile(rf"(.+)\.({'|'.join(map(re.escape, PARTS))})")
_NORM = re.compile(r"(.+\.attn\.norm_(?:added_)?[qk])\.weight")


@dataclass(frozen=True, eq=False)
class LowRank:
    """What is added to a layer's output."""

    down: Tensor
    """(rank, inputs)"""
    up: Tensor
    """(outputs, rank)"""
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, ..., inputs) -> (rows, ..., outputs)"""
        return linear(linear(x.to(self.down.dtype), self.down), self.up, self.bias)


@dataclass(eq=False)
class LoraInCall:
    """What a unit does in the call that is in work."""

    share: Callable[[str], float]
    """A layer's name -> how strongly the unit acts on it."""
    hint: Tensor | None = None
    """(rows, n, channels): the picture as the transformer sees it; None: the unit does not act in this call."""
    rows: Tensor | None = None
    """(rows,): how strongly it acts on each row."""

    def strength(self, layer: str, like: Tensor) -> Tensor:
        """As it is multiplied with a layer's output."""
        assert self.rows is not None
        return self.rows.to(like.device).reshape(-1, *[1] * (like.ndim - 1)) * self.share(layer)


@dataclass(eq=False)
class FlowLora:
    """A control LoRA in memory."""

    changes: Mapping[str, LowRank]
    """By the names of diffusers' layers."""
    norms: Mapping[str, Tensor] = field(default_factory=dict)
    """Weights that take the place of those of norms."""

    @property
    def nbytes(self) -> int:
        low_rank = [each for one in self.changes.values() for each in (one.down, one.up, one.bias) if each is not None]
        return sum(each.nbytes for each in (*low_rank, *self.norms.values()))

    def fits(self, transformer: nn.Module) -> bool:
        """Whether the transformer has layers of these sizes."""
        if not isinstance(transformer, FluxTransformer2DModel):
            return False
        for name, change in self.changes.items():
            layer = _layer(transformer, name)
            if not isinstance(layer, nn.Linear) or change.up.shape[0] != layer.out_features:
                return False
            if change.down.shape[1] != layer.in_features * (2 if name == FIRST else 1):
                return False
        shapes = {name: getattr(_layer(transformer, name), "weight", None) for name in self.norms}
        return all(shape is not None and shape.shape == self.norms[name].shape for name, shape in shapes.items())

    @contextmanager
    def within(self, transformer: nn.Module, acting: LoraInCall) -> Iterator[None]:
        """Within the block the transformer's layers are changed, in the calls in which the unit acts."""
        with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
            for name, change in self.changes.items():
                layer = transformer.get_submodule(name)
                hooks.callback(layer.register_forward_hook(_Changed(name, change, acting)).remove)
            for name, weight in self.norms.items():
                norm = transformer.get_submodule(name)
                hooks.callback(norm.register_forward_hook(_Normed(name, weight, acting)).remove)
            yield


def _layer(transformer: nn.Module, name: str) -> nn.Module | None:
    try:
        return transformer.get_submodule(name)
    except AttributeError:
        return None


@dataclass(frozen=True, eq=False)
class _Changed:
    name: str
    change: LowRank
    acting: LoraInCall

    def __call__(self, _layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        hint = self.acting.hint
        if hint is None:
            return output
        x = given[0]
        if self.name == FIRST:
            x = torch.cat([x, hint.to(x)], dim=-1)
        return output + (self.change(x) * self.acting.strength(self.name, output)).to(output.dtype)


@dataclass(frozen=True, eq=False)
class _Normed:
    """Another weight's norm is this one's, and the difference of both times what was normed."""

    name: str
    weight: Tensor
    acting: LoraInCall

    def __call__(self, norm: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self.acting.hint is None:
            return output
        own, x = norm.get_parameter("weight"), given[0].float()
        more = rms_norm(x, own.shape, eps=EPSILON) * (self.weight.to(own.device).float() - own.float())
        return output + (more * self.acting.strength(self.name, output)).to(output.dtype)


def flow_lora_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> FlowLora:
    """The control LoRA of a file, in Black Forest Labs' names or those of diffusers.

    Raises:
        ModelError: it is damaged, or something in it is not known.
    """
    if dtype == torch.float16:
        dtype = torch.bfloat16  # what Flux computes with goes beyond the range of the other
    found: dict[str, dict[str, Tensor]] = {}
    norms: dict[str, Tensor] = {}
    for name, full in file.under(*PREFIXES).items():
        tensor = file.tensor(full).to(device, dtype, copy=True)
        if not bool(torch.isfinite(tensor).all()):
            raise file.error(f"{full} contains NaN or infinite values", "Download it again.")
        if match := _PART.fullmatch(name):
            found.setdefault(match[1], {})[PARTS[match[2]]] = tensor
        elif match := _NORM.fullmatch(flux.renamed(name)):
            norms[match[1]] = tensor
        else:
            raise file.error(f"{full} is nothing that a control LoRA of Flux has")
    changes: dict[str, LowRank] = {}
    for layer, parts in found.items():
        changes |= _changes(file, layer, parts)
    return FlowLora(changes, norms)


def _changes(file: WeightsFile, layer: str, parts: Mapping[str, Tensor]) -> dict[str, LowRank]:
    """What a layer of the file changes, by the layers that it stands for."""
    down, up, bias = parts.get("down"), parts.get("up"), parts.get("bias")
    if down is None or up is None or down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0]:
        raise file.error(f"its change to {layer} is damaged", "Download it again.")
    if bias is not None and bias.shape != up.shape[:1]:
        raise file.error(f"its change to the bias of {layer} is damaged", "Download it again.")
    if "alpha" in parts:
        up = up * (float(parts["alpha"]) / len(down))
    own = flux.layers_of(layer)
    if layer == flux.LAST_NORM:
        up, bias = (None if each is None else torch.cat(each.chunk(2)[::-1]) for each in (up, bias))
        assert up is not None
    each = len(up) // 3 if len(own) == 3 else down.shape[1]
    sizes = [each] * (len(own) - 1)
    sizes.append(len(up) - sum(sizes))
    if sizes[-1] <= 0:
        raise file.error(f"its change to {layer} is damaged", "Download it again.")
    found, start = dict[str, LowRank](), 0
    for name, size in zip(own, sizes, strict=True):
        rows = slice(start, start + size)
        found[name] = LowRank(down, up[rows], None if bias is None else bias[rows])
        start += size
    return found
