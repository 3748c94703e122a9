"""Small taggers in the layouts of the real ones: what they see is the mean of a picture's colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from webui.base.protobuf import number, part, text

TAGS: tuple[tuple[str, int, tuple[float, float, float], float], ...] = (
    ("general", 9, (0, 0, 0), 3.0),
    ("explicit", 9, (0, 0, 0), -3.0),
    ("red_theme", 0, (0, 0, 12), -8.0),
    ("blue_sky", 0, (12, 0, 0), -8.0),
    ("white_background", 0, (4, 4, 4), -10.0),
    ("^_^", 0, (0, 0, 0), 0.2),
    ("ruby_(gem)", 4, (0, 0, 12), -10.0),
)
"""Name, category, the weights of blue, green and red (each 0 to 1), bias."""
SIDE = 32


def tag_list(path: Path) -> None:
    lines = [f"{10 + rank},{name},{category},{100 - rank}" for rank, (name, category, *_) in enumerate(TAGS)]
    path.write_text("tag_id,name,category,count\n" + "\n".join(lines) + "\n", "utf-8")


def onnx_file(path: Path, *, is_last: bool = True, side: int = SIDE) -> None:
    """Transpose, GlobalAveragePool, Flatten, Gemm, Sigmoid; levels of 0 to 255, any number of pictures at a time."""
    weight = np.array([weights for _, _, weights, _ in TAGS], np.float32) / 255
    bias = np.array([bias for *_, bias in TAGS], np.float32)
    nodes = [_node("Transpose", ("input",), "planes", part(5, _perm((0, 3, 1, 2))))] if is_last else []
    nodes += [
        _node("GlobalAveragePool", ("planes" if is_last else "input",), "mean"),
        _node("Flatten", ("mean",), "flat"),
        _node("Gemm", ("flat", "weight", "bias"), "logits", part(5, text(1, "transB") + number(3, 1) + number(20, 2))),
        _node("Sigmoid", ("logits",), "output"),
    ]
    graph = b"".join(part(1, node) for node in nodes) + text(2, "tagger")
    graph += part(5, _constant("weight", weight)) + part(5, _constant("bias", bias))
    shape = (0, side, side, 3) if is_last else (0, 3, side, side)
    graph += part(11, _value("input", shape)) + part(12, _value("output", (0, len(TAGS))))
    path.write_bytes(number(1, 7) + part(8, text(1, "") + number(2, 13)) + part(7, graph))


def _node(kind: str, given: tuple[str, ...], out: str, attributes: bytes = b"") -> bytes:
    return b"".join(text(1, name) for name in given) + text(2, out) + text(4, kind) + attributes


def _perm(places: tuple[int, ...]) -> bytes:
    return text(1, "perm") + b"".join(number(8, place) for place in places) + number(20, 7)


def _constant(name: str, numbers: NDArray[np.float32]) -> bytes:
    sides = b"".join(number(1, side) for side in numbers.shape)
    return sides + number(2, 1) + text(8, name) + part(9, numbers.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    """A shape with 0 where any number may be."""
    sides = b"".join(part(1, number(1, side) if side else text(2, "N")) for side in shape)
    return text(1, name) + part(2, part(1, number(1, 1) + part(2, sides)))


def put_onnx(models: Path, name: str = "wd-v1-4-vit-tagger-v2", *, is_last: bool = True) -> Path:
    """A tagger in a folder of its own -> the network's file."""
    folder = models / "wd14" / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx_file(folder / "model.onnx", is_last=is_last)
    tag_list(folder / "selected_tags.csv")
    return folder / "model.onnx"


# ---------------------------------------------------------------- timm's


def vit(
    *, width: int = 128, depth: int = 2, patch: int = 8, token: bool = False, fc_norm: bool = False
) -> dict[str, Tensor]:
    """The tensors of a vision transformer under timm's names, random."""
    width, depth, patch = 128, 2, 8
    draw = torch.Generator().manual_seed(4)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw) / max(shape[-1], 1) ** 0.5

    places = (SIDE // patch) ** 2 + token
    found = {"patch_embed.proj.weight": drawn(width, 3, patch, patch), "patch_embed.proj.bias": drawn(width)}
    found |= {"pos_embed": drawn(1, places, width)} | ({"cls_token": drawn(1, 1, width)} if token else {})
    for block in range(depth):
        at = f"blocks.{block}"
        for norm in ("norm1", "norm2"):
            found |= {f"{at}.{norm}.weight": 1 + drawn(width), f"{at}.{norm}.bias": drawn(width)}
        for name, taken, given in (("attn.qkv", width, 3 * width), ("attn.proj", width, width),
                                   ("mlp.fc1", width, 2 * width), ("mlp.fc2", 2 * width, width)):  # fmt: skip
            found |= {f"{at}.{name}.weight": drawn(given, taken), f"{at}.{name}.bias": drawn(given)}
    last = "fc_norm" if fc_norm else "norm"
    found |= {f"{last}.weight": 1 + drawn(width), f"{last}.bias": drawn(width)}
    return found | {"head.weight": drawn(len(TAGS), width), "head.bias": drawn(len(TAGS))}


def put_vit(models: Path, name: str = "wd-vit-tagger-v3", act: str = "gelu_tanh", **options: bool) -> Path:
    folder = models / "wd14" / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(vit(**options), folder / "model.safetensors")  # type: ignore[arg-type]
    tag_list(folder / "selected_tags.csv")
    config = {
        "architecture": "vit_base_patch16_224",
        "model_args": {"act_layer": act, "img_size": SIDE, "class_token": False},
        "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, SIDE, SIDE]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "model.safetensors"


def torch_vit(tensors: dict[str, Tensor], act: str, *, token: bool = False) -> nn.TransformerEncoder:
    """The blocks of such a transformer in torch's own layers."""
    width, inner = tensors["blocks.0.norm1.weight"].shape[0], tensors["blocks.0.mlp.fc1.weight"].shape[0]

    def activation(x: Tensor) -> Tensor:
        return nn.functional.gelu(x, approximate="tanh" if act == "gelu_tanh" else "none")

    layer = nn.TransformerEncoderLayer(
        width, width // 64, inner, 0.0, activation, 1e-6, batch_first=True, norm_first=True
    )
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False).eval()
    own = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj.": "attn.proj.", "linear1.": "mlp.fc1.",
           "linear2.": "mlp.fc2.", "norm1.": "norm1.", "norm2.": "norm2."}  # fmt: skip
    state = {}
    for name in encoder.state_dict():
        _, block, rest = name.split(".", 2)
        theirs, ours = next(pair for pair in own.items() if rest.startswith(pair[0]))
        state[name] = tensors[f"blocks.{block}.{ours}{rest.removeprefix(theirs)}"]
    encoder.load_state_dict(state)
    return encoder
