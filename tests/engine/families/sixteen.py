"""A small checkpoint in SD1's layout whose latents have 16 channels and stand for 16x16 pixels each."""

from __future__ import annotations

from pathlib import Path

import torch

from webui.engine.training.config import Networks
from webui.engine.training.export import preview_factors, sd1_tensors, write_checkpoint
from webui.engine.training.networks import build_text_tower, build_unet, build_vae

TINY = Networks((16, 16, 16, 16, 32), 1, 16, (32, 32, 64), (False, True, True), 1, 64, 1)


def sixteen(path: Path, *, previewed: bool = True) -> Path:
    """Written to `path`, with random weights. previewed: its metadata says how its latents look."""
    torch.manual_seed(0)
    unet, vae, text = build_unet(TINY), build_vae(TINY).requires_grad_(False), build_text_tower(TINY)
    preview = preview_factors(vae, torch.randn(20, TINY.latent_channels, 2, 2)) if previewed else ()
    write_checkpoint(path, sd1_tensors(unet, vae, text), 64, preview)
    return path
