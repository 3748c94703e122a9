"""Makes the small control networks of the recorded cases again, bit for bit, from their seeds: float16, checked by sha256.

Weights are random, norms near one; the "zero" convolutions are not zero, so that a unit of weight 1 changes a picture.
"""

# ruff: noqa: E501

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import make_checkpoints as base
import torch
from safetensors.torch import save_file

Draw = base.Draw
SD1 = {"width": 32, "mult": (1, 2, 4, 4), "blocks": 2, "depth": (1, 1, 1, 0), "middle": 1, "context": 128, "linear": False, "adm": None}
XL = {"width": 32, "mult": (1, 2, 4), "blocks": 2, "depth": (0, 2, 10), "middle": 10, "context": 128, "linear": True, "adm": 1600}


# ---- shapes, in the names of the original latent diffusion code --------------------------------------------------------------------
def resnet(shapes: dict, at: str, old: int, new: int, emb: int) -> None:
    shapes.update({f"{at}.in_layers.0.weight": [old], f"{at}.in_layers.0.bias": [old], f"{at}.in_layers.2.weight": [new, old, 3, 3],
                   f"{at}.in_layers.2.bias": [new], f"{at}.emb_layers.1.weight": [new, emb], f"{at}.emb_layers.1.bias": [new],
                   f"{at}.out_layers.0.weight": [new], f"{at}.out_layers.0.bias": [new], f"{at}.out_layers.3.weight": [new, new, 3, 3],
                   f"{at}.out_layers.3.bias": [new]})
    if old != new:
        shapes.update({f"{at}.skip_connection.weight": [new, old, 1, 1], f"{at}.skip_connection.bias": [new]})


def transformer(shapes: dict, at: str, c: int, depth: int, context: int, linear: bool) -> None:
    tail = [] if linear else [1, 1]
    shapes.update({f"{at}.norm.weight": [c], f"{at}.norm.bias": [c]})
    for side in ("proj_in", "proj_out"):
        shapes.update({f"{at}.{side}.weight": [c, c, *tail], f"{at}.{side}.bias": [c]})
    for d in range(depth):
        block = f"{at}.transformer_blocks.{d}"
        for attn, keys in (("attn1", c), ("attn2", context)):
            shapes.update({f"{block}.{attn}.to_q.weight": [c, c], f"{block}.{attn}.to_k.weight": [c, keys], f"{block}.{attn}.to_v.weight": [c, keys],
                           f"{block}.{attn}.to_out.0.weight": [c, c], f"{block}.{attn}.to_out.0.bias": [c]})
        shapes.update({f"{block}.ff.net.0.proj.weight": [8 * c, c], f"{block}.ff.net.0.proj.bias": [8 * c],
                       f"{block}.ff.net.2.weight": [c, 4 * c], f"{block}.ff.net.2.bias": [c]})
        for n in ("norm1", "norm2", "norm3"):
            shapes.update({f"{block}.{n}.weight": [c], f"{block}.{n}.bias": [c]})


def encoder_shapes(k: dict, inputs: int = 4) -> tuple[dict, list[int]]:
    """The input blocks and the middle of a UNet, and the width of each input block's output."""
    w, emb, s = k["width"], 4 * k["width"], {}
    for at, n in (("time_embed.0", w), ("time_embed.2", emb)) + ((("label_emb.0.0", k["adm"]), ("label_emb.0.2", emb)) if k["adm"] else ()):
        s.update({f"{at}.weight": [emb, n], f"{at}.bias": [emb]})
    s.update({"input_blocks.0.0.weight": [w, inputs, 3, 3], "input_blocks.0.0.bias": [w]})
    c, widths, n = w, [w], 0
    for level, mult in enumerate(k["mult"]):
        for _ in range(k["blocks"]):
            n += 1
            resnet(s, f"input_blocks.{n}.0", c, mult * w, emb)
            c = mult * w
            if k["depth"][level]:
                transformer(s, f"input_blocks.{n}.1", c, k["depth"][level], k["context"], k["linear"])
            widths.append(c)
        if level != len(k["mult"]) - 1:
            n += 1
            s.update({f"input_blocks.{n}.0.op.weight": [c, c, 3, 3], f"input_blocks.{n}.0.op.bias": [c]})
            widths.append(c)
    resnet(s, "middle_block.0", c, c, emb)
    transformer(s, "middle_block.1", c, k["middle"], k["context"], k["linear"])
    resnet(s, "middle_block.2", c, c, emb)
    return s, widths


HINT = (16, 16, 32, 32, 96, 96, 256)


def control_shapes(k: dict) -> dict:
    s, widths = encoder_shapes(k)
    for i, c in enumerate(widths):
        s.update({f"zero_convs.{i}.0.weight": [c, c, 1, 1], f"zero_convs.{i}.0.bias": [c]})
    s.update({"middle_block_out.0.weight": [widths[-1], widths[-1], 1, 1], "middle_block_out.0.bias": [widths[-1]]})
    old = 3
    for i, new in enumerate((*HINT, k["width"])):
        s.update({f"input_hint_block.{2 * i}.weight": [new, old, 3, 3], f"input_hint_block.{2 * i}.bias": [new]})
        old = new
    return s


