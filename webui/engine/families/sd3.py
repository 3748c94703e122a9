"""Stable Diffusion 3 and 3.5: checkpoints with CLIP-L and CLIP-G inside or beside them; T5 only where it is found.

Esser et al. 2024, arXiv:2403.03206.
"""

from __future__ import annotations

import math
import re
from typing import Any

from diffusers import SD3Transformer2DModel
from torch import Tensor

from webui.catalog import model_families
from webui.engine.families import flow_model, ldm
from webui.engine.families.clip_text import ClipText, PreparedClip, clip_view
from webui.engine.families.components import Components
from webui.engine.families.family import Conditioning, Family, Placement, Prepared
from webui.engine.families.flow_model import FlowModel, FlowText
from webui.engine.families.ldm_model import load_vae
from webui.engine.families.t5_text import T5Text
from webui.engine.families.views import View
from webui.engine.families.weights import WeightsFile
from webui.engine.sampling.process import RectifiedFlow
from webui.prompt.tokens import clip_tokenizer
from webui.request import capabilities

KEY = model_families.SD3_KEY
SCALE, SHIFT = 1.5305, 0.0609
FLOW_SHIFT = 3.0
TEXT_LENGTH = 256
HEAD_WIDTH = 64

_NAMES = (
    (r"^pos_embed$", "pos_embed.pos_embed"),
    (r"^x_embedder\.proj\.", "pos_embed.proj."),
    (r"^t_embedder\.mlp\.0\.", "time_text_embed.timestep_embedder.linear_1."),
    (r"^t_embedder\.mlp\.2\.", "time_text_embed.timestep_embedder.linear_2."),
    (r"^y_embedder\.mlp\.0\.", "time_text_embed.text_embedder.linear_1."),
    (r"^y_embedder\.mlp\.2\.", "time_text_embed.text_embedder.linear_2."),
    (r"^joint_blocks\.", "transformer_blocks."),
    (r"\.x_block\.adaLN_modulation\.1\.", ".norm1.linear."),
    (r"\.context_block\.adaLN_modulation\.1\.", ".norm1_context.linear."),
    (r"\.x_block\.(attn2?)\.ln_([qk])\.", r".\1.norm_\2."),
    (r"\.context_block\.attn\.ln_([qk])\.", r".attn.norm_added_\1."),
    (r"\.x_block\.(attn2?)\.proj\.", r".\1.to_out.0."),
    (r"\.context_block\.attn\.proj\.", ".attn.to_add_out."),
    (r"\.x_block\.mlp\.fc1\.", ".ff.net.0.proj."),
    (r"\.x_block\.mlp\.fc2\.", ".ff.net.2."),
    (r"\.context_block\.mlp\.fc1\.", ".ff_context.net.0.proj."),
    (r"\.context_block\.mlp\.fc2\.", ".ff_context.net.2."),
    (r"^final_layer\.linear\.", "proj_out."),
)


