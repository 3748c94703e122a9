"""A VAE's encoder or decoder in tiles, whose group norms take the statistics of the whole.

The rules are those of the extension multidiffusion-upscaler-for-automatic1111, as its pictures show them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

Walk = Generator[tuple[nn.GroupNorm, Tensor], Tensor, Tensor]
"""A network that halts at each of its norms: it gives the norm with what comes to it, and is sent what leaves it."""
ENCODER_EDGE, DECODER_EDGE = 32, 11
"""What a tile sees beyond its own part on each side, in pixels of what comes in."""


class Moments(NamedTuple):
    """Of each group, (b, groups)."""

    variance: Tensor
    mean: Tensor


class Stretch(NamedTuple):
    """A tile along one side."""

    seen: tuple[int, int]
    """From where to where it sees what comes in."""
    own: tuple[int, int]
    """The part of that which becomes its part of what comes out."""


def spans(side: int, tile: int, edge: int) -> tuple[Stretch, ...]:
    """The tiles along a side: as even as may be, and multiples of a power of 2 where the tile's size allows it."""
    inner = max(side - 2 * edge, 1)
    count = max(math.ceil(inner / tile), 1)
    size = _rounded(math.ceil(inner / count), tile)
    found = []
    for number in range(count):
        begin, end = edge + number * size, min(edge + (number + 1) * size, side)
        seen = (max(begin - edge, 0), min(end + edge, side))
        own = (begin if begin > edge else 0, end if end < side - edge else side)
        found.append(Stretch(seen, own))
    return tuple(found)


def _rounded(size: int, most: int) -> int:
    """Up to a multiple of 32, or of a smaller power of 2 where that were too much."""
    for divisor in (32, 16, 8, 4, 2):
        up = math.ceil(size / divisor) * divisor
        if up <= most:
            return up
    return size


# ---------------------------------------------------------------- networks that halt


def _resnet(block: Any, x: Tensor) -> Walk:
    inner = block.conv1(block.nonlinearity((yield block.norm1, x)))
    inner = block.conv2(block.nonlinearity((yield block.norm2, inner)))
    kept = x if block.conv_shortcut is None else block.conv_shortcut(x)
    out: Tensor = (kept + inner) / block.output_scale_factor
    return out


def _attention(layer: Any, x: Tensor) -> Walk:
    tokens = (yield layer.group_norm, x).flatten(2).transpose(1, 2)
    heads = [each(tokens).unflatten(-1, (layer.heads, -1)) for each in (layer.to_q, layer.to_k, layer.to_v)]
    answer = scaled_dot_product_attention(*(each.transpose(1, 2) for each in heads))
    attended = layer.to_out[0](answer.transpose(1, 2).flatten(2))
    out: Tensor = (attended.transpose(1, 2).reshape(x.shape) + x) / layer.rescale_output_factor
    return out


def _middle(block: Any, x: Tensor) -> Walk:
    x = yield from _resnet(block.resnets[0], x)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        if attention is not None:
            x = yield from _attention(attention, x)
        x = yield from _resnet(resnet, x)
    return x


def _stage(resnets: Iterable[nn.Module], resizing: Iterable[nn.Module] | None, x: Tensor) -> Walk:
    for resnet in resnets:
        x = yield from _resnet(resnet, x)
    for resize in resizing or ():
        x = resize(x)
    return x


def encoding(encoder: Any, x: Tensor) -> Walk:
    """(b, 3, h, w) -> (b, c, h / factor, w / factor)."""
    x = encoder.conv_in(x)
    for stage in encoder.down_blocks:
        x = yield from _stage(stage.resnets, stage.downsamplers, x)
    x = yield from _middle(encoder.mid_block, x)
    out: Tensor = encoder.conv_out(encoder.conv_act((yield encoder.conv_norm_out, x)))
    return out


def decoding(decoder: Any, x: Tensor) -> Walk:
    """(b, c, h, w) -> (b, 3, factor h, factor w)."""
    x = yield from _middle(decoder.mid_block, decoder.conv_in(x))
    for stage in decoder.up_blocks:
        x = yield from _stage(stage.resnets, stage.upsamplers, x)
    out: Tensor = decoder.conv_out(decoder.conv_act((yield decoder.conv_norm_out, x)))
    return out


# ---------------------------------------------------------------- norms


