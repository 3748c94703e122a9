"""Hypertile: self-attention within tiles, for speed with large pictures. Fernandes 2023, github.com/tfernd/HyperTile.

The cost of self-attention grows with the square of the number of tokens; within tiles, with their number alone. The
tiles' size changes from call to call, so that their edges do not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from random import Random
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from webui.engine.batch import Loaded
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.hypertile.parameters import Params

Size = tuple[int, int]
"""(height, width)"""
PIXELS = 8
"""Of a picture along each side of one of its latents, in the UNets that there are."""
START = 1
"""Of the stream that the sizes are drawn from: in each pass the same, so that a picture does not depend on its
batch."""


def counts(side: int, smallest: int, options: int) -> list[int]:
    """How many tiles there can be along a side of so many tokens: the `options` highest numbers, of equal tiles of at
    least `smallest` tokens. Never empty."""
    sizes = [size for size in range(min(max(smallest, 1), side), side + 1) if side % size == 0]
    return [side // size for size in sizes[: max(options, 1)]]


def split(x: Tensor, size: Size, tiles: Size) -> Tensor:
    """(b, h * w, c) of an (h, w) grid -> (b * tiles, tokens of a tile, c)."""
    (height, width), (down, across) = size, tiles
    grid = x.reshape(len(x), down, height // down, across, width // across, x.shape[-1])
    return grid.transpose(2, 3).reshape(len(x) * down * across, -1, x.shape[-1])


def joined(x: Tensor, size: Size, tiles: Size) -> Tensor:
    """What `split` has taken apart."""
    (height, width), (down, across) = size, tiles
    grid = x.reshape(-1, down, across, height // down, width // across, x.shape[-1])
    return grid.transpose(2, 3).reshape(-1, height * width, x.shape[-1])


class TileCounts:
    """Draws how many tiles there are, of at most `tile` pixels along each side."""

    def __init__(self, tile: int, swap: int) -> None:
        self.tile, self.swap, self._stream = tile, swap, Random(START)

    def __call__(self, size: Size, level: int, whole: Size) -> Size:
        """(tiles down, tiles across) of a grid of this `size` at a level of a network that was given `whole` latents;
        lower levels have larger tiles, since they see more of the picture in each token."""
        largest = math.gcd(*whole)
        smallest = min(max(self.tile // PIXELS, 1), largest & -largest) << level
        down, across = (self._stream.choice(counts(side, smallest, self.swap)) for side in size)
        return down, across


def levels_of(unet: nn.Module) -> Iterator[tuple[int, nn.Module]]:
    """(level, self-attention) of all but the middle of a UNet; level 0 has the resolution of the latents."""
    down, up = (list(unet.get_submodule(name).children()) for name in ("down_blocks", "up_blocks"))
    for number, stage in enumerate(down):
        yield from ((number, attention) for attention in _attentions(stage))
    for number, stage in enumerate(up):
        yield from ((len(up) - 1 - number, attention) for attention in _attentions(stage))


def _attentions(stage: nn.Module) -> Iterable[nn.Module]:
    blocks = [block for block in stage.modules() if isinstance(block, BasicTransformerBlock)]
    return [block.get_submodule("attn1") for block in blocks]


@contextmanager
def tiled_unet(unet: nn.Module, depth: int, sizes: TileCounts) -> Iterator[None]:
    """Within the block the UNet's self-attentions down to this level look within tiles; afterwards all is as before.

    What others see of an attention, and what they ask of it with more tokens beside its own, is as without tiles.
    Compiled blocks run as they are written.
    """
    whole = [1, 1]

    def note_size(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        whole[:] = args[0].shape[-2:]

    with ExitStack() as patches, torch.compiler.set_stance("force_eager"):
        patches.callback(unet.register_forward_pre_hook(note_size).remove)
        for level, attention in levels_of(unet):
            if level <= depth:
                patches.enter_context(replaced(attention, _within_tiles(attention.forward, level, whole, sizes)))
        yield


def _within_tiles(forward: Callable[..., Any], level: int, whole: list[int], sizes: TileCounts) -> Callable[..., Any]:
    def tiled(x: Tensor, encoder_hidden_states: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        height, width = whole
        size = (-(-height >> level), -(-width >> level))
        tiles = (1, 1)
        if encoder_hidden_states is None and x.ndim == 3 and x.shape[1] == size[0] * size[1]:
            tiles = sizes(size, level, (height, width))
        if tiles == (1, 1):
            return forward(x, encoder_hidden_states, *args, **kwargs)
        return joined(forward(split(x, size, tiles), None, *args, **kwargs), size, tiles)

    return tiled


@contextmanager
def tiled_vae(vae: nn.Module, sizes: TileCounts) -> Iterator[None]:
    """Within the block the attention in the middle of encoder and decoder looks within tiles."""
    with ExitStack() as patches:
        for name in ("encoder", "decoder"):
            half = dict(vae.named_children()).get(name)
            middle = dict(half.named_children()).get("mid_block") if half is not None else None
            attentions = dict(middle.named_children()).get("attentions") if middle is not None else None
            for attention in attentions.children() if attentions is not None else ():
                patches.enter_context(replaced(attention, _picture_within_tiles(attention.forward, sizes)))
        yield


def _picture_within_tiles(forward: Callable[..., Any], sizes: TileCounts) -> Callable[..., Any]:
    def tiled(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if x.ndim != 4:
            return forward(x, *args, **kwargs)
        size = (x.shape[2], x.shape[3])
        tiles = sizes(size, 0, size)
        if tiles == (1, 1):
            return forward(x, *args, **kwargs)
        tokens = split(x.flatten(2).transpose(1, 2), size, tiles)
        inner = (size[0] // tiles[0], size[1] // tiles[1])
        made = forward(tokens.transpose(1, 2).reshape(len(tokens), -1, *inner), *args, **kwargs)
        whole = joined(made.flatten(2).transpose(1, 2), size, tiles)
        return whole.transpose(1, 2).reshape(x.shape)

    return tiled


@contextmanager
def replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within the block the module answers with another function."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


class Tiles(PassFeature):
    """A pass whose UNet has tiles."""

    def __init__(self, params: Params) -> None:
        self.depth, self.sizes = params.depth, TileCounts(params.tile, params.swap)

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        return nullcontext() if unet is None else tiled_unet(unet, self.depth, self.sizes)


class Engine(FeatureEngine[Params]):
    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        if not self.params.vae:
            return nullcontext()
        return tiled_vae(vae, TileCounts(self.params.vae_tile, self.params.vae_swap))

    def begin(self, context: PassContext) -> PassFeature | None:
        on = self.params.second if context.this.phase == "hires" else self.params.first
        return Tiles(self.params) if on else None
