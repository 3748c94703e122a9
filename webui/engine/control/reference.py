"""A reference: the UNet looks at a given picture first, and remembers what its layers saw when it looks at the result.

Rules of sd-webui-controlnet 1.1.455 (`reference_only`, `reference_adain`), as its pictures show them. Self-attention
sees the tokens of both; where means and deviations are remembered, those of the result become the reference's, by
adaptive instance normalisation: Huang and Belongie 2017, arXiv:1703.06868, eq. 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

SMALLEST = 1e-6
"""Variance."""
NORMALISED = {3: 6, 4: 8}
"""Levels of a UNet -> how many blocks of its decoder are brought to the reference's means and deviations."""
T = TypeVar("T")


@dataclass(eq=False)
class Memory:
    """What one unit wants of a UNet's layers. It is asked at each of their calls."""

    attention: bool
    moments: bool
    weight: float
    """Layers act whose rank is below it."""
    phase: Literal["idle", "looking", "remembering"] = "idle"
    fidelity: float = 0.0
    """How far the negative half stays what it is, 0 to 1."""
    negative: Tensor = field(default_factory=lambda: torch.empty(0))
    """Which rows of the call are the negative half's: (rows,), 1 or 0."""


class _Layer:
    """A layer's hook, shared by all units that look at it: A1111's act together, not one upon the other."""

    def __init__(self, rank: float) -> None:
        self.rank = rank
        self.memories: list[Memory] = []
        self.kept: dict[int, Tensor] = {}

    def told(self, now: Callable[[], Tensor]) -> list[tuple[Memory, Tensor]] | None:
        """What is remembered here, once; None: nothing is to be done. now: what is worth remembering."""
        for memory in self.memories:
            if memory.phase == "looking":
                if memory.weight > self.rank:
                    self.kept[id(memory)] = now()
                return None
        found = [
            (each, self.kept.pop(id(each)))
            for each in self.memories
            if each.phase == "remembering" and id(each) in self.kept
        ]
        return found or None

    def mixed(self, plain: Tensor, changed: Tensor, found: Sequence[tuple[Memory, Tensor]]) -> Tensor:
        """The negative half is mixed with the plain answer."""
        fidelity = sum(memory.fidelity for memory, _ in found) / len(found)
        negative = found[0][0].negative.to(plain)
        share = (negative * fidelity).reshape(-1, *[1] * (plain.ndim - 1))
        return torch.lerp(changed.to(plain.dtype), plain, share)


class Attending(_Layer):
    """After a self-attention: the answer with the reference's tokens beside its own."""

    def __call__(
        self, attention: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, object], plain: Tensor
    ) -> Tensor:
        tokens = args[0]
        found = self.told(lambda: tokens)
        if found is None:
            return plain
        wider = torch.cat([tokens, *(kept for _, kept in found)], dim=1)
        changed: Tensor = attention.forward(tokens, **{**kwargs, "encoder_hidden_states": wider})
        return self.mixed(plain, changed, found)


class Normalising(_Layer):
    """After a block: the answer with the reference's means and deviations of each channel."""

    def __call__(self, _block: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> object:
        plain = output[0] if isinstance(output, tuple) else output
        found = self.told(lambda: torch.stack(torch.var_mean(plain, dim=(2, 3), keepdim=True, correction=0)))
        if found is None:
            return output
        variance, mean = torch.var_mean(plain, dim=(2, 3), keepdim=True, correction=0)
        theirs = torch.stack([kept for _, kept in found]).mean(dim=0)
        factor = (theirs[0].clamp(min=SMALLEST) / variance.clamp(min=SMALLEST)) ** 0.5
        changed = self.mixed(plain, (plain - mean) * factor + theirs[1], found)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed


@contextmanager
def remembered(unet: nn.Module, memory: Memory) -> Iterator[None]:
    """Within the block the UNet's layers are looked at as the memory says. Compiled blocks run as they are written."""
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        for layer, rank in attentions(unet) if memory.attention else ():
            attending = _there(layer, Attending)
            if attending is None:
                attending = Attending(rank)
                hooks.callback(layer.register_forward_hook(attending, with_kwargs=True).remove)
            _join(hooks, attending, memory)
        for layer, rank in blocks(unet) if memory.moments else ():
            normalising = _there(layer, Normalising)
            if normalising is None:
                normalising = Normalising(rank)
                hooks.callback(layer.register_forward_hook(normalising).remove)
            _join(hooks, normalising, memory)
        yield


def _there(layer: nn.Module, kind: type[T]) -> T | None:
    return next((hook for hook in layer._forward_hooks.values() if isinstance(hook, kind)), None)


def _join(hooks: ExitStack, shared: _Layer, memory: Memory) -> None:
    shared.memories.append(memory)
    hooks.callback(shared.memories.remove, memory)


def attentions(unet: nn.Module) -> list[tuple[nn.Module, float]]:
    """The self-attentions, each with its rank from 0 to 1: the widest first, then in the order of calls."""
    parts = [unet.get_submodule(name) for name in ("down_blocks", "mid_block", "up_blocks")]
    found = [block for part in parts for block in part.modules() if isinstance(block, BasicTransformerBlock)]
    widest_first = sorted(found, key=lambda block: -block.norm1.weight.shape[0])
    return [(block.get_submodule("attn1"), number / len(found)) for number, block in enumerate(widest_first)]


def blocks(unet: nn.Module) -> list[tuple[nn.Module, float]]:
    """The last layers of the blocks that are normalised, each with its rank: the middle, the encoder's lower levels
    from the top, the decoder's from its end."""
    down, up = (list(unet.get_submodule(name).children()) for name in ("down_blocks", "up_blocks"))
    inner = [layer for level in down[1:] for layer in _ends(level, "")]
    outer = [layer for level in up for layer in _ends(level, "upsamplers")][: NORMALISED.get(len(up), len(up))]
    ranked = [(layer, 2 * (1 - number / len(inner))) for number, layer in enumerate(inner)]
    ranked += [(layer, 2 * number / len(outer)) for number, layer in enumerate(outer)]
    return [(unet.get_submodule("mid_block"), 0.0), *ranked]


def _ends(level: nn.Module, after: str) -> list[nn.Module]:
    """The last layer of each of a level's blocks; what comes `after` the last belongs to it."""
    parts = {name: list(part.children()) for name, part in level.named_children() if isinstance(part, nn.ModuleList)}
    found = parts.get("attentions") or parts.get("resnets") or []
    more = parts.get(after) or []
    return [*found[:-1], more[-1]] if more and found else found
