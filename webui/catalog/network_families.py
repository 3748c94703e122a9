"""For which model family a network file (LoRA and its kin) was made, by its shapes and by what its author wrote."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

VERSION = 2
"""Of the answers: grows where a file may get another one, so that what is kept of all of them is read anew."""
WIDTHS = {768: "SD1", 1024: "SD2", 2048: "SDXL"}
"""Width of the text that a family's UNet looks at."""
MARKS = (("double_blocks", "Flux"), ("single_transformer_blocks", "Flux"), ("joint_blocks", "SD3"))
"""Parts of layers' names that only one family has, and those that took them over from Flux."""
KIN = (
    ("individual_token_refiner", "HunyuanVideo"),
    ("token_refiner.refiner_blocks", "HunyuanVideo"),
    (".img_attn_qkv.", "HunyuanVideo"),
    (".img_attn_proj.", "HunyuanVideo"),
    (".txt_attn_qkv.", "HunyuanVideo"),
    (".txt_attn_proj.", "HunyuanVideo"),
    ("distilled_guidance_layer", "Chroma"),
    ("stream_modulation", "FLUX.2"),
    ("to_qkv_mlp_proj", "FLUX.2"),
    (".ff.linear_", "FLUX.2"),
    (".ff_context.linear_", "FLUX.2"),
)
"""Parts of names that Flux has not, of models with its blocks. Source: diffusers' transformers, and its converters.
Beware: kohya writes Flux's "img_attn.qkv" as "img_attn_qkv" too, but puts no dot before."""
KIN_WIDTHS = {3584: "HunyuanImage", 4096: "FLUX.2", 6144: "FLUX.2"}
"""Inputs of the blocks' layers; Flux, Chroma, HunyuanVideo and the small FLUX.2 have 3072."""
KIN_BLOCKS = re.compile(r"(?:double_blocks[._]19|single(?:_transformer)?_blocks[._](?:38|39))[._]")
"""HunyuanVideo's last ones: it has 20 and 40, where Flux has 19 and 38."""
SWIGLU = 27648
"""Outputs of the first layer in a single block of the small FLUX.2, whose MLP is gated; Flux has 21504."""
T5 = ("encoder_block_", "encoder.block.")
"""In names of its layers, where CLIP has "encoder_layers_"; it is the second text encoder of Flux alone."""
SAID = (
    ("chroma", "Chroma"),
    ("hunyuan", "HunyuanVideo"),
    ("flux.2", "FLUX.2"),
    ("flux-2", "FLUX.2"),
    ("flux2", "FLUX.2"),
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
ALSO = {"SDXL": ("SDXL refiner",)}
"""Families of models that may take a network of another's."""


def family_of_network(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, object]) -> str:
    """ "SD1", "SD2", "SDXL", "SD3", "Flux", one of those that have Flux's blocks ("Chroma", "FLUX.2", "HunyuanVideo",
    "HunyuanImage"), or "" where nothing tells. shapes: of the tensors by name.
    """
    family = _by_shapes(shapes)
    if family == "Flux":  # Chroma's blocks have Flux's very names and shapes; only its trainer can say it.
        said = _by_metadata(metadata)
        return said if said in {kin for _, kin in KIN} else family
    return family or _by_metadata(metadata)


def is_for(network: str, model: str) -> bool:
    """Whether a network of this family may fit a model of that: one of unknown family may."""
    return not network or model == network or model in ALSO.get(network, ())


def _by_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    for mark, family in MARKS:
        if any(mark in name for name in shapes):
            return (_kin_of_flux(shapes) or family) if family == "Flux" else family
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


def _kin_of_flux(shapes: Mapping[str, tuple[int, ...]]) -> str:
    for name, shape in shapes.items():
        if family := next((family for part, family in KIN if part in name), ""):
            return family
        if not any(mark in name for mark, family in MARKS if family == "Flux") and "single_blocks" not in name:
            continue
        down = name.endswith(("lora_down.weight", "lora_A.weight"))
        if down and "mlp_2" not in name and "linear2" not in name and len(shape) > 1 and shape[1] in KIN_WIDTHS:
            return KIN_WIDTHS[shape[1]]
        if "linear1" in name and name.endswith(("lora_up.weight", "lora_B.weight")) and shape[:1] == (SWIGLU,):
            return "FLUX.2"
    # After the widths: the large FLUX.2 has 48 single blocks.
    return "HunyuanVideo" if any(map(KIN_BLOCKS.search, shapes)) else ""


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
