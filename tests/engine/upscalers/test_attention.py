"""SwinIR, DAT and ScuNET: files with the published names of tensors, and the answers of their authors' networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tests.engine.restorers.published import Shapes, filled
from tests.engine.upscalers import dats
from webui.base.errors import ModelError
from webui.engine.upscalers.models import opened

CPU = torch.device("cpu")
WIDTH, HEADS, WINDOW = 12, 2, 8
ANSWERS = json.loads((Path(__file__).parent / "answers.json").read_text("utf-8"))
"""What the authors' networks made of `picture` with the same weights, at 48 places."""


def layer(name: str, out: int, channels: int, size: int = 3, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, channels, size, size), **({f"{name}.bias": (out,)} if bias else {})}


def line(name: str, out: int, channels: int) -> Shapes:
    return {f"{name}.weight": (out, channels), f"{name}.bias": (out,)}


def norm(name: str, channels: int = WIDTH) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def swinir(ends: Shapes) -> Shapes:
    """Of two groups of two layers; ends: what comes after them."""
    found = {**layer("conv_first", WIDTH, 3), **norm("patch_embed.norm"), **norm("norm")}
    for group in range(2):
        for number in range(2):
            own = f"layers.{group}.residual_group.blocks.{number}"
            found |= {**norm(f"{own}.norm1"), **norm(f"{own}.norm2")}
            found[f"{own}.attn.relative_position_bias_table"] = ((2 * WINDOW - 1) ** 2, HEADS)
            found |= {**line(f"{own}.attn.qkv", 3 * WIDTH, WIDTH), **line(f"{own}.attn.proj", WIDTH, WIDTH)}
            found |= {**line(f"{own}.mlp.fc1", 2 * WIDTH, WIDTH), **line(f"{own}.mlp.fc2", WIDTH, 2 * WIDTH)}
    large = "conv_up1.weight" in ends
    for name in ("layers.0.conv", "layers.1.conv", "conv_after_body"):
        narrow = WIDTH // 4
        found |= (
            {
                **layer(f"{name}.0", narrow, WIDTH),
                **layer(f"{name}.2", narrow, narrow, 1),
                **layer(f"{name}.4", WIDTH, narrow),
            }
            if large
            else layer(name, WIDTH, WIDTH)
        )
    return {**found, **ends}


CLASSICAL = {
    **layer("conv_before_upsample.0", 64, WIDTH),
    **layer("upsample.0", 256, 64),
    **layer("upsample.2", 256, 64),
    **layer("conv_last", 3, 64),
}
REAL = {
    **layer("conv_before_upsample.0", 64, WIDTH),
    **layer("conv_up1", 64, 64),
    **layer("conv_up2", 64, 64),
    **layer("conv_hr", 64, 64),
    **layer("conv_last", 3, 64),
}
LIGHT = layer("upsample.0", 3 * 2**2, WIDTH)
DENOISING = layer("conv_last", 3, WIDTH)


def scunet() -> Shapes:
    """Of two blocks at each size, at its published width."""
    found = {**layer("m_head.0", 64, 3, bias=False), **layer("m_tail.0", 3, 64, bias=False)}
    for number in range(1, 4):
        own = 64 * 2 ** (number - 1)
        found |= layer(f"m_down{number}.2", 2 * own, own, 2, bias=False)
        found |= layer(f"m_up{number}.0", 2 * own, own, 2, bias=False)
    places = [(f"m_down{n}.{at}", 64 * 2 ** (n - 1)) for n in range(1, 4) for at in (0, 1)]
    places += [(f"m_up{n}.{at}", 64 * 2 ** (n - 1)) for n in range(1, 4) for at in (1, 2)]
    for own, width in (*places, ("m_body.0", 512), ("m_body.1", 512)):
        half, inside = width // 2, f"{own}.trans_block"
        found |= {**norm(f"{inside}.ln1", half), **norm(f"{inside}.ln2", half)}
        found[f"{inside}.msa.relative_position_params"] = (half // 32, 15, 15)
        found |= {**line(f"{inside}.msa.embedding_layer", 3 * half, half), **line(f"{inside}.msa.linear", half, half)}
        found |= {**line(f"{inside}.mlp.0", 4 * half, half), **line(f"{inside}.mlp.2", half, 4 * half)}
        found |= {**layer(f"{own}.conv1_1", width, width, 1), **layer(f"{own}.conv1_2", width, width, 1)}
        found |= {
            **layer(f"{own}.conv_block.0", half, half, bias=False),
            **layer(f"{own}.conv_block.2", half, half, bias=False),
        }
    return found


KINDS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "SwinIR x4": lambda: filled(swinir(CLASSICAL)),
    "SwinIR large x4": lambda: filled(swinir(REAL)),
    "SwinIR light x2": lambda: filled(swinir(LIGHT)),
    "SwinIR x1": lambda: filled(swinir(DENOISING)),
    "DAT x4": lambda: dats.dat(dats.CLASSICAL),
    "DAT light x3": lambda: dats.dat(dats.LIGHT),
    "ScuNET": lambda: filled(scunet()),
}


def picture() -> Tensor:
    stream = torch.Generator().manual_seed(5)
    return interpolate(torch.rand(1, 3, 8, 8, generator=stream), size=(37, 45), mode="bilinear")


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_networks_answers_are_met(kind: str, tmp_path: Path) -> None:
    torch.save({"params": KINDS[kind]()}, tmp_path / "x.pth")
    upscaler = opened(tmp_path / "x.pth", CPU, torch.float32)
    with torch.inference_mode():
        made = upscaler.network(picture())
    assert made.shape == (1, 3, 37 * upscaler.scale, 45 * upscaler.scale)
    assert at_places(made) == pytest.approx(ANSWERS[kind], abs=1e-3)


def at_places(made: Tensor) -> list[float]:
    down, across = (side // 4 for side in made.shape[2:])
    return made[0, :, down // 2 :: down, across // 2 :: across][:, :4, :4].flatten().tolist()


@pytest.mark.parametrize("size", [(1, 1), (3, 100)])
def test_very_small_and_narrow_pictures_are_taken(size: tuple[int, int], tmp_path: Path) -> None:
    for kind in ("SwinIR light x2", "DAT light x3", "ScuNET"):
        torch.save(KINDS[kind](), tmp_path / "x.pth")
        upscaler = opened(tmp_path / "x.pth", CPU, torch.float32)
        with torch.inference_mode():
            made = upscaler.network(torch.rand(1, 3, *size))
        assert made.shape[2:] == tuple(side * upscaler.scale for side in size)


@pytest.mark.parametrize("kind", ["SwinIR x4", "DAT x4", "ScuNET"])
def test_a_file_that_lacks_a_tensor_is_none_of_ours(kind: str, tmp_path: Path) -> None:
    state = KINDS[kind]()
    del state[next(name for name in state if name.endswith(("qkv.weight", "embedding_layer.weight")))]
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=r"odd\.pth is"):
        opened(tmp_path / "odd.pth", CPU, torch.float32)


def test_windows_that_a_file_cannot_mean_make_it_none_of_ours(tmp_path: Path) -> None:
    state = dats.dat(dats.LIGHT)
    for first in ([-3.0, -8.0], [float("nan"), -7.0], [-1e9, -7.0]):
        state["layers.0.blocks.0.attn.attns.0.rpe_biases"][0] = torch.tensor(first)
        torch.save(state, tmp_path / "odd.pth")
        with pytest.raises(ModelError, match=r"odd\.pth is"):
            opened(tmp_path / "odd.pth", CPU, torch.float32)
