"""What a file of a control network is, and for which family, told by the names and shapes of its tensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

Shapes = Mapping[str, tuple[int, ...]]

WIDTHS: Mapping[int, str] = {768: "SD1", 1024: "SD2", 2048: "SDXL"}
"""Width of the text that a family's UNet looks at."""


class ControlKind(Enum):
    """A way to control a picture; the value is its name for people."""

    CONTROLNET = "ControlNet"
    UNION = "ControlNet Union"
    CONTROL_LORA = "Control-LoRA"
    ADAPTER = "T2I-Adapter"
    LIGHT_ADAPTER = "T2I-Adapter light"
    STYLE_ADAPTER = "T2I-Adapter style"
    LLLITE = "ControlNet-LLLite"
    IP_ADAPTER = "IP-Adapter"
    FACE_ID = "IP-Adapter FaceID"
    INSTANT_ID = "InstantID"
    PULID = "PuLID"
    PHOTO_MAKER = "PhotoMaker"
    FLOW = "ControlNet for SD3 or Flux"
    FLOW_LORA = "Control LoRA for Flux"


FACE_WIDTH = 512
"""Of what such a network says."""


class NetworkFacts(NamedTuple):
    """What names and shapes tell of a file."""

    kind: ControlKind
    family: str
    """ "SD1", "SD2", "SDXL", "SD3", "Flux"; "" where nothing tells."""


def told(shapes: Shapes) -> NetworkFacts | None:
    """None: it is no control network that anybody has published."""
    kind = _kind(shapes)
    return None if kind is None else NetworkFacts(kind, _family(kind, shapes))


PROMPTS = ("ip_adapter.", "image_proj.", "id_adapter", "pulid_", "id_encoder.")
"""What the names in files of image prompts begin with."""


def _image_prompt(shapes: Shapes) -> ControlKind:
    """Which kind of image prompt: an image encoder's, or a face's."""
    if any(name.startswith("id_encoder.") for name in shapes):
        return ControlKind.PHOTO_MAKER
    if any(name.startswith(("id_adapter", "pulid_")) for name in shapes):
        return ControlKind.PULID
    patches = next((shape for name, shape in shapes.items() if name.endswith(_PATCHES)), ())
    if patches[1:] == (FACE_WIDTH,):
        return ControlKind.INSTANT_ID
    faces = next((shape for name, shape in shapes.items() if name.endswith(_FACES)), ())
    if faces[1:] == (FACE_WIDTH,) or any("perceiver_resampler." in name or "_lora." in name for name in shapes):
        return ControlKind.FACE_ID
    return ControlKind.IP_ADAPTER


_FACES = (
    "image_proj.proj.0.weight",
    "image_projection_layers.0.ff.net.0.proj.weight",
    "image_projection_layers.0.proj.net.0.proj.weight",
)
"""The first layer of what makes tokens of a face, as published, and in diffusers' modules."""
_PATCHES = ("image_proj.proj_in.weight", "image_projection_layers.0.proj_in.weight")


WIDENED = 128
"""Inputs of Flux's first layer where it sees a second picture: twice as many."""


def _is_flow_lora(shapes: Shapes) -> bool:
    firsts = (shape for name, shape in shapes.items() if name.endswith(_FIRST))
    return any(len(shape) == 2 and shape[1] == WIDENED for shape in firsts)


_FIRST = ("img_in.lora_A.weight", "x_embedder.lora_A.weight")


def _kind(names: Shapes) -> ControlKind | None:
    if any(name.startswith("lllite") for name in names):
        return ControlKind.LLLITE
    if _is_flow_lora(names):
        return ControlKind.FLOW_LORA
    if "lora_controlnet" in names:
        return ControlKind.CONTROL_LORA
    if any(name.startswith(PROMPTS) or ".processor.to_k_ip." in name for name in names):
        return _image_prompt(names)
    if any(name.startswith(("controlnet_x_embedder.", "controlnet_blocks.")) for name in names):
        return ControlKind.FLOW
    if "controlnet_cond_embedding.conv_in.weight" in names:
        return ControlKind.UNION if "task_embedding" in names else ControlKind.CONTROLNET
    if any(name.endswith("input_hint_block.0.weight") for name in names):
        return ControlKind.CONTROLNET
    bare = {name.removeprefix("adapter.") for name in names}
    if "style_embedding" in bare:
        return ControlKind.STYLE_ADAPTER
    if {"conv_in.weight", "body.0.block1.weight"} <= bare or "body.0.resnets.0.block1.weight" in bare:
        return ControlKind.ADAPTER
    if {"body.0.in_conv.weight", "body.0.out_conv.weight"} <= bare:
        return ControlKind.LIGHT_ADAPTER
    return None


def _family(kind: ControlKind, shapes: Shapes) -> str:
    if kind is ControlKind.FLOW_LORA:
        return "Flux"
    if kind is ControlKind.PHOTO_MAKER:
        return WIDTHS.get(next(iter(shapes.get("id_encoder.fuse_module.layer_norm.weight", ())), 0), "")
    if kind is ControlKind.FLOW:
        return "SD3" if "pos_embed_input.proj.weight" in shapes else "Flux"
    if kind in (ControlKind.ADAPTER, ControlKind.LIGHT_ADAPTER):
        first = next(
            (shapes[name] for name in shapes if name.endswith(("conv_in.weight", "body.0.in_conv.weight"))), ()
        )
        return {64: "SD1", 192: "SD1", 256: "SDXL", 768: "SDXL"}.get(first[1] if len(first) > 1 else 0, "")
    for name, shape in shapes.items():
        if (
            name.endswith(("attn2.to_k.weight", "attn2.to_k.down", "to_k_ip.weight", "to_k_ip.0.weight"))
            and len(shape) > 1
        ):
            return WIDTHS.get(shape[1], "")
    return ""
