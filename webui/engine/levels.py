"""From what a VAE gives to pictures."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor


def picture_of(pixels: Tensor) -> Image.Image:
    """(1, 3, h, w) in -1..1 as a picture."""
    return Image.fromarray(to_levels(pixels)[0].numpy())


def to_levels(pixels: Tensor) -> Tensor:
    """(b, 3, h, w) in -1..1 -> (b, h, w, 3) uint8 on the CPU. A1111: truncated, not rounded."""
    levels = 255.0 * ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    return levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()
