"""Files that are known and cannot be opened, in words: what each is, and what to do with it.

The marks are names of tensors as the models' authors publish them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webui.engine.families.weights import WeightsFile

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "net.", "module.")
"""What programs put before the names of a network."""
FOLDER = "Put the whole folder of diffusers that this kind of model is also published as into models/diffusers."
UNPACKED = "Take its fp8 or its GGUF form."
CHANNELS = (0, 1, 4, 5)
"""Inputs of Stable Diffusion's UNets beyond the latents: none, depth, editing, inpainting."""

Names = frozenset[str]
Mark = Callable[[Names], bool]


@dataclass(frozen=True)
class Known:
    """A kind of file."""

    what: str
    marks: tuple[Mark, ...]
    """All of them hold."""
    hint: str = ""


def has(*names: str) -> Mark:
    """One of these is there, whatever the prefix."""
    wanted = frozenset(names)
    return lambda found: not wanted.isdisjoint(found)


def part(*texts: str) -> Mark:
    """Some name has one of these in it."""
    return lambda found: any(text in name for name in found for text in texts)


PACKED = (
    Known(
        "bitsandbytes has packed its weights into 4 bits (NF4 or FP4)", (part(".quant_state.bitsandbytes__"),), UNPACKED
    ),
    Known(
        "Nunchaku has packed its weights into 4 bits (SVDQuant)",
        (part(".qweight"), part(".smooth_factor", ".proj_down", ".wscales")),
        UNPACKED,
    ),
    Known("GPTQ or AWQ has packed its weights", (part(".qweight"), part(".qzeros")), UNPACKED),
)
RELATIVES = (
    Known("Stable Video Diffusion, which makes videos", (part(".time_stack."),)),
    Known("a motion module of AnimateDiff, which makes videos", (part("motion_modules."),)),
    Known("Stable unCLIP, which varies pictures", (part("embedder.model.visual.", "noise_augmentor."),), FOLDER),
    Known(
        "the 4x upscaler of Stable Diffusion",
        (has("label_emb.weight", "low_scale_model.betas"),),
        "For Extras, use an upscaler such as ESRGAN, in models/ESRGAN.",
    ),
    Known("Zero123, which turns things round", (part("cc_projection."),)),
    Known("Kolors", (part("encoder_hid_proj."),), FOLDER),
    Known("HunyuanVideo, which makes videos", (part("txt_in.individual_token_refiner."),)),
    Known("HunyuanImage", (part("byt5_in."),), FOLDER),
    Known("PixArt", (has("t_block.1.weight"), has("blocks.0.mlp.fc1.weight"), part("cross_attn.kv_linear.")), FOLDER),
)
"""They look like families of ours, or of diffusers."""
OTHERS = (
    Known("Wan, which makes videos", (has("head.modulation"),)),
    Known("HunyuanDiT", (has("mlp_t5.0.weight"),), FOLDER),
    Known("LTX-Video, which makes videos", (part("patchify_proj."),)),
    Known("Mochi, which makes videos", (has("t5_yproj.weight", "blocks.0.attn.qkv_x.weight"),)),
    Known("CogVideoX, which makes videos", (part("mixins.patch_embed."),)),
    Known("Cosmos", (has("x_embedder.proj.1.weight"),), FOLDER),
    Known("PixArt", (part("adaln_single.emb.resolution_embedder."),), FOLDER),
    Known("Stable Cascade (stage C)", (has("clip_txt_mapper.weight"),), FOLDER),
    Known("Stable Cascade (stage B)", (has("down_blocks.1.0.channelwise.0.weight"),), FOLDER),
    Known("Kandinsky 5", (part("visual_transformer_blocks."),), FOLDER),
    Known("Kandinsky 2", (part("add_embedding.image_proj.", "encoder_hid_proj.image_embeds."),), FOLDER),
    Known("Qwen-Image", (has("txt_norm.weight"), part("attn.add_q_proj.")), FOLDER),
    Known("OmniGen2", (part("time_caption_embed."),), FOLDER),
    Known("Lumina", (part("cap_embedder."), part("attention_y_norm.", "wk_y.")), FOLDER),
    Known("DeepFloyd IF", (part("encoder_pooling."), part("encoder_proj.")), FOLDER),
    Known("ACE-Step, which makes music", (part("lyric_encoder."),)),
    Known("Stable Audio, which makes sounds", (part("transformer.rotary_pos_emb."),)),
)
"""They have networks of their own."""
PIECES = (
    Known("a ControlNet", (part("controlnet_cond_embedding.", "controlnet_blocks.", "lora_controlnet"),)),
    Known("an IP-Adapter", (part("ip_adapter.", "image_proj."),)),
    Known("a T2I-Adapter", (part("adapter.body.", "body.0.block1."),)),
    Known("a kin of LoRA", (part(".hada_w1_a", ".lokr_w1", ".oft_blocks", ".oft_diag"),), "Put it into models/Lora."),
    Known("a network that looks at pictures (CLIP vision)", (part("vision_model.", "visual.transformer."),)),
    Known(
        "the network out of a folder of diffusers",
        (part("down_blocks.0.resnets.", "single_transformer_blocks.", "transformer_blocks.0.attn.add_q_proj."),),
        "Copy the whole folder, with its model_index.json, into models/diffusers.",
    ),
    Known("a network for faces", (part("position_emb"), part("quantize.embedding."))),
    Known(
        "an upscaler",
        (part("model.1.sub.0.", "RRDB_trunk.", "body.0.rdb1.", "conv_first.", "layers.0.residual_group."),),
        "Put it into models/ESRGAN.",
    ),
)


def not_ours(file: WeightsFile) -> tuple[str, str] | None:
    """(cause, hint) of files that look like a family's, and are not; None: it is none of these."""
    names = _names(file)
    if packed := _first(names, PACKED):
        return f"{packed.what}, and only other ways of packing are known", packed.hint
    if relative := _first(names, RELATIVES):
        return f"it is {relative.what}; Gesso cannot run that from a file yet", relative.hint
    first, last = (
        file.shapes.get(f"model.diffusion_model.{name}", ()) for name in ("input_blocks.0.0.weight", "out.2.weight")
    )
    if len(first) == len(last) == 4 and first[1] - last[0] not in CHANNELS:
        return f"its UNet sees {first[1]} channels and makes {last[0]} of them, which no kind does that we know", ""
    return None


def described(file: WeightsFile) -> tuple[str, str] | None:
    """(cause, hint) of models that no family of ours is; None: it is none of these either."""
    found = _first(_names(file), OTHERS)
    return (f"it is {found.what}; Gesso cannot run that from a file yet", found.hint) if found else None


def piece(file: WeightsFile) -> tuple[str, str] | None:
    """(cause, hint) of files that are no model for themselves; None: it is none of these either."""
    found = _first(_names(file), PIECES)
    return (f"it is {found.what}, no checkpoint", found.hint) if found else None


def _first(names: Names, kinds: tuple[Known, ...]) -> Known | None:
    return next((kind for kind in kinds if all(mark(names) for mark in kind.marks)), None)


def _names(file: WeightsFile) -> Names:
    """With and without prefix."""
    found = set(file.shapes)
    for prefix in PREFIXES:
        found |= {name.removeprefix(prefix) for name in file.shapes if name.startswith(prefix)}
    return frozenset(found)
