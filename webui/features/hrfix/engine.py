"""Kohya's HRFix in a UNet: its encoder's features are shrunk behind one block, and its decoder enlarges them again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from webui.engine.batch import Loaded
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.sampling.process import Process
from webui.features.hrfix.parameters import BISLERP, Params

Size = tuple[int, int]
"""(height, width)"""
LAST_TIMESTEP = 999


def resized(x: Tensor, size: Size, method: str) -> Tensor:
    """(rows, c, h, w) at another size; x itself where it has that size already."""
    if x.shape[-2:] == size:
        return x
    if method == BISLERP:
        return _turned(_turned(x, size[1]).transpose(-1, -2), size[0]).transpose(-1, -2).contiguous()
    if method in ("bilinear", "bicubic"):
        return interpolate(x, size=size, mode=method, align_corners=False)
    return interpolate(x, size=size, mode=method)


def _turned(x: Tensor, count: int) -> Tensor:
    """(rows, c, h, w) -> (rows, c, h, count): channels as a vector turn from one neighbour's direction to the other's,
    and their length changes linearly. Shoemake 1985, "Animating rotation with quaternion curves"."""
    width = x.shape[-1]
    place = ((torch.arange(count, device=x.device, dtype=torch.float32) + 0.5) * width / count - 0.5).clamp(
        0, width - 1
    )
    left = place.floor().long()
    right, share = (left + 1).clamp(max=width - 1), place - left
    one, other = x[..., left].float(), x[..., right].float()
    long, longer = one.norm(dim=1, keepdim=True), other.norm(dim=1, keepdim=True)
    one, other = one / long.clamp(min=1e-12), other / longer.clamp(min=1e-12)
    cosine = (one * other).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.arccos()
    sine = angle.sin()
    is_straight = sine < 1e-4
    sine = torch.where(is_straight, torch.ones_like(sine), sine)
    a = torch.where(is_straight, (1 - share).expand_as(angle), ((1 - share) * angle).sin() / sine)
    b = torch.where(is_straight, share.expand_as(angle), (share * angle).sin() / sine)
    turned: Tensor = (a * one + b * other) * (long * (1 - share) + longer * share)
    return turned.to(x.dtype)


def encoder_of(unet: nn.Module) -> list[list[nn.Module]]:
    """The modules of each block of a UNet's encoder in turn, as its authors number them: the first one is block 0."""
    blocks = [[unet.get_submodule("conv_in")]]
    for stage in unet.get_submodule("down_blocks").children():
        blocks += _layers(stage)
        blocks += [[each] for each in dict(stage.named_children()).get("downsamplers", nn.ModuleList()).children()]
    return blocks


def _layers(stage: nn.Module) -> list[list[nn.Module]]:
    """Each layer of a stage: a ResNet, and the attention behind it where there is one."""
    attentions = list(dict(stage.named_children()).get("attentions", nn.ModuleList()).children())
    layers = list(stage.get_submodule("resnets").children())
    return [[layer, *attentions[place : place + 1]] for place, layer in enumerate(layers)]


@contextmanager
def shrunk(unet: nn.Module, params: Params, acts: Callable[[], bool]) -> Iterator[None]:
    """Within the block, features are small from the encoder's block `params.block_number` on, while it `acts`.

    The decoder joins features with what skips to it from the encoder; where their sizes differ, the features are
    enlarged. Compiled blocks run as they are written.
    """

    def smaller(x: Tensor) -> Tensor:
        if not acts():
            return x
        height, width = (max(round(side / params.downscale_factor), 1) for side in x.shape[-2:])
        return resized(x, (height, width), params.downscale_method)

    def enlarged(x: Tensor, size: Size) -> Tensor:
        return resized(x, size, params.upscale_method)

    blocks = encoder_of(unet)
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        if params.downscale_after_skip:
            behind = [*blocks, [unet.get_submodule("mid_block.resnets.0")]][params.block_number + 1][0]
            hooks.callback(behind.register_forward_pre_hook(_on_input(smaller)).remove)
        else:
            last = blocks[params.block_number][-1]
            hooks.callback(last.register_forward_hook(_on_output(smaller)).remove)
        for stage in unet.get_submodule("up_blocks").children():
            _fit(stage, enlarged, hooks)
        yield


def _fit(stage: nn.Module, enlarged: Callable[[Tensor, Size], Tensor], hooks: ExitStack) -> None:
    """Each layer of this stage of the decoder gets features of the size of what skips to it."""
    sizes: list[Size] = []

    def before(_stage: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, dict[str, object]]:
        skipped: Sequence[Tensor] = kwargs["res_hidden_states_tuple"] if kwargs else args[1]
        sizes[:] = [(each.shape[-2], each.shape[-1]) for each in skipped]  # the layers take the last one first
        size = sizes.pop()
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": enlarged(kwargs["hidden_states"], size)}
        return (enlarged(args[0], size), *args[1:]), kwargs

    def between(x: Tensor) -> Tensor:
        return enlarged(x, sizes.pop()) if sizes else x

    hooks.callback(stage.register_forward_pre_hook(before, with_kwargs=True).remove)
    for layer in _layers(stage):
        hooks.callback(layer[-1].register_forward_hook(_on_output(between)).remove)


def _on_input(change: Callable[[Tensor], Tensor]) -> Callable[..., tuple[object, ...]]:
    return lambda _module, args: (change(args[0]), *args[1:])


def _on_output(change: Callable[[Tensor], Tensor]) -> Callable[..., object]:
    def after(_module: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> object:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return after


def noise_range(process: Process, start: float, end: float) -> tuple[float, float]:
    """(lowest, highest) noise level between these shares of the timesteps, 0 being pure noise."""
    lowest, highest = (
        float(process.sigma(torch.tensor((1 - share) * LAST_TIMESTEP, dtype=torch.float32))) for share in (end, start)
    )
    return (lowest if end < 1 else 0.0), (highest if start > 0 else math.inf)


class Shrinking(PassFeature):
    def __init__(self, params: Params, context: PassContext) -> None:
        self.params, self.remark = params, context.services.watch.remark
        self.lowest, self.highest = noise_range(context.process, params.start_percent, params.end_percent)
        self.acts = True

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet, asked = loaded.model.parts.get("unet"), self.params.block_number
        if unet is None:
            return nullcontext()
        last = len(encoder_of(unet)) - 1
        if asked > last:
            self.remark(
                f"{self.params.title} had no effect: this network has no block {asked}; its last one is {last}."
            )
            return nullcontext()
        return shrunk(unet, self.params, lambda: self.acts)

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.acts = self.lowest <= float(call.sigma[0]) <= self.highest
            return ask(call)

        return asked


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        return Shrinking(self.params, context) if self.params.downscale_factor != 1 else None
