"""A small DAT: the published names of tensors, numbers that follow from the names."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.engine.restorers.published import Shapes, filled

WIDTH, HEADS, WINDOW = 32, 4, (4, 8)
BLOCKS = 4
"""In a group; the third one of an even group, and the first of an odd one, have shifted windows."""


def _layer(name: str, out: int, channels: int, size: int = 3) -> Shapes:
    return {f"{name}.weight": (out, channels, size, size), f"{name}.bias": (out,)}


def _line(name: str, out: int, channels: int) -> Shapes:
    return {f"{name}.weight": (out, channels), f"{name}.bias": (out,)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def _batch_norm(name: str, channels: int) -> Shapes:
    return {**_norm(name, channels), f"{name}.running_mean": (channels,), f"{name}.running_var": (channels,)}


def _block(own: str, *, of_places: bool) -> Shapes:
    found = {**_norm(f"{own}.norm1", WIDTH), **_norm(f"{own}.norm2", WIDTH)}
    attn, few, fewer = f"{own}.attn", WIDTH // 8, WIDTH // 16
    found |= {**_line(f"{attn}.qkv", 3 * WIDTH, WIDTH), **_line(f"{attn}.proj", WIDTH, WIDTH)}
    found |= {**_layer(f"{attn}.dwconv.0", WIDTH, 1), **_batch_norm(f"{attn}.dwconv.1", WIDTH)}
    found |= {
        **_layer(f"{attn}.channel_interaction.1", few, WIDTH, 1),
        **_batch_norm(f"{attn}.channel_interaction.2", few),
        **_layer(f"{attn}.channel_interaction.4", WIDTH, few, 1),
        **_layer(f"{attn}.spatial_interaction.0", fewer, WIDTH, 1),
        **_batch_norm(f"{attn}.spatial_interaction.1", fewer),
        **_layer(f"{attn}.spatial_interaction.3", 1, fewer, 1),
    }
    if of_places:
        for number in range(2):
            inside, inner = f"{attn}.attns.{number}.pos", WIDTH // 32
            found |= _line(f"{inside}.pos_proj", inner, 2)
            for name, out in (("pos1", inner), ("pos2", inner), ("pos3", HEADS // 2)):
                found |= {**_norm(f"{inside}.{name}.0", inner), **_line(f"{inside}.{name}.2", out, inner)}
    else:
        found[f"{attn}.temperature"] = (HEADS, 1, 1)
    half = WIDTH
    found |= {**_line(f"{own}.ffn.fc1", 2 * half, WIDTH), **_line(f"{own}.ffn.fc2", WIDTH, half)}
    return {**found, **_norm(f"{own}.ffn.sg.norm", half), **_layer(f"{own}.ffn.sg.conv", half, 1)}


def dat(ends: Shapes, groups: int = 2) -> dict[str, Tensor]:
    """ends: what comes after the groups, of `WIDTH` channels; with "conv_last", the convolutions are whole ones."""
    narrow = WIDTH // 4
    found = {**_layer("conv_first", WIDTH, 3), **_norm("before_RG.1", WIDTH), **_norm("norm", WIDTH)}
    for group in range(groups):
        for block in range(BLOCKS):
            found |= _block(f"layers.{group}.blocks.{block}", of_places=block % 2 == 0)
    for name in ("conv_after_body", *(f"layers.{group}.conv" for group in range(groups))):
        found |= (
            _layer(name, WIDTH, WIDTH)
            if "conv_last.weight" in ends
            else {
                **_layer(f"{name}.0", narrow, WIDTH),
                **_layer(f"{name}.2", narrow, narrow, 1),
                **_layer(f"{name}.4", WIDTH, narrow),
            }
        )
    state = filled({**found, **ends})
    for name in [name for name in state if name.endswith("running_var")]:
        state[name] = state[name].abs() + 0.5
    for group in range(groups):
        for block in range(0, BLOCKS, 2):
            for number, (down, across) in enumerate((WINDOW, WINDOW[::-1])):
                sides = (torch.arange(1.0 - side, side) for side in (down, across))
                ways = torch.stack(torch.meshgrid(*sides, indexing="ij")).flatten(1).T.contiguous()
                state[f"layers.{group}.blocks.{block}.attn.attns.{number}.rpe_biases"] = ways
    return state


CLASSICAL = {
    **_layer("conv_before_upsample.0", 64, WIDTH),
    **_layer("upsample.0", 256, 64),
    **_layer("upsample.2", 256, 64),
    **_layer("conv_last", 3, 64),
}
LIGHT = _layer("upsample.0", 3 * 3**2, WIDTH)
