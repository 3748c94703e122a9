"""Which weight of a model a network file means: the names that programs have for its layers.

Layers are looked up with underscores for dots, so that dotted and underscored spellings are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from webui.prompt.lora_blocks import BASE

PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("text", ("lora_te1_", "lora_te_", "text_encoder_", "text_encoders_clip_l_transformer_", "lycoris_te_")),
    ("text_2", ("lora_te2_", "text_encoder_2_", "text_encoders_clip_g_transformer_")),
    # Flux has one CLIP tower: its T5 is the second encoder to OneTrainer and diffusers
    (
        "text_3",
        ("lora_te3_", "text_encoder_3_", "text_encoders_t5xxl_transformer_", "lora_te2_", "text_encoder_2_"),
    ),
    (
        "network",
        (
            "lora_unet_",
            "oft_unet_",
            "lora_transformer_",
            "lycoris_",
            "unet_",
            "transformer_",
            "diffusion_model_",
            "model_diffusion_model_",
            "",
        ),
    ),
)
"""What a layer's name begins with, for each part of a model; the network is UNet or transformer."""


@dataclass(frozen=True)
class TargetPlace:
    """A layer of a model: a whole one, or one of several that a file treats as one."""

    part: str
    """Key in `Model.parts`."""
    module: str
    """Name in the part."""
    halves_swapped: bool = False
    """The file has the second half of the outputs first."""


Target = tuple[TargetPlace, ...]
"""The layers whose outputs, one behind the other, are those of the file's layer."""
Home = tuple[tuple[str, str], ...]
"""(part, module) of the layers that any file treats as one; of most layers, the layer alone."""
Table = Mapping[str, Target]


@dataclass(frozen=True)
class Targets:
    """Every layer of a model, by part and by name without prefix."""

    tables: Mapping[str, Table]
    homes: Mapping[tuple[str, str], Home]

    @classmethod
    def of(cls, parts: Mapping[str, nn.Module]) -> Targets:
        tables: dict[str, Table] = {}
        for part, module in parts.items():
            if part.startswith("text"):
                tables[part] = _text_table(part, module)
            elif part in ("unet", "transformer"):
                tables["network"] = _network_table(part, module)
        homes: dict[tuple[str, str], Home] = {}
        for target in (target for table in tables.values() for target in table.values()):
            home = tuple((place.part, place.module) for place in target)
            for key in home:
                homes[key] = max(homes.get(key, home), home, key=len)
        return cls(tables, homes)

    def find(self, layer: str) -> Target | None:
        """The target of a layer's name with its prefix."""
        for part, prefixes in PREFIXES:
            table = self.tables.get(part)
            for prefix in prefixes if table is not None else ():
                if layer.startswith(prefix) and table is not None and (target := table.get(layer[len(prefix) :])):
                    return target
        return None


def _layers(module: nn.Module) -> Iterator[str]:
    """Names of the layers that have a weight of their own."""
    for name, layer in module.named_modules():
        if isinstance(layer._parameters.get("weight"), nn.Parameter):
            yield name


def _text_table(part: str, module: nn.Module) -> dict[str, Target]:
    found: dict[str, Target] = {}
    for name in _layers(module):
        plain = name.replace(".", "_").removeprefix("text_model_")
        found[plain] = found[f"text_model_{plain}"] = (TargetPlace(part, name),)
    return found


def _network_table(part: str, module: nn.Module) -> dict[str, Target]:
    found: dict[str, Target] = {name.replace(".", "_"): (TargetPlace(part, name),) for name in _layers(module)}
    config: Mapping[str, Any] = getattr(module, "config", {})
    if "down_block_types" in config:
        for ours, theirs in _ldm_names(config, list(_layers(module))):
            found[theirs.replace(".", "_")] = (TargetPlace(part, ours),)
    else:
        for theirs, places in _transformer_names(part, list(_layers(module)), config):
            found[theirs.replace(".", "_")] = places
    return found


def block_of(place: TargetPlace, part: nn.Module) -> str:
    """The block that a layer belongs to, as lists of weights call it: "IN04", "M00", "OUT11", "D03", "BASE" for a text
    encoder; "": none of them, as what the time comes in by.

    A UNet's blocks are counted as latent diffusion counts them.
    """
    if place.part.startswith("text"):
        return "T5" if place.part == "text_3" else BASE
    if match := re.match(r"(single_)?transformer_blocks\.(\d+)\.", place.module):
        return f"{'S' if match[1] else 'D'}{int(match[2]):02}"
    if place.module in ("x_embedder", "context_embedder"):
        return "IN"
    if place.module == "proj_out":
        return "OUT"
    config: Mapping[str, Any] = getattr(part, "config", {})
    if place.module.startswith("mid_block."):
        return "M00"
    if place.module == "conv_in":
        return "IN00"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.", place.module)
    if match is None:
        return ""
    way, block, kind, index = match[1], int(match[2]), match[3], int(match[4])
    size = int(config.get("layers_per_block", 2)) + 1
    if way == "down":
        return f"IN{(block + 1) * size if kind == 'downsamplers' else 1 + block * size + index:02}"
    return f"OUT{block * size + (size - 1 if kind == 'upsamplers' else index):02}"


# ---------------------------------------------------------------- UNet: names of latent diffusion

