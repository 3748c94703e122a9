"""Small files of face restorers: the published names of tensors, few channels, numbers that follow from the names."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
STYLE, READ, MADE = 16, 16, 32
"""Numbers of a style; channels of GFPGAN's two networks."""
WIDTH, WORDS, TOLD = 32, 48, 64
"""Channels, words of the codebook, and numbers of the transformer, of the other two."""


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Numbers that a network of these shapes does something with."""
    return {name: _numbers(name, shape) for name, shape in shapes.items()}


def _numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    stream = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    numbers = torch.randn(shape, generator=stream)
    if len(shape) > 1 and "noise" not in name and "position" not in name:
        return numbers * 0.8 / math.prod(shape[1:]) ** 0.5
    return 1 + 0.1 * numbers if "norm" in name and name.endswith("weight") else 0.1 * numbers


def _layer(name: str, out: int, channels: int, size: int = 3, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, channels, size, size), **({f"{name}.bias": (out,)} if bias else {})}


def _line(name: str, out: int, channels: int) -> Shapes:
    return {f"{name}.weight": (out, channels), f"{name}.bias": (out,)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def gfpgan(levels: int = 4) -> Shapes:
    """GFPGANv1.4.pth, for faces of 4 * 2**levels pixels; published: 512, seven levels."""
    found = {**_layer("conv_body_first", READ, 3, 1), **_layer("final_conv", READ, READ)}
    found |= _line("final_linear", 2 * (levels + 1) * STYLE, READ * 16)
    decoder = "stylegan_decoder"
    found[f"{decoder}.constant_input.weight"] = (1, MADE, 4, 4)
    found |= _line(f"{decoder}.style_mlp.1", STYLE, STYLE)
    styled = [f"{decoder}.style_conv1"]
    to_rgb = [f"{decoder}.to_rgb1"]
    for level in range(levels):
        for way in ("down", "up"):
            own = f"conv_body_{way}.{level}"
            found |= {**_layer(f"{own}.conv1", READ, READ), **_layer(f"{own}.conv2", READ, READ)}
            found |= _layer(f"{own}.skip", READ, READ, 1, bias=False)
        for kind in ("scale", "shift"):
            found |= {
                **_layer(f"condition_{kind}.{level}.0", READ, READ),
                **_layer(f"condition_{kind}.{level}.2", MADE // 2, READ),
            }
        found |= _layer(f"toRGB.{level}", 3, READ, 1)
        styled += [f"{decoder}.style_convs.{2 * level}", f"{decoder}.style_convs.{2 * level + 1}"]
        to_rgb.append(f"{decoder}.to_rgbs.{level}")
    for number, name in enumerate(styled):
        side = 4 * 2 ** ((number + 1) // 2)
        found |= {f"{name}.weight": (1,), f"{name}.bias": (1, MADE, 1, 1)}
        found[f"{decoder}.noises.noise{number}"] = (1, 1, side, side)
    for name in to_rgb:
        found[f"{name}.bias"] = (1, 3, 1, 1)
    for names, out, size in ((styled, MADE, 3), (to_rgb, 3, 1)):
        for name in names:
            found |= _line(f"{name}.modulated_conv.modulation", MADE, STYLE)
            found[f"{name}.modulated_conv.weight"] = (1, out, MADE, size, size)
    return found


def _residual(name: str) -> Shapes:
    return {
        **_norm(f"{name}.norm1", WIDTH),
        **_layer(f"{name}.conv1", WIDTH, WIDTH),
        **_norm(f"{name}.norm2", WIDTH),
        **_layer(f"{name}.conv2", WIDTH, WIDTH),
    }


def _attention(name: str, *norms: str) -> Shapes:
    found = {key: shape for norm in norms for key, shape in _norm(f"{name}.{norm}", WIDTH).items()}
    for way in ("q", "k", "v", "proj_out"):
        found |= _layer(f"{name}.{way}", WIDTH, WIDTH, 1)
    return found


def codeformer(sizes: int = 4) -> Shapes:
    """codeformer-v0.1.0.pth, for faces of 16 * 2**(sizes - 1) pixels; published: 512, six sizes."""
    encoder = ["in", *[each for _ in range(sizes - 1) for each in ("residual", "residual", "conv")]]
    encoder += ["residual", "attention"] * 2 + ["residual", "attention", "residual", "norm", "out"]
    generator = ["in", "residual", "attention", "residual", *["residual", "attention"] * 2]
    generator += [each for _ in range(sizes - 1) for each in ("conv", "residual", "residual")] + ["norm", "out"]
    found: Shapes = {"position_emb": (256, TOLD), "quantize.embedding.weight": (WORDS, WIDTH)}
    for part, blocks, ends in (("encoder", encoder, (3, WIDTH)), ("generator", generator, (WIDTH, 3))):
        for number, kind in enumerate(blocks):
            name = f"{part}.blocks.{number}"
            found |= {
                "in": lambda name=name, ends=ends: _layer(name, WIDTH, ends[0]),
                "out": lambda name=name, ends=ends: _layer(name, ends[1], WIDTH),
                "norm": lambda name=name, _ends=ends: _norm(name, WIDTH),
                "conv": lambda name=name, _ends=ends: _layer(f"{name}.conv", WIDTH, WIDTH),
                "residual": lambda name=name, _ends=ends: _residual(name),
                "attention": lambda name=name, _ends=ends: _attention(name, "norm"),
            }[kind]()
    found |= _line("feat_emb", TOLD, WIDTH)
    for number in range(2):
        own = f"ft_layers.{number}"
        found |= {f"{own}.self_attn.in_proj_weight": (3 * TOLD, TOLD), f"{own}.self_attn.in_proj_bias": (3 * TOLD,)}
        found |= _line(f"{own}.self_attn.out_proj", TOLD, TOLD)
        found |= {**_line(f"{own}.linear1", 2 * TOLD, TOLD), **_line(f"{own}.linear2", TOLD, 2 * TOLD)}
        found |= {**_norm(f"{own}.norm1", TOLD), **_norm(f"{own}.norm2", TOLD)}
    found |= {**_norm("idx_pred_layer.0", TOLD), "idx_pred_layer.1.weight": (WORDS, TOLD)}
    for size in range(1, sizes - 1):
        own = f"fuse_convs_dict.{16 * 2**size}"
        both = _residual(f"{own}.encode_enc")
        both |= {**_norm(f"{own}.encode_enc.norm1", 2 * WIDTH), **_layer(f"{own}.encode_enc.conv1", WIDTH, 2 * WIDTH)}
        found |= {**both, **_layer(f"{own}.encode_enc.conv_out", WIDTH, 2 * WIDTH, 1)}
        for kind in ("scale", "shift"):
            found |= {**_layer(f"{own}.{kind}.0", WIDTH, WIDTH), **_layer(f"{own}.{kind}.2", WIDTH, WIDTH)}
    return found


def restoreformer() -> Shapes:
    """RestoreFormer.pth, for faces of 512 pixels."""
    found = {
        **_layer("quant_conv", WIDTH, WIDTH, 1),
        **_layer("post_quant_conv", WIDTH, WIDTH, 1),
        "quantize.embedding.weight": (WORDS, WIDTH),
    }
    for part, ends, levels, blocks, resized in (
        ("encoder", (3, WIDTH), "down", 2, "downsample"),
        ("decoder", (WIDTH, 3), "up", 3, "upsample"),
    ):
        found |= {**_layer(f"{part}.conv_in", WIDTH, ends[0]), **_layer(f"{part}.conv_out", ends[1], WIDTH)}
        found |= {**_norm(f"{part}.norm_out", WIDTH), **_attention(f"{part}.mid.attn_1", "norm1", "norm2")}
        found |= {**_residual(f"{part}.mid.block_1"), **_residual(f"{part}.mid.block_2")}
        for level in range(6):
            own = f"{part}.{levels}.{level}"
            for number in range(blocks):
                found |= _residual(f"{own}.block.{number}")
                if level == 5:
                    found |= _attention(f"{own}.attn.{number}", "norm1", "norm2")
            if (level < 5) if part == "encoder" else (level > 0):
                found |= _layer(f"{own}.{resized}.conv", WIDTH, WIDTH)
    return found
