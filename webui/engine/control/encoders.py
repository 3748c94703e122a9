"""ControlNets of UNets: a copy of the way down that sees a hint, and says what to add to the skips and to the middle.

Zhang et al. 2023, arXiv:2302.05543. The network itself is diffusers' `ControlNetModel`; here it is known by the names
and shapes of a file, in the original layout or in diffusers' own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

from webui.catalog.control_kinds import Shapes
from webui.engine.families.weights import WeightsFile

PREFIX = "control_model."
HINT_ENDS = "controlnet_cond_embedding.conv_out.weight"
DIFFERENCE = "difference"
"""A tensor of this name marks files whose weights are to be added to those of the checkpoint's own UNet."""
NUMBER_WIDTH = 256
"""Of each number that SDXL is told beside the text."""


@dataclass(frozen=True)
class Renamed:
    """Parameter of the diffusers module -> tensor of the file, and the arguments of the module."""

    config: Mapping[str, Any]
    names: Mapping[str, str]


def controlnet_names(file: WeightsFile, names: Mapping[str, str]) -> Renamed:
    """names: of the tensors, without any prefix -> in the file.

    Raises:
        ModelError: they do not form a ControlNet.
    """
    config_for_names = {"layers_per_block": 2}
    moved: dict[str, str] = convert_controlnet_checkpoint(dict(names), config_for_names)
    for old, new in (("label_emb.0.0", "add_embedding.linear_1"), ("label_emb.0.2", "add_embedding.linear_2")):
        moved |= {f"{new}.{end}": names[f"{old}.{end}"] for end in ("weight", "bias") if f"{old}.{end}" in names}
    moved = {name: full for name, full in moved.items() if full is not None}
    shapes = {name: file.shapes[full] for name, full in moved.items()}
    try:
        return Renamed(_config(shapes), moved)
    except (KeyError, IndexError, StopIteration, ValueError) as error:
        raise file.error(
            f"its ControlNet is not complete ({error})", "It may be damaged, or of an unknown kind."
        ) from error


UNION_HEADS = 8
"""Of the attention between the map and the picture in a network of several kinds; in no shape."""


def union_names(file: WeightsFile) -> Renamed:
    """
    Raises:
        ModelError: they do not form a ControlNet for several kinds of maps.
    """
    known = controlnet_names(file, {name: name for name in file.shapes})
    try:
        kinds, width = file.shapes["task_embedding"]
        config = {name: value for name, value in known.config.items() if name != "mid_block_type"}
        config |= {
            "num_control_type": kinds,
            "num_trans_channel": width,
            "num_trans_head": UNION_HEADS,
            "num_trans_layer": _count(file.shapes, r"transformer_layes\.(\d+)\."),
            "num_proj_channel": file.shapes["spatial_ch_projs.weight"][0],
            "addition_time_embed_dim": file.shapes["control_add_embedding.linear_1.weight"][1] // kinds,
        }
    except (KeyError, ValueError) as error:
        raise file.error(
            f"its ControlNet Union is not complete ({error})", "It may be damaged, or of an unknown kind."
        ) from error
    return Renamed(config, known.names)


def _config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `ControlNetModel`; the number of attention heads is in no shape, see `heads_of`."""
    levels = _count(shapes, r"down_blocks\.(\d+)\.")
    layers = _count(shapes, r"down_blocks\.0\.resnets\.(\d+)\.")
    widths = tuple(shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels))
    depths = tuple(
        _count(shapes, rf"down_blocks\.{level}\.attentions\.0\.transformer_blocks\.(\d+)\.") for level in range(levels)
    )
    # The smallest networks for SDXL have an attention there without a single block in it.
    middle = _count(shapes, r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")
    attends = "mid_block.attentions.0.proj_in.weight" in shapes
    hint = []
    for number in range(_count(shapes, r"controlnet_cond_embedding\.blocks\.(\d+)\.")):
        if number % 2 == 0:
            hint.append(shapes[f"controlnet_cond_embedding.blocks.{number}.weight"][0])
    hint.append(shapes[HINT_ENDS][1])
    projections = [shape for name, shape in shapes.items() if name.endswith("proj_in.weight")]
    contexts = [shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")]
    config: dict[str, Any] = {
        "in_channels": shapes["conv_in.weight"][1],
        "conditioning_channels": shapes["controlnet_cond_embedding.conv_in.weight"][1],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "mid_block_type": "UNetMidBlock2DCrossAttn" if attends else "UNetMidBlock2D",
        "transformer_layers_per_block": (*(depth or 1 for depth in depths[:-1]), middle),
        "cross_attention_dim": contexts[0] if contexts else 1,
        "attention_head_dim": 1,
        "use_linear_projection": bool(projections) and len(projections[0]) == 2,
        "conditioning_embedding_out_channels": tuple(hint),
    }
    if told := shapes.get("add_embedding.linear_1.weight"):
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": NUMBER_WIDTH,
            "projection_class_embeddings_input_dim": told[1],
        }
    return config


def _count(shapes: Shapes, pattern: str) -> int:
    found = (re.match(pattern, name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)
