"""Latents to pictures while a picture is made: by a matrix product, a small network, or the VAE itself."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from PIL import Image
from torch import Tensor, nn

from webui.engine.families.family import LatentFormat, PictureMaker
from webui.engine.watch import Viewing

Previewer = Callable[[Tensor], bytes]
"""Latents (b, c, h, w) -> JPEG."""
Small = Callable[[PictureMaker], AbstractContextManager[nn.Module | None]]

QUALITY = 80
LARGEST = 512
"""Pixels of a preview's longer side: it is sent about once a second to everybody who looks."""


def jpeg(pixels: Tensor) -> bytes:
    """Pictures (b, 3, h, w) in -1..1 side by side on a sheet as JPEG, made smaller where it is too large to be sent."""
    levels = levels_of(pixels)
    columns = math.ceil(math.sqrt(len(levels)))
    rows = math.ceil(len(levels) / columns)
    height, width = levels.shape[2:]
    sheet = Image.new("RGB", (columns * width, rows * height))
    for place, level in enumerate(levels.cpu()):
        picture = Image.fromarray(level.permute(1, 2, 0).contiguous().numpy())
        sheet.paste(picture, (place % columns * width, place // columns * height))
    sheet.thumbnail((LARGEST, LARGEST), Image.Resampling.BILINEAR, reducing_gap=2.0)
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def levels_of(pixels: Tensor) -> Tensor:
    """-1..1 -> 0..255, uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).to(torch.uint8)


def rgb_of(latents: Tensor, form: LatentFormat) -> Tensor:
    """(b, c, h, w) -> (b, 3, h, w) about -1..1, by the family's factors."""
    factors = torch.tensor(form.rgb, device=latents.device, dtype=latents.dtype)
    bias = torch.tensor(form.rgb_bias, device=latents.device, dtype=latents.dtype)
    return torch.einsum("bchw,cr->brhw", latents, factors) + bias[:, None, None]


def cheap(model: PictureMaker) -> Previewer:
    """A pixel of the preview for each of the latent's."""
    form = model.latent
    return lambda latents: jpeg(rgb_of(latents, form))


def as_chosen(model: PictureMaker, viewing: Viewing, small: Small) -> Previewer:
    """By the method that whoever looks has chosen; the cheap one where TAESD has no file for the model.

    small: lends TAESD's decoder for a model.
    """
    plain = cheap(model)

    def preview(latents: Tensor) -> bytes:
        if viewing.method == "Full":
            return jpeg(torch.cat([model.decode(latent[None]) for latent in latents]).float())
        if viewing.method != "TAESD":
            return plain(latents)
        with small(model) as decoder:
            return plain(latents) if decoder is None else jpeg(decoder(latents.float()))

    return preview