class Sd3Model(FlowModel):
    def predict(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        self.staging.use("unet")
        height, width = x.shape[-2:]
        told = self.told(self.even(x), t, conditioning)
        behind = self.added(conditioning.behind)
        output: Tensor = self.unet(**told, block_controlnet_hidden_states=behind, return_dict=False)[0]
        return output.float()[..., :height, :width]

    def told(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> dict[str, Any]:
        dtype, pooled = self.placement.dtype, conditioning.vector
        return {
            "hidden_states": x.to(dtype),
            "encoder_hidden_states": conditioning.tokens.to(dtype),
            "pooled_projections": pooled.to(dtype) if pooled is not None else None,
            "timestep": t,
        }

    def patched(self, latents: Tensor) -> Tensor:
        return latents


def detect(file: WeightsFile) -> bool:
    """By its names."""
    return model_families.is_sd3(file.shapes)


def transformer_view(file: WeightsFile) -> WeightsFile:
    """The transformer under the names of `SD3Transformer2DModel`."""
    view = View(file)
    inside = flow_model.under(file, KEY)
    last = max(int(match[1]) for name in inside if (match := re.match(r"joint_blocks\.(\d+)\.", name)))
    for name, full in inside.items():
        if match := re.fullmatch(r"joint_blocks\.(\d+)\.(x|context)_block\.(attn2?)\.qkv\.(weight|bias)", name):
            parts = [f"add_{p}_proj" if match[2] == "context" else f"to_{p}" for p in "qkv"]
            names = [f"transformer_blocks.{match[1]}.{match[3]}.{part}.{match[4]}" for part in parts]
            view.split(names, full, file.shapes[full][0] // 3)
        elif re.match(rf"(final_layer|joint_blocks\.{last}\.context_block)\.adaLN_modulation\.1\.", name):
            own = _renamed(name.replace("final_layer.adaLN_modulation.1.", "norm_out.linear."))
            view.add(own, full, halves_changed=True)
        elif not name.startswith(("first_stage_model.", "text_encoders.", "vae.")):
            view.add(_renamed(name), full)
    return view.result()


def _renamed(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return name


def config_of(view: WeightsFile) -> dict[str, Any]:
    """Arguments of `SD3Transformer2DModel` by the shapes of a view. Raises ModelError."""
    shapes = view.shapes
    try:
        blocks = {int(name.split(".")[1]) for name in shapes if name.startswith("transformer_blocks.")}
        width, channels, patch, _ = shapes["pos_embed.proj.weight"]
        normed = shapes.get("transformer_blocks.0.attn.norm_q.weight")
        head = normed[0] if normed else HEAD_WIDTH
        return {
            "patch_size": patch,
            "in_channels": channels,
            "out_channels": shapes["proj_out.weight"][0] // patch**2,
            "num_layers": len(blocks),
            "attention_head_dim": head,
            "num_attention_heads": width // head,
            "joint_attention_dim": shapes["context_embedder.weight"][1],
            "caption_projection_dim": shapes["context_embedder.weight"][0],
            "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
            "pos_embed_max_size": math.isqrt(shapes["pos_embed.pos_embed"][1]),
            "qk_norm": "rms_norm" if normed else None,
            "dual_attention_layers": tuple(
                block for block in sorted(blocks) if f"transformer_blocks.{block}.attn2.to_q.weight" in shapes
            ),
        }
    except KeyError as error:
        raise view.error(f"its SD3 transformer is not complete (no {error})") from error


def prepare(file: WeightsFile, components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete, or nowhere."""
    view = transformer_view(file)
    config = config_of(view)
    with ldm.unfilled():
        transformer = SD3Transformer2DModel(**config)
    names = {name: name for name in transformer.state_dict()}
    ldm.check_complete(transformer, names, view, "SD3 transformer")
    towers = [
        PreparedClip.of(clip_view(clip, prefix), activation=activation, pooled=bool(rank))
        for rank, ((clip, prefix), activation) in enumerate(
            zip(flow_model.clip_files(file, components)[:2], ("quick_gelu", "gelu"), strict=False)
        )
    ]
    if (
        len(towers) < 2
        or towers[0].model.config.hidden_size + towers[1].pooled_width != config["pooled_projection_dim"]
    ):
        raise file.error(
            "its two CLIP text encoders are missing",
            "Put clip_l.safetensors and clip_g.safetensors into models/text_encoder.",
        )
    tokenizer = components.tokenizer()
    t5 = flow_model.t5_of(file, components, config["joint_attention_dim"]) if tokenizer else None

    def load(vae: WeightsFile, placement: Placement) -> Sd3Model:
        decoder = load_vae(flow_model.vae_of(file, vae, components, ("sd3_vae", "sd3")), placement)
        ldm.fill(transformer, names, view, placement.rest, placement.dtype)
        clips = tuple(
            ClipText(
                tower.load(placement),
                clip_tokenizer(),
                tower=name,
                left_out=lambda _options: 1,
                normed=False,
                pooled=True,
                zeros_behind_end=name == "clip_g",
            )
            for tower, name in zip(towers, ("clip_l", "clip_g"), strict=True)
        )
        return Sd3Model(
            unet=transformer,
            text=FlowText(
                clips,
                T5Text.of(t5.load(placement), tokenizer, TEXT_LENGTH) if t5 and tokenizer else None,
                width=config["joint_attention_dim"],
                clip_tokens=True,
            ),
            vae=decoder,
            process=RectifiedFlow(shift=FLOW_SHIFT),
            scale=SCALE,
            preview=flow_model.PREVIEW,
            family=SD3,
            placement=placement,
            shift=SHIFT,
        )

    return load


SD3 = Family(capabilities.SD3, detect, prepare)
