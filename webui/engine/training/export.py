"""The trained networks as one file in the key layout of SD1 (CompVis latent diffusion), float16."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import CLIPTextModel

from webui.base.files import write_atomically
from webui.engine.families.weights import open_weights
from webui.engine.training.config import LATENT_SCALE, groups

_UNET_EDGES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_RULES = (
    (r"^(encoder|decoder)\.mid_block\.resnets\.0\.", r"\1.mid.block_1."),
    (r"^(encoder|decoder)\.mid_block\.resnets\.1\.", r"\1.mid.block_2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.group_norm\.", r"\1.mid.attn_1.norm."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_([qkv])\.", r"\1.mid.attn_1.\2."),
    (r"^(encoder|decoder)\.mid_block\.attentions\.0\.to_out\.0\.", r"\1.mid.attn_1.proj_out."),
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block."),
    (r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    (r"\.conv_shortcut\.", r".nin_shortcut."),
    (r"\.conv_norm_out\.", r".norm_out."),
)


def ldm_unet(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The UNet's tensors under CompVis' names, without prefix. Blocks are numbered through, downsamplers included."""
    per_level, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    attention = ["CrossAttn" in kind for kind in unet.config.up_block_types]

    def place(name: str) -> str:
        if found := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.", name):
            level, kind, layer = int(found[1]), found[2], int(found[3])
            first = 1 + level * (per_level + 1)
            position = {
                "resnets": f"{first + layer}.0",
                "attentions": f"{first + layer}.1",
                "downsamplers": f"{first + per_level}.0",
            }[kind]
            return f"input_blocks.{position}." + name[found.end() :].replace("conv.", "op.", kind == "downsamplers")
        if found := re.match(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.", name):
            level, kind, layer = int(found[1]), found[2], int(found[3])
            first = level * (per_level + 1)
            position = {
                "resnets": f"{first + layer}.0",
                "attentions": f"{first + layer}.1",
                "upsamplers": f"{first + per_level}.{2 if attention[level] else 1}",
            }[kind]
            return f"output_blocks.{position}." + name[found.end() :]
        edge = next(edge for edge in _UNET_EDGES if name.startswith(f"{edge}."))
        return name.replace(edge, _UNET_EDGES[edge], 1)

    def renamed(name: str) -> str:
        placed = place(name)
        if ".resnets." not in name:
            return placed
        module, _, parameter = placed.rpartition(".")
        block, _, layer = module.rpartition(".")
        return f"{block}.{_RESIDUAL[layer]}.{parameter}"

    if levels != len(unet.config.down_block_types):
        raise ValueError("one width a level")
    return {renamed(name): tensor for name, tensor in unet.state_dict().items()}


def ldm_vae(vae: AutoencoderKL) -> dict[str, Tensor]:
    """The autoencoder's tensors under CompVis' names, without prefix."""
    levels = len(vae.config.block_out_channels)
    renamed = {}
    for name, tensor in vae.state_dict().items():
        new = re.sub(
            r"^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers\.0)\.",
            lambda found: (
                f"decoder.up.{levels - 1 - int(found[1])}." + ("block." if found[2] == "resnets" else "upsample.")
            ),
            name,
        )
        for pattern, replacement in _VAE_RULES:
            new = re.sub(pattern, replacement, new)
        if re.search(r"\.attn_1\.(q|k|v|proj_out)\.weight$", new):
            tensor = tensor[:, :, None, None]  # CompVis: attention's projections are 1x1 convolutions
        renamed[new] = tensor
    return renamed


def sd1_tensors(unet: UNet2DConditionModel, vae: AutoencoderKL, text: CLIPTextModel) -> dict[str, Tensor]:
    """All tensors of a checkpoint, float16, under the names of an SD1 file."""
    named = sd1_named(unet, vae, text).items()
    return {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in named}


def sd1_named(unet: UNet2DConditionModel, vae: AutoencoderKL, text: CLIPTextModel) -> dict[str, Tensor]:
    """All tensors of a checkpoint under the names of an SD1 file, as and where they are."""
    parts = {
        "model.diffusion_model.": ldm_unet(unet),
        "first_stage_model.": ldm_vae(vae),
        "cond_stage_model.transformer.": {
            name if name.startswith("text_model.") else f"text_model.{name}": tensor
            for name, tensor in text.state_dict().items()
            if not name.endswith("position_ids")
        },
    }
    return {prefix + name: tensor for prefix, tensors in parts.items() for name, tensor in tensors.items()}


@torch.no_grad()
def read_checkpoint(path: Path, unet: UNet2DConditionModel, vae: AutoencoderKL, text: CLIPTextModel) -> None:
    """Give the networks the weights of a file that `write_checkpoint` wrote.

    Raises:
        ModelError: it has other tensors.
    """
    file = open_weights(path)
    for name, tensor in sd1_named(unet, vae, text).items():
        shape = file.shapes.get(name)
        if shape != tuple(tensor.shape):
            wanted = tuple(tensor.shape)
            raise file.error(f"{name} has the shape {shape}, where {wanted} is trained", "Begin without it.")
        tensor.copy_(file.tensor(name))


@torch.no_grad()
def preview_factors(vae: AutoencoderKL, latents: Tensor) -> list[list[float]]:
    """How latents look without the VAE, by least squares: a row of red, green, blue per channel, and what is added.

    latents: (n, c, h, w), scaled as the UNet sees them. Colours are -1..1. See `families.ldm.preview_of`.
    """
    decoded = torch.cat([vae.decode(latent[None].float() / LATENT_SCALE).sample for latent in latents])
    colours = (
        adaptive_avg_pool2d(decoded.clamp(-1, 1), (latents.shape[2], latents.shape[3]))
        .permute(0, 2, 3, 1)
        .flatten(0, 2)
    )
    known = latents.float().permute(0, 2, 3, 1).flatten(0, 2)
    factors: list[list[float]] = torch.linalg.lstsq(
        torch.cat([known, torch.ones_like(known[:, :1])], dim=1).double(), colours.double()
    ).solution.tolist()
    return [[round(number, 4) for number in row] for row in factors]


def write_checkpoint(
    path: Path, tensors: dict[str, Tensor], size: int, preview: Sequence[Sequence[float]] = ()
) -> None:
    """Write a safetensors file whose metadata says what it is (the keys are those of the ModelSpec convention)."""
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.title": "Emoji 3D",
        "modelspec.description": "A small latent diffusion model of 3D emoji, trained from scratch for Gesso.",
        "modelspec.license": "MIT",
        "modelspec.resolution": f"{size}x{size}",
        "modelspec.prediction_type": "v",
        "format": "pt",
        **_norm_groups(tensors),
        **({"gesso.preview_rgb": json.dumps(preview)} if preview else {}),
    }
    write_atomically(path, save(tensors, metadata))


def _norm_groups(tensors: dict[str, Tensor]) -> dict[str, str]:
    """The number of groups of each network's norms, which its shapes do not tell; see `families.ldm.norm_groups`."""
    first = {"vae": "first_stage_model.encoder.conv_in.weight", "unet": "model.diffusion_model.input_blocks.0.0.weight"}
    return {
        f"gesso.{part}_norm_groups": str(groups((len(tensors[name]),)))
        for part, name in first.items()
        if name in tensors
    }
