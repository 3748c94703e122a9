"""Makes the small synthetic checkpoints of the reference cases again, bit for bit, from their seeds.

The tensors' names and shapes are those of `checkpoints/shapes.json`, every value is drawn from a generator seeded by
the tensor's name, and the three calibration factors of each model were found once by running it. The networks are
random but not degenerate: the UNet passes 0.92 of its input through and adds a part that depends on prompt and time,
so that sampling stays bounded.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

FOLDER = Path(__file__).resolve().parent / "checkpoints"
PASSED = 4  # latent channels handed through the UNet in +/- pairs

Shapes = dict[str, list[int]]
Weights = dict[str, Tensor]


class Draw:
    """Independent normal numbers for each tensor name."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) ^ (self.seed * 2654435761)) & 0x7FFFFFFF)
        return torch.randn(*shape, generator=generator)


def make(name: str, folder: Path) -> Path:
    """Writes NAME.safetensors (float16) into the folder; ValueError when its sha256 is not the recorded one."""
    recorded: dict[str, Any] = json.loads((FOLDER / "shapes.json").read_text())[name]
    shapes: Shapes = recorded["shapes"]

    def part(prefix: str, build: Callable[..., Weights], draw: Draw, *numbers: float) -> Weights:
        inside = {k[len(prefix) :]: v for k, v in shapes.items() if k.startswith(prefix)}
        return {prefix + k: v for k, v in build(inside, draw, *numbers).items()}

    seed, unet_spread, encoder, decoder = MODELS[name]
    weights = {
        **part("cond_stage_model.transformer.", clip_text, Draw(seed)),
        **part("cond_stage_model.model.", open_clip_text, Draw(seed)),
        **part("conditioner.embedders.0.transformer.", clip_text, Draw(seed)),
        **part("conditioner.embedders.1.model.", open_clip_text, Draw(seed + 1)),
        **part("model.diffusion_model.", unet, Draw(seed), unet_spread, *UNETS.get(name, ())),
        **part("first_stage_model.", vae, Draw(seed), encoder, decoder),
    }
    halved = {k: (weights[k].half() if weights[k].is_floating_point() else weights[k]).contiguous() for k in shapes}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(halved, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != recorded["sha256"]:
        raise ValueError(f"{path.name} came out with sha256 {digest}, recorded is {recorded['sha256']}")
    return path


MODELS = {  # seed, calibration of the UNet, of the encoder, of the decoder
    "tiny-sd1": (1001, 0.8801142672697703, 7.9393792152404785, 0.24252115190029144),
    "tiny-sd1-inpainting": (2002, 0.7791861395041147, 6.4513702392578125, 0.31712958216667175),
    "tiny-sd2v": (3003, 0.9848174750804901, 8.263509750366211, 0.2709583342075348),
    "tiny-sdxl": (4004, 1.0849720239639282, 12.000274658203125, 0.2875630259513855),
}
UNETS = {"tiny-sd2v": (64, 0.35, 0.10)}  # width, spread of its own part, and how much of its input it passes through


def filled(shapes: Shapes, draw: Draw, gain: Callable[[str], float], norm: str) -> Weights:
    """Norms near one, small biases, weights of variance gain^2 / fan-in."""
    out: Weights = {}
    for name, sizes in shapes.items():
        shape = tuple(sizes)
        if name.endswith("position_ids"):
            out[name] = torch.arange(shape[-1])[None]
        elif not shape:
            out[name] = torch.tensor(0.0)
        elif re.search(norm, name) and name.endswith(".weight"):
            out[name] = 1 + 0.15 * draw(name, shape)
        elif re.search(norm, name) and name.endswith(".bias"):
            out[name] = 0.15 * draw(name, shape)
        elif name.endswith("bias"):
            out[name] = 0.1 * draw(name, shape)
        else:
            fan = max(1, math.prod(shape[1:])) if len(shape) > 1 else 1
            out[name] = gain(name) / math.sqrt(fan) * draw(name, shape)
    return out


def gains(table: list[tuple[tuple[str, ...], float]], otherwise: float) -> Callable[[str], float]:
    return lambda name: next((value for parts, value in table if any(p in name for p in parts)), otherwise)


CLIP_GAIN = gains(
    [
        (("token_embedding", "position_embedding"), 1.0),
        (("q_proj", "k_proj"), 1.6),
        (("v_proj",), 1.2),
        (("out_proj", "fc2", "c_proj"), 0.7),
    ],
    1.3,
)
UNET_GAIN = gains(
    [
        (("attn1.to_q", "attn1.to_k", "attn2.to_q", "attn2.to_k"), 1.5),
        (("attn2.to_v",), 1.5),
        (("attn2.to_out",), 1.5),
        (("proj_out",), 1.0),
        (("time_embed", "label_emb"), 1.4),
        (("emb_layers",), 3.0),
        (("out_layers.3",), 0.8),
    ],
    1.1,
)
VAE_GAIN = gains([(("conv2", "proj_out"), 0.8), (("attn",), 1.2), (("decoder.conv_in",), 0.35)], 1.2)


OPEN_CLIP_GAIN = gains([(("in_proj_weight",), 1.4), (("out_proj", "c_proj"), 0.7)], 1.3)


def open_clip_text(shapes: Shapes, draw: Draw) -> Weights:
    if not shapes:
        return {}
    sd = filled(shapes, draw, OPEN_CLIP_GAIN, r"ln_")
    for name, gain in (("token_embedding.weight", 0.6), ("positional_embedding", 0.2)):
        sd[name] = gain * draw(name, tuple(shapes[name]))
    shape = tuple(shapes["text_projection"])
    sd["text_projection"] = draw("text_projection", shape) / math.sqrt(shape[0])
    sd["ln_final.bias"] = -0.15 + 0.15 * draw("ln_final.bias", tuple(shapes["ln_final.bias"]))
    sd["logit_scale"] = torch.tensor(4.6052)
    return sd


def clip_text(shapes: Shapes, draw: Draw) -> Weights:
    if not shapes:
        return {}
    sd = filled(shapes, draw, CLIP_GAIN, r"layer_norm")
    embeddings = "text_model.embeddings"
    for kind, gain in (("token", 0.6), ("position", 0.2)):
        name = f"{embeddings}.{kind}_embedding.weight"
        sd[name] = gain * draw(name, tuple(shapes[name]))
    name = "text_model.final_layer_norm.bias"
    sd[name] = -0.15 + 0.15 * draw(name, tuple(shapes[name]))
    return sd


def unet(
    shapes: Shapes, draw: Draw, calibration: float, width: int = 32, spread: float = 0.15, through: float = 0.92
) -> Weights:
    sd = filled(shapes, draw, UNET_GAIN, r"(in_layers\.0|out_layers\.0|norm\d?|^out\.0)")
    pair = width // 32
    plus = [slice(i * pair, (i + 1) * pair) for i in range(PASSED)]
    minus = [slice((PASSED + i) * pair, (PASSED + i + 1) * pair) for i in range(PASSED)]
    handed = 2 * PASSED * pair
    weight, bias = sd["input_blocks.0.0.weight"], sd["input_blocks.0.0.bias"]
    for i in range(PASSED):
        for rows, sign in ((plus[i], 1.0), (minus[i], -1.0)):
            weight[rows] = 0.01 * weight[rows]
            weight[rows, i, 1, 1] += sign
            bias[rows] = 0
    last = max(int(m.group(1)) for m in (re.match(r"output_blocks\.(\d+)\.", k) for k in sd) if m)
    block = f"output_blocks.{last}"
    skip = sd[f"{block}.0.skip_connection.weight"]
    skip[:handed] *= 0.01
    for row in range(handed):
        skip[row, skip.shape[1] - width + row] += 1.0
    sd[f"{block}.0.skip_connection.bias"][:handed] = 0
    sd[f"{block}.0.out_layers.3.weight"][:handed] *= 0.05
    sd[f"{block}.0.out_layers.3.bias"][:handed] = 0
    projection = f"{block}.1.proj_out.weight"
    if projection in sd and sd[projection].shape[0] == width:
        sd[projection][:handed] *= 0.05
        sd[projection.replace("weight", "bias")][:handed] = 0
    sd["out.0.weight"][:handed] = 1  # silu(u) - silu(-u) = u
    sd["out.0.bias"][:handed] = 0
    shape = tuple(shapes["out.2.weight"])
    own = draw("out.2.weight", shape) / math.sqrt((width - handed) * 9)
    own[:, :handed] = 0
    own = 0.3 * own + 0.7 * own.mean(dim=(2, 3), keepdim=True) * 3
    straight = torch.zeros(shape)
    for i in range(PASSED):
        straight[i, plus[i], 1, 1] = 1 / pair
        straight[i, minus[i], 1, 1] = -1 / pair
    sd["out.2.bias"] = 0.02 * draw("out.2.bias", tuple(shapes["out.2.bias"]))
    sd["out.2.weight"] = straight * through + own * (spread / calibration)
    return sd


def vae(shapes: Shapes, draw: Draw, encoder: float, decoder: float) -> Weights:
    sd = filled(shapes, draw, VAE_GAIN, r"norm")
    z = shapes["post_quant_conv.weight"][0]
    sd["quant_conv.weight"] = torch.eye(2 * z).reshape(2 * z, 2 * z, 1, 1) + 0.05 * sd["quant_conv.weight"]
    sd["post_quant_conv.weight"] = torch.eye(z).reshape(z, z, 1, 1) + 0.15 * sd["post_quant_conv.weight"]
    weight = sd["decoder.conv_out.weight"]
    sd["decoder.conv_out.weight"] = 0.5 * weight + 0.5 * weight.mean(dim=(2, 3), keepdim=True) * 3
    sd["encoder.conv_out.weight"][:z] *= encoder
    sd["encoder.conv_out.bias"][:z] *= encoder
    sd["encoder.conv_out.weight"][z:] *= 0.2
    sd["encoder.conv_out.bias"][z:] = -11.0  # log variance
    sd["decoder.conv_out.weight"] *= decoder
    sd["decoder.conv_out.bias"] = sd["decoder.conv_out.bias"] * decoder
    return sd
