"""Checkpoints of the published sizes with random weights, made on the spot for measures."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from webui.engine.families.ldm import unfilled
from webui.engine.training.export import sd1_named

SPREAD = 0.02
"""Of the weights: sampling stays finite."""


def sd15(path: Path) -> Path:
    """An SD 1.5 checkpoint, 2.1 GB in float16."""
    return _written(sd15_shapes(), path)


def sd15_shapes() -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape in an SD 1.5 checkpoint."""
    with unfilled():
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    return {name: tuple(tensor.shape) for name, tensor in sd1_named(unet, vae, text).items()}


def _written(shapes: dict[str, tuple[int, ...]], path: Path) -> Path:
    drawn = torch.randn(2**22, generator=torch.Generator().manual_seed(0)).half() * SPREAD

    def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
        count = math.prod(shape)
        if len(shape) == 1:
            return torch.ones(shape, dtype=torch.float16) if name.endswith("weight") else drawn[:count].clone()
        return drawn.repeat(-(-count // len(drawn)))[:count].reshape(shape)

    save_file({name: tensor(name, shape) for name, shape in shapes.items()}, path)
    return path
