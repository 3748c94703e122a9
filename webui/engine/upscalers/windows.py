"""Attention within windows of a picture, which every other layer shifts by half of one.

Liu et al. 2021, "Swin Transformer", arXiv:2103.14030, sections 3.2 and 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

FORBIDDEN = -100.0
"""Added where places of a window were no neighbours before the shift."""


Sides = tuple[int, int]
"""(height, width) in places."""


def attended(qkv: Tensor, bias: Tensor, window: Sides, *, shifted: bool) -> Tensor:
    """(b, h, w, 3 * c) of queries, keys and values -> (b, h, w, c). Both sides are multiples of the window's.

    bias: (heads, places, places), of each place of a window towards each other one.
    """
    batch, height, width, channels = qkv.shape
    heads, places = bias.shape[:2]
    shift = (window[0] // 2, window[1] // 2)
    moved = qkv.roll((-shift[0], -shift[1]), (1, 2)) if shifted else qkv
    # (b, rows, columns, places, 3, heads, channels of a head) -> three of (b, windows, heads, places, channels)
    parts = moved.reshape(batch, height // window[0], window[0], width // window[1], window[1], channels)
    split = parts.transpose(2, 3).reshape(batch, -1, places, 3, heads, channels // (3 * heads))
    q, k, v = split.permute(3, 0, 1, 4, 2, 5)
    mask = bias[None]
    if shifted:
        mask = mask + _borders(height, width, window, shift, bias)[:, None]
    found = scaled_dot_product_attention(q, k, v, attn_mask=mask[None]).transpose(2, 3)
    rows = found.reshape(batch, height // window[0], width // window[1], *window, channels // 3).transpose(2, 3)
    whole = rows.reshape(batch, height, width, channels // 3)
    return whole.roll(shift, (1, 2)) if shifted else whole


def _borders(height: int, width: int, window: Sides, shift: Sides, like: Tensor) -> Tensor:
    """(windows, places, places): what must not look at each other, since the shift brought it together."""
    part = torch.zeros(height, width, device=like.device)
    part[-window[0] :] += 1
    part[-shift[0] :] += 1
    part[:, -window[1] :] += 3
    part[:, -shift[1] :] += 3
    rows = part.reshape(height // window[0], window[0], width // window[1], window[1])
    parts = rows.transpose(1, 2).flatten(2).flatten(0, 1)
    return (parts[:, None] != parts[:, :, None]).to(like.dtype) * FORBIDDEN


def offsets(window: Sides, device: torch.device) -> Tensor:
    """(places, places): how the way from each place of a window to each other one is counted, row by row, of
    (2 * height - 1) * (2 * width - 1)."""
    sides = (torch.arange(side, device=device) for side in window)
    down, across = (each.flatten() for each in torch.meshgrid(*sides, indexing="ij"))
    ways = [place[:, None] - place[None] + side - 1 for place, side in zip((down, across), window, strict=True)]
    return ways[0] * (2 * window[1] - 1) + ways[1]


def padded(picture: Tensor, side: int) -> Tensor:
    """(b, c, h, w) to multiples of `side`, by what lies at the right and the lower edge, mirrored; very small pictures
    by their last pixels."""
    height, width = picture.shape[-2:]
    spare = (0, -width % side, 0, -height % side)
    mirrored = spare[1] < width and spare[3] < height
    return pad(picture, spare, mode="reflect" if mirrored else "replicate")
