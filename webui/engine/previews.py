"""Latents to pictures while a picture is made: by a matrix product, a small network, or the VAE itself."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from webui.base.errors import ModelError
from webui.engine.families.family import LatentFormat, PictureMaker
from webui.engine.watch import Viewing
from webui.request.messages import PreviewFormat

Look = tuple[bytes, PreviewFormat]
"""A file, and its kind."""
Previewer = Callable[[Tensor], Look]
"""Latents (b, c, h, w) -> what is shown of them."""
Small = Callable[[PictureMaker], AbstractContextManager[nn.Module | None]]
"""Lends a small decoder for a model; None: there is no file of it."""
Pixels = Callable[[Tensor], Tensor]
"""Latents (b, c, h, w) -> pictures (b, 3, h', w') about -1..1."""

QUALITY = 80
LARGEST = 512
"""Pixels of a preview's longer side: it is sent about once a second to everybody who looks."""


def shown(pixels: Tensor, kind: PreviewFormat = "jpeg") -> Look:
    """Pictures (b, 3, h, w) in -1..1 side by side on a sheet, made smaller where it is too large to be sent."""
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
    match kind:
        case "png":
            sheet.save(stream, "PNG", compress_level=1)
        case "webp":
            sheet.save(stream, "WEBP", quality=QUALITY, method=0)
        case "jpeg":
            sheet.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue(), kind


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
    return lambda latents: shown(rgb_of(latents, form))


@dataclass(frozen=True)
class Decoders:
    """The small networks that make previews."""

    small: Small
    """Lends TAESD's decoder."""
    approximate: Small
    """Lends that of Approx NN."""
    remark: Callable[[str], None] = lambda _text: None
    """Told of a file that is broken."""


def pixels_of(model: PictureMaker, viewing: Viewing, decoders: Decoders) -> Pixels:
    """By the method that whoever looks has chosen; the cheap one, a pixel for each of the latent's, where a method has
    no file for the model, or a broken one, or "Full" would have to fetch what waits outside the device.
    """
    form = model.latent
    lends = {"TAESD": decoders.small, "Approx NN": decoders.approximate}

    def pixels(latents: Tensor) -> Tensor:
        wish = viewing.wish
        if wish.method == "Full" and (wish.full_anyway or model.placement.offload == "none"):
            return torch.cat([model.decode(latent[None]) for latent in latents]).float()
        if wish.method not in lends:
            return rgb_of(latents, form)
        try:
            with lends[wish.method](model) as decoder:
                made: Tensor = rgb_of(latents, form) if decoder is None else decoder(latents.float())
                return made
        except ModelError as error:  # A preview is not worth the picture.
            decoders.remark(f"Live preview: {error}")
            del lends[wish.method]
            return rgb_of(latents, form)

    return pixels


def as_chosen(model: PictureMaker, viewing: Viewing, decoders: Decoders) -> Previewer:
    """What is shown while a picture is made. The rest as in `pixels_of`."""
    pixels = pixels_of(model, viewing, decoders)

    def preview(latents: Tensor) -> Look:
        wish = viewing.wish
        return shown(pixels(latents if wish.whole_batch else latents[:1]), wish.format)

    return preview


def in_full_size(pixels: Tensor, latents: Tensor, factor: int) -> Tensor:
    """Pictures as large as those that the latents (b, c, h, w) stand for. factor: pixels along a side of a latent."""
    height, width = (side * factor for side in latents.shape[-2:])
    if pixels.shape[-2:] == (height, width):
        return pixels
    return interpolate(pixels.float(), (height, width), mode="bicubic", antialias=True)