_LDM_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_LDM_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _ldm_names(config: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in LDM) of a UNet's layers."""
    down, up = int(config["layers_per_block"]) + 1, int(config["layers_per_block"]) + 1
    has_attention = {name.partition(".attentions.")[0] for name in names if ".attentions." in name}
    for name in names:
        if name in _LDM_OUTSIDE:
            yield name, _LDM_OUTSIDE[name]
        elif match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
            way, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
            number = 1 + block * down + index if way == "down" else block * up + index
            place = f"{'input' if way == 'down' else 'output'}_blocks.{number}"
            yield name, f"{place}.0.{_LDM_RESNET[rest]}" if kind == "resnets" else f"{place}.1.{rest}"
        elif match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", name):
            yield name, f"input_blocks.{(int(match[1]) + 1) * down}.0.op"
        elif match := re.match(r"(up_blocks\.(\d+))\.upsamplers\.0\.conv", name):
            number = int(match[2]) * up + up - 1
            yield name, f"output_blocks.{number}.{2 if match[1] in has_attention else 1}.conv"
        elif match := re.match(r"mid_block\.resnets\.(\d+)\.(.*)", name):
            last = 2 if "mid_block" in has_attention else 1
            yield name, f"middle_block.{last if match[1] == '1' else 0}.{_LDM_RESNET[match[2]]}"
        elif match := re.match(r"mid_block\.attentions\.0\.(.*)", name):
            yield name, f"middle_block.1.{match[1]}"


# ---------------------------------------------------------------- transformers: the original names of SD3 and Flux

_EMBEDDERS = (
    ("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
    ("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
    ("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
    ("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
    ("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
    ("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ("x_embedder.proj", "pos_embed.proj"),
    ("final_layer.linear", "proj_out"),
)
_QKV, _ADDED_QKV = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_FLUX_DOUBLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("img_mod.lin", ("norm1.linear",)),
    ("txt_mod.lin", ("norm1_context.linear",)),
    ("img_attn.qkv", _QKV),
    ("txt_attn.qkv", _ADDED_QKV),
    ("img_attn.proj", ("attn.to_out.0",)),
    ("txt_attn.proj", ("attn.to_add_out",)),
    ("img_mlp.0", ("ff.net.0.proj",)),
    ("img_mlp.2", ("ff.net.2",)),
    ("txt_mlp.0", ("ff_context.net.0.proj",)),
    ("txt_mlp.2", ("ff_context.net.2",)),
    ("qkv_lora1", _QKV),  # XLabs
    ("qkv_lora2", _ADDED_QKV),
    ("proj_lora1", ("attn.to_out.0",)),
    ("proj_lora2", ("attn.to_add_out",)),
)
_FLUX_SINGLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("modulation.lin", ("norm.linear",)),
    ("linear1", (*_QKV, "proj_mlp")),
    ("linear2", ("proj_out",)),
    ("qkv_lora", _QKV),  # XLabs
    ("proj_lora", ("proj_out",)),
)
_SD3_JOINT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("x_block.adaLN_modulation.1", ("norm1.linear",)),
    ("context_block.adaLN_modulation.1", ("norm1_context.linear",)),
    ("x_block.attn.qkv", _QKV),
    ("x_block.attn2.qkv", ("attn2.to_q", "attn2.to_k", "attn2.to_v")),
    ("context_block.attn.qkv", _ADDED_QKV),
    ("x_block.attn.proj", ("attn.to_out.0",)),
    ("x_block.attn2.proj", ("attn2.to_out.0",)),
    ("context_block.attn.proj", ("attn.to_add_out",)),
    ("x_block.mlp.fc1", ("ff.net.0.proj",)),
    ("x_block.mlp.fc2", ("ff.net.2",)),
    ("context_block.mlp.fc1", ("ff_context.net.0.proj",)),
    ("context_block.mlp.fc2", ("ff_context.net.2",)),
)


def _transformer_names(part: str, names: list[str], config: Mapping[str, Any]) -> Iterator[tuple[str, Target]]:
    """(original name, places) of the layers of diffusers' SD3 and Flux transformers."""
    known = set(names)
    last = f"transformer_blocks.{int(config.get('num_layers', 0)) - 1}"

    def places(block: str, own: tuple[str, ...]) -> Target:
        # diffusers' norms without a gate want scale and shift in the other order
        swapped = own == ("norm1_context.linear",) and block == last and f"{last}.attn.to_add_out" not in known
        return tuple(TargetPlace(part, f"{block}.{name}" if block else name, swapped) for name in own)

    for theirs, ours in _EMBEDDERS:
        if ours in known:
            yield theirs, places("", (ours,))
    if "norm_out.linear" in known:
        yield "final_layer.adaLN_modulation.1", (TargetPlace(part, "norm_out.linear", halves_swapped=True),)
    layers = (
        ("transformer_blocks", "double_blocks", _FLUX_DOUBLE),
        ("single_transformer_blocks", "single_blocks", _FLUX_SINGLE),
        ("transformer_blocks", "joint_blocks", _SD3_JOINT),
    )
    for ours_block, theirs_block, table in layers:
        numbers = {match[1] for name in names if (match := re.match(rf"{ours_block}\.(\d+)\.", name))}
        for number in numbers:
            for theirs, own in table:
                found = places(f"{ours_block}.{number}", own)
                if all(place.module in known for place in found):
                    yield f"{theirs_block}.{number}.{theirs}", found
