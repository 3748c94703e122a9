"""For which model family a network file (LoRA and its kin) was made, by its shapes and by what its author wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTHS = {768: "SD1", 1024: "SD2", 2048: "SDXL"}
"""Width of the text that a family's UNet looks at."""
MARKS = (("double_blocks", "Flux"), ("single_transformer_blocks", "Flux"), ("joint_blocks", "SD3"))
"""Parts of layers' names that only one family has."""
T5 = ("encoder_block_", "encoder.block.")
"""In names of its layers, where CLIP has "encoder_layers_"; it is the second text encoder of Flux alone."""
SAID = (
    ("sdxl", "SDXL"),
    ("stable-diffusion-xl", "SDXL"),
    ("flux", "Flux"),
    ("sd3", "SD3"),
    ("stable-diffusion-3", "SD3"),
    ("sd_v2", "SD2"),
    ("stable-diffusion-v2", "SD2"),
    ("sd_v1", "SD1"),
    ("stable-diffusion-v1", "SD1"),
)
"""Text in what trainers write -> family."""


def family_of_network(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, object]) -> str:
    """ "SD1", "SD2", "SDXL", "SD3", "Flux", or "" where nothing tells. shapes: of the tensors by name."""
    return _by_shapes(shapes) or _by_metadata(metadata)


def is_for(network: str, model: str) -> bool:
    """Whether a network of this family may fit a model of that: one of unknown family may."""
    return not network or model.upper().startswith(network.upper())


def _by_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    for mark, family in MARKS:
        if any(mark in name for name in shapes):
            return family
    for name in shapes:
        if "attn2_to_k" in name.replace(".", "_") and (width := _inputs(name, shapes)) in WIDTHS:
            return WIDTHS[width]
    if any(name.startswith(("lora_te3_", "text_encoder_3.")) for name in shapes):
        return ""  # SD3's, or Flux's T5 by kohya's name
    second = [name for name in shapes if name.startswith(("lora_te2_", "text_encoder_2."))]
    if any(mark in name for name in second for mark in T5):
        return "Flux"
    has_transformer = any(name.startswith(("lora_transformer_", "transformer.")) for name in shapes)
    return "SDXL" if second and not has_transformer else ""


def _inputs(name: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many inputs the layer has, as far as this tensor tells; 0: it does not."""
    layer, lokr, _ = name.partition(".lokr_w")
    if not lokr:
        return shapes[name][1] if len(shapes[name]) > 1 else 0
    # A Kronecker product's inputs are the product of its factors' inputs; either may be a product itself.
    sides = ((f"{layer}.lokr_w{number}", f"{layer}.lokr_w{number}_b") for number in (1, 2))
    factors = [next((shapes[part] for part in side if part in shapes), ()) for side in sides]
    return math.prod(shape[1] for shape in factors) if all(len(shape) > 1 for shape in factors) else 0


def _by_metadata(metadata: Mapping[str, object]) -> str:
    said = f"{metadata.get('ss_base_model_version', '')} {metadata.get('modelspec.architecture', '')}".lower()
    for text, family in SAID:
        if text in said:
            return family
    return "SD2" if str(metadata.get("ss_v2", "")) == "True" else ""
