"""FLUX.1 dev and schnell: whole checkpoints, and transformers alone with their other parts beside them.

Black Forest Labs 2024. The transformer predicts the velocity of a rectified flow (arXiv:2403.03206).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
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

KEY = model_families.FLUX_KEY
SCALE, SHIFT = 0.3611, 0.1159
TEXT_LENGTH, FAST_TEXT_LENGTH = 512, 256
"""Tokens of T5; the second for schnell."""

LAST_NORM = "final_layer.adaLN_modulation.1"
"""In published files; it has scale and shift in the other order."""
_NAMES = (
    (r"^time_in\.", "time_text_embed.timestep_embedder."),
    (r"^vector_in\.", "time_text_embed.text_embedder."),
    (r"^guidance_in\.", "time_text_embed.guidance_embedder."),
    (r"\.in_layer\.", ".linear_1."),
    (r"\.out_layer\.", ".linear_2."),
    (r"^txt_in\.", "context_embedder."),
    (r"^img_in\.", "x_embedder."),
    (r"^double_blocks\.", "transformer_blocks."),
    (r"^single_blocks\.", "single_transformer_blocks."),
    (r"\.img_mod\.lin\.", ".norm1.linear."),
    (r"\.txt_mod\.lin\.", ".norm1_context.linear."),
    (r"\.modulation\.lin\.", ".norm.linear."),
    (r"\.img_attn\.norm\.(query|key)_norm\.scale$", lambda m: f".attn.norm_{m[1][0]}.weight"),
    (r"\.txt_attn\.norm\.(query|key)_norm\.scale$", lambda m: f".attn.norm_added_{m[1][0]}.weight"),
    (r"\.norm\.(query|key)_norm\.scale$", lambda m: f".attn.norm_{m[1][0]}.weight"),
    (r"\.img_attn\.proj\.", ".attn.to_out.0."),
    (r"\.txt_attn\.proj\.", ".attn.to_add_out."),
    (r"\.img_mlp\.0\.", ".ff.net.0.proj."),
    (r"\.img_mlp\.2\.", ".ff.net.2."),
    (r"\.txt_mlp\.0\.", ".ff_context.net.0.proj."),
    (r"\.txt_mlp\.2\.", ".ff_context.net.2."),
    (r"\.linear2\.", ".proj_out."),
    (r"^final_layer\.linear\.", "proj_out."),
)


class FluxModel(FlowModel):
    def predict(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        self.staging.use("unet")
        height, width = x.shape[-2:]
        x = self.even(x)
        output: Tensor = self.unet(
            **self.told(x, t, conditioning),
            controlnet_block_samples=self.added(conditioning.behind),
            controlnet_single_block_samples=self.added(conditioning.behind_single),
            return_dict=False,
        )[0]
        rows, columns = x.shape[-2] // 2, x.shape[-1] // 2
        patches = output.float().reshape(len(x), rows, columns, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return patches.reshape(x.shape)[..., :height, :width]

    def told(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> dict[str, Any]:
        dtype, rows, columns = self.placement.dtype, x.shape[-2] // 2, x.shape[-1] // 2
        places = torch.zeros(rows, columns, 3, device=x.device)
        places[..., 1] = torch.arange(rows, device=x.device)[:, None]
        places[..., 2] = torch.arange(columns, device=x.device)[None]
        vector = conditioning.vector if conditioning.vector is not None else x.new_zeros(len(x), self.numbers)
        pooled = vector[:, : vector.shape[1] - self.numbers]
        return {
            "hidden_states": self.patched(x).to(dtype),
            "encoder_hidden_states": conditioning.tokens.to(dtype),
            "pooled_projections": pooled.to(dtype),
            "timestep": (t / 1000).to(dtype),
            "img_ids": places.flatten(0, 1),
            "txt_ids": torch.zeros(conditioning.tokens.shape[1], 3, device=x.device),
            "guidance": vector[:, -1] if self.numbers else None,
        }

    def patched(self, latents: Tensor) -> Tensor:
        count, _, height, width = latents.shape
        squares = latents.reshape(count, -1, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
        return squares.reshape(count, height // 2 * (width // 2), -1)


def detect(file: WeightsFile) -> bool:
    """By its names."""
    return model_families.is_flux(file.shapes)


def transformer_view(file: WeightsFile) -> WeightsFile:
    """The transformer under the names of `FluxTransformer2DModel`."""
    view = View(file)
    for name, full in flow_model.under(file, KEY).items():
        layer, _, part = name.rpartition(".")
        own = layers_of(layer) if part in ("weight", "bias") else ()
        if len(own) > 1:
            single = full.replace("linear1", "linear2").replace("bias", "weight")
            inner = file.shapes[full][0] // 3 if len(own) == 3 else file.shapes[single][0]
            view.split([f"{each}.{part}" for each in own], full, inner)
        elif own and layer == LAST_NORM:
            view.add(f"{own[0]}.{part}", full, halves_changed=True)
        elif not name.startswith(("first_stage_model.", "text_encoders.", "vae.")) and "scale" not in name[-13:-5]:
            view.add(renamed(name), full)
    return view.result()


def layers_of(layer: str) -> tuple[str, ...]:
    """The layers of `FluxTransformer2DModel` that are one layer of published files; its rows are theirs, one behind the
    other. Of `LAST_NORM`, the halves change places."""
    if match := re.fullmatch(r"double_blocks\.(\d+)\.(img|txt)_attn\.qkv", layer):
        parts = [f"add_{part}_proj" if match[2] == "txt" else f"to_{part}" for part in "qkv"]
        return tuple(f"transformer_blocks.{match[1]}.attn.{part}" for part in parts)
    if match := re.fullmatch(r"single_blocks\.(\d+)\.linear1", layer):
        parts = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"]
        return tuple(f"single_transformer_blocks.{match[1]}.{part}" for part in parts)
    return ("norm_out.linear",) if layer == LAST_NORM else (renamed(f"{layer}.")[:-1],)


def renamed(name: str) -> str:
    """A published name of what is one tensor here as well."""
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return name


def config_of(view: WeightsFile) -> dict[str, Any]:
    """Arguments of `FluxTransformer2DModel` by the shapes of a view. Raises ModelError."""
    shapes = view.shapes
    try:
        config, outputs = sizes_in(shapes), shapes["proj_out.weight"][0]
    except KeyError as error:
        raise view.error(f"its Flux transformer is not complete (no {error})") from error
    if config["in_channels"] != outputs:
        raise view.error(
            f"its transformer takes {config['in_channels']} channels",
            "Flux Fill is not supported; for Depth and Canny, use their LoRAs or a ControlNet.",
        )
    return config


def sizes_in(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What Flux's transformer and its ControlNets are alike in, as arguments of diffusers. Raises KeyError."""
    inner, inputs = shapes["x_embedder.weight"]
    norms = [f"{kind}.0.attn.norm_q.weight" for kind in ("transformer_blocks", "single_transformer_blocks")]
    head = shapes[norms[0] if norms[0] in shapes else norms[1]][0]
    return {
        "in_channels": inputs,
        "num_layers": count_blocks(shapes, "transformer_blocks"),
        "num_single_layers": count_blocks(shapes, "single_transformer_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": inner // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def count_blocks(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    return len({full.split(".")[1] for full in shapes if full.startswith(f"{name}.")})


def prepare(file: WeightsFile, components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete, or nowhere."""
    view = transformer_view(file)
    config = config_of(view)
    with ldm.unfilled():
        transformer = FluxTransformer2DModel(**config)
    names = {name: name for name in transformer.state_dict()}
    ldm.check_complete(transformer, names, view, "Flux transformer")
    pooled = config["pooled_projection_dim"]
    towers = [
        (clip, prefix)
        for clip, prefix in flow_model.clip_files(file, components)
        if clip.shapes[prefix + flow_model.CLIP_KEY][1] == pooled
    ]
    if not towers:
        raise file.error("there is no CLIP text encoder in it", "Put clip_l.safetensors into models/text_encoder.")
    tower = PreparedClip.of(clip_view(towers[0][0], towers[0][1] + "text_model."))
    t5 = flow_model.t5_of(file, components, config["joint_attention_dim"])
    if t5 is None:
        raise file.error(
            "there is no T5 text encoder in it",
            "Put t5xxl_fp16.safetensors (or its fp8 form) into models/text_encoder.",
        )
    tokenizer = components.tokenizer()
    if tokenizer is None:
        raise file.error(
            "T5's vocabulary is missing", "Put the tokenizer.json of google/t5-v1_1-xxl into models/text_encoder."
        )
    distilled = bool(config["guidance_embeds"])

    def load(vae: WeightsFile, placement: Placement) -> FluxModel:
        decoder = load_vae(flow_model.vae_of(file, vae, components, ("ae", "flux")), placement)
        ldm.fill(transformer, names, view, placement.rest, placement.dtype)
        clip = ClipText(
            tower.load(placement), clip_tokenizer(), tower="clip_l", left_out=lambda _options: 0, pooled=True
        )
        length = TEXT_LENGTH if distilled else FAST_TEXT_LENGTH
        return FluxModel(
            unet=transformer,
            text=FlowText(
                (clip,),
                T5Text.of(t5.load(placement), tokenizer, length),
                width=t5.width,
                clip_tokens=False,
                guidance=distilled,
            ),
            vae=decoder,
            process=RectifiedFlow(by_size=distilled),
            scale=SCALE,
            preview=flow_model.PREVIEW,
            family=FLUX,
            placement=placement,
            numbers=int(distilled),
            shift=SHIFT,
        )

    return load


FLUX = Family(capabilities.FLUX, detect, prepare)