NORM = r"(in_layers\.0|out_layers\.0|norm\d?|^out\.0)"


def control(k: dict, seed: int, strength: float) -> dict:
    draw = Draw(seed)

    def gain(name: str) -> float:
        if name.startswith(("zero_convs", "middle_block_out")):
            return strength
        if name.startswith("input_hint_block"):
            return 3.0 if name.startswith("input_hint_block.14") else 1.9
        return base.UNET_GAIN(name)

    sd = base.filled(control_shapes(k), draw, gain, NORM)
    handed = 2 * base.PASSED * (k["width"] // 32)
    sd["zero_convs.0.0.weight"][:handed] *= 0.25                          # these channels carry the latent itself through the UNet
    for name in sd:
        if name.startswith(("zero_convs", "middle_block_out")) and name.endswith("bias"):
            sd[name] = 0.3 * sd[name]
    return sd


def diffusers_layout(sd: dict, levels: int) -> dict:
    """The same network in the names that diffusers gives a ControlNetModel."""
    def rename(key: str) -> str:
        for old, new in (("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"), ("label_emb.0.0", "add_embedding.linear_1"),
                         ("label_emb.0.2", "add_embedding.linear_2"), ("input_blocks.0.0", "conv_in"), ("middle_block_out.0", "controlnet_mid_block")):
            if key.startswith(old + "."):
                return new + key[len(old):]
        hint = re.match(r"input_hint_block\.(\d+)\.(.*)", key)
        if hint:
            i = int(hint[1]) // 2
            return "controlnet_cond_embedding." + ("conv_in" if i == 0 else "conv_out" if i == 7 else f"blocks.{i - 1}") + "." + hint[2]
        zero = re.match(r"zero_convs\.(\d+)\.0\.(.*)", key)
        if zero:
            return f"controlnet_down_blocks.{zero[1]}.{zero[2]}"
        inside = re.match(r"input_blocks\.(\d+)\.(\d)\.(.*)", key)
        if inside:
            level, j, part, rest = (int(inside[1]) - 1) // 3, (int(inside[1]) - 1) % 3, int(inside[2]), inside[3]
            if j == 2:
                return f"down_blocks.{level}.downsamplers.0.conv.{rest[3:]}"
            return f"down_blocks.{level}.attentions.{j}.{rest}" if part else f"down_blocks.{level}.resnets.{j}.{parts(rest)}"
        middle = re.match(r"middle_block\.(\d)\.(.*)", key)
        return f"mid_block.attentions.0.{middle[2]}" if middle[1] == "1" else f"mid_block.resnets.{int(middle[1]) // 2}.{parts(middle[2])}"

    def parts(rest: str) -> str:
        for old, new in (("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("out_layers.0", "norm2"), ("out_layers.3", "conv2"),
                         ("emb_layers.1", "time_emb_proj"), ("skip_connection", "conv_shortcut")):
            if rest.startswith(old):
                return new + rest[len(old):]
        raise ValueError(rest)

    return {rename(k): v for k, v in sd.items()}


def control_lora(k: dict, seed: int, strength: float, rank: int) -> dict:
    """Low-rank changes to the encoder's own weights; the parts that a UNet lacks, biases and norms are whole."""
    whole, draw, sd = control(k, seed, strength), Draw(seed + 500), {"lora_controlnet": torch.tensor([])}
    for name, value in whole.items():
        stem = name.removesuffix(".weight")
        if value.dim() < 2 or name.startswith(("zero_convs", "middle_block_out", "input_hint_block")):
            sd[name] = value
            continue
        out, inside = value.shape[0], value[0].numel()
        r = min(rank, out, inside)
        sd[f"{stem}.up"] = 0.5 / math.sqrt(r) * draw(stem + ".up", (out, r, *[1] * (value.dim() - 2)))
        sd[f"{stem}.down"] = 1 / math.sqrt(inside) * draw(stem + ".down", (r, *value.shape[1:]))
    return sd


def adapter(seed: int, channels: int, inputs: int, size: int, strength: float, pool: bool) -> dict:
    """A full T2I-Adapter: pixel unshuffle, a convolution, 4 levels of 2 residual blocks, skip connections only where widths change."""
    draw, sd, shapes, old = Draw(seed), {}, {"conv_in.weight": [channels, inputs, 3, 3], "conv_in.bias": [channels]}, channels
    for level, new in enumerate((channels, 2 * channels, 4 * channels, 4 * channels)):
        for r in range(2):
            at = f"body.{2 * level + r}"
            if not pool and r == 0 and level:
                shapes.update({f"{at}.down_opt.op.weight": [old, old, 3, 3], f"{at}.down_opt.op.bias": [old]})
            if old != new:
                shapes.update({f"{at}.in_conv.weight": [new, old, size, size], f"{at}.in_conv.bias": [new]})
            shapes.update({f"{at}.block1.weight": [new, new, 3, 3], f"{at}.block1.bias": [new], f"{at}.block2.weight": [new, new, size, size],
                           f"{at}.block2.bias": [new]})
            old = new
    for name, shape in shapes.items():
        if name.endswith("bias"):
            sd[name] = 0.05 * draw(name, tuple(shape))
        else:
            gain = strength * 2.0 if name.startswith("conv_in") else 0.8 if "block" in name else 1.0
            sd[name] = gain / math.sqrt(math.prod(shape[1:])) * draw(name, tuple(shape))
    return sd


def lllite(seed: int, modules: dict[str, tuple[int, int]], emb: int, mlp: int, strength: float) -> dict:
    """ControlNet-LLLite: {module: (width, depth)}; depth 1 for latent / 1, 2 for / 2, 3 for / 4."""
    draw, sd = Draw(seed), {}
    for module, (width, depth) in modules.items():
        shapes = {"conditioning1.0": [emb // 2, 3, 4, 4]}
        if depth == 1:
            shapes["conditioning1.2"] = [emb, emb // 2, 2, 2]
        elif depth == 2:
            shapes["conditioning1.2"] = [emb, emb // 2, 4, 4]
        else:
            shapes.update({"conditioning1.2": [emb // 2, emb // 2, 4, 4], "conditioning1.4": [emb, emb // 2, 2, 2]})
        shapes.update({"down.0": [mlp, width], "mid.0": [mlp, mlp + emb], "up.0": [width, mlp]})
        for name, shape in shapes.items():
            key = f"{module}.{name}"
            gain = strength if name == "up.0" else 1.6
            sd[key + ".weight"] = gain / math.sqrt(math.prod(shape[1:])) * draw(key + ".weight", tuple(shape))
            sd[key + ".bias"] = 0.1 * draw(key + ".bias", (shape[0],))
    return sd


def lllite_modules(inputs: dict[int, tuple[int, int, int]], middle: tuple[int, int, int]) -> dict[str, tuple[int, int]]:
    out = {}
    for where, (width, level, depth) in [*((f"input_blocks_{i}", v) for i, v in inputs.items()), ("middle_block", middle)]:
        for d in range(depth):
            for attn, which in (("attn1", "qkv"), ("attn2", "q")):
                for p in which:
                    out[f"lllite_unet_{where}_1_transformer_blocks_{d}_{attn}_to_{p}"] = (width, level)
    return out



MAKERS = {
    "control_v11p_sd15_canny_tiny": lambda: {"control_model." + name: value for name, value in control(SD1, 7001, 0.55).items()},
    "control_v11f1e_sd15_tile_tiny": lambda: control(SD1, 7002, 0.55),
    "control_v11p_sd15_inpaint_tiny": lambda: {"control_model." + name: value for name, value in control(SD1, 7003, 0.55).items()},
    "control_v11e_sd15_shuffle_tiny": lambda: {"control_model." + name: value for name, value in control(SD1, 7004, 0.55).items()},
    "control_lora_sd15_depth_tiny": lambda: control_lora(SD1, 7006, 0.55, 4),
    "t2iadapter_canny_sd15v2_tiny": lambda: adapter(7101, 32, 64, 1, 2.2, True),
    "controllllite_sd15_canny_tiny": lambda: lllite(7201, lllite_modules({4: (64, 2, 1), 5: (64, 2, 1), 7: (128, 3, 1), 8: (128, 3, 1)}, (128, 3, 1)), 16, 16, 0.8),
    "diffusers_xl_canny_full_tiny": lambda: diffusers_layout(control(XL, 7301, 0.55), 3),
}
SUMS = {
    "control_v11p_sd15_canny_tiny": "ffdd8e64833203822d55b1023ea27a325e34813b3fb08f04f49a2cdfcbc4944f",
    "control_v11f1e_sd15_tile_tiny": "f403f406b5cfd5f82a2499b155752ab304ce1da3f7881d6ea08f7a2d7724e471",
    "control_v11p_sd15_inpaint_tiny": "2bd6b73ecfe151e52da47f3ec787ddf204a1bcf33eec73d5a26e840d49245764",
    "control_v11e_sd15_shuffle_tiny": "1279ab8a0a3e32752e4cd9123c033aa0a08fdd1b44315fb30bfb0fa02380d1b2",
    "control_lora_sd15_depth_tiny": "d63171f2c8378e547e49a40798ee584cb62c0abea09618d216e89e0c76952b22",
    "t2iadapter_canny_sd15v2_tiny": "8c75c8b9e4897d0649723031efbedcc87c3631435487557340b3b5c439672132",
    "controllllite_sd15_canny_tiny": "3592b2201865e0d8d67db5c0604c971fe7bbba039e518d7b1fff4ea3f064943e",
    "diffusers_xl_canny_full_tiny": "08207f30652359e6cb3be015a1f96c18bfda38af61f484532e56cdded66b6bcb",
}


def make(folder: Path) -> None:
    """All of them, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, maker in MAKERS.items():
        tensors = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in sorted(maker().items())}
        path = folder / f"{name}.safetensors"
        save_file(tensors, path)
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != SUMS[name]:
            raise ValueError(f"{path.name} came out with sha256 {found}, recorded is {SUMS[name]}")
