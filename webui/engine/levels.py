"""From what a VAE gives to pictures, and from these to what leaves the engine."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor


def picture_of(pixels: Tensor) -> Image.Image:
    """(1, 3, h, w) in -1..1 as a picture."""
    return Image.fromarray(to_levels(pixels)[0].numpy())


def rows_of(picture: Image.Image) -> tuple[bytes, bytes]:
    """Rows of RGB and of opacity, 8 bits each, as `Pictured` has them; none of opacity where all is opaque."""
    if not picture.has_transparency_data:
        return picture.convert("RGB").tobytes(), b""
    rgba = picture.convert("RGBA")
    alpha = rgba.getchannel("A")
    return rgba.convert("RGB").tobytes(), b"" if alpha.getextrema()[0] == 255 else alpha.tobytes()


def to_levels(pixels: Tensor) -> Tensor:
    """(b, 3, h, w) in -1..1 -> (b, h, w, 3) uint8 on the CPU. A1111: truncated, not rounded."""
    levels = 255.0 * ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    return levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()