def moments(norm: nn.GroupNorm, x: Tensor) -> Moments:
    grouped = x.reshape(len(x), norm.num_groups, -1).float()
    return Moments(*torch.var_mean(grouped, dim=2, correction=0))


def normed(norm: nn.GroupNorm, x: Tensor, of: Moments) -> Tensor:
    """x under these statistics instead of its own."""
    variance, mean = (each.repeat_interleave(x.shape[1] // norm.num_groups, dim=1)[..., None, None] for each in of)
    found = (x.float() - mean) / (variance + norm.eps).sqrt()
    return (found * norm.weight[:, None, None] + norm.bias[:, None, None]).to(x.dtype)


def _together(each: Sequence[Moments], pixels: Sequence[int]) -> Moments:
    """The averages, by the tiles' sizes; what two of them see counts twice."""
    shares = [count / sum(pixels) for count in pixels]
    variance, mean = (
        torch.stack([value * share for value, share in zip(values, shares, strict=True)]).sum(dim=0)
        for values in zip(*each, strict=True)
    )
    return Moments(variance, mean)


def estimated(walk_of: Callable[[Tensor], Walk], x: Tensor, tile: int) -> list[Moments]:
    """The statistics of a small copy of x, which has its means and deviations, at each norm in turn."""
    small = interpolate(x, scale_factor=tile / max(x.shape[-2:]), mode="nearest-exact")
    (deviation, mean), (own, middle) = (
        torch.std_mean(each.float(), dim=(0, 2, 3), keepdim=True) for each in (x, small)
    )
    small = ((small.float() - middle) / own * deviation + mean).clamp(x.min(), x.max()).to(x.dtype)
    found: list[Moments] = []
    walk = walk_of(small)
    try:
        norm, reached = next(walk)
        while True:
            found.append(moments(norm, reached))
            norm, reached = walk.send(normed(norm, reached, found[-1]))
    except StopIteration:
        return found


# ---------------------------------------------------------------- tiles


def alone(walk: Walk, known: Sequence[Moments]) -> Tensor:
    """What comes out, where the statistics of all norms are known."""
    try:
        norm, reached = next(walk)
        for each in known:
            norm, reached = walk.send(normed(norm, reached, each))
    except StopIteration as end:
        out: Tensor = end.value
        return out
    raise RuntimeError("The network has more norms than are known.")


def side_by_side(walks: Sequence[Walk], known: Sequence[Moments]) -> list[Tensor]:
    """The same for all tiles at once, where the statistics of the first norms alone are known."""
    halted = [next(walk) for walk in walks]
    done: list[Tensor] = []
    given = iter(known)
    while not done:
        of = next(given, None)
        if of is None:
            of = _together([moments(*each) for each in halted], [x.shape[-2:].numel() for _, x in halted])
        sent = [normed(norm, x, of) for norm, x in halted]
        halted = []
        for walk, x in zip(walks, sent, strict=True):
            try:
                halted.append(walk.send(x))
            except StopIteration as end:
                done.append(end.value)
    return done


def in_tiles(
    walk_of: Callable[[Tensor], Walk],
    x: Tensor,
    tile: int,
    edge: int,
    known: Sequence[Moments],
    *,
    whole: bool,
    scaled: Callable[[int], int],
) -> Tensor:
    """What a network makes of x, tile by tile. whole: the statistics of all its norms are `known`. scaled: a length of
    what comes in -> of what comes out."""
    places = [(down, across) for down in spans(x.shape[-2], tile, edge) for across in spans(x.shape[-1], tile, edge)]
    parts = [x[..., slice(*down.seen), slice(*across.seen)] for down, across in places]

    made: Iterable[Tensor] = (alone(walk_of(part), known) for part in parts)
    if not whole:
        made = side_by_side([walk_of(part) for part in parts], known)
    out: Tensor | None = None
    for (down, across), part in zip(places, made, strict=True):
        if out is None:
            out = part.new_zeros(*part.shape[:2], scaled(x.shape[-2]), scaled(x.shape[-1]))
        (top, bottom), (left, right) = (tuple(map(scaled, each.own)) for each in (down, across))
        above, before = scaled(down.seen[0]), scaled(across.seen[0])
        out[..., top:bottom, left:right] = part[..., top - above : bottom - above, left - before : right - before]
    assert out is not None
    return out
