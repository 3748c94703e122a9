"""Masks in pixels: made binary, blurred, cropped to, filled under, and the untouched part put back over the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import correlate1d

from webui.engine.upscalers.resize import CROP, FILL, fitted

Picture = Image.Image
Box = tuple[int, int, int, int]
"""(left, top, right, bottom); right and bottom are outside."""


def mask_of(picture: Picture, *, rounded: bool = True) -> Picture:
    """The mask that a picture means: its alpha where that says something, else its brightness. 255 may change."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        alpha = picture.convert("RGBA").split()[-1]
        low, high = (int(level) for level in alpha.getextrema())  # type: ignore[arg-type]  # one band
        # A layer of one opacity has its mask in its colours; one that is painted on thinly is as good as any.
        if low < high or not high:
            return alpha.point(lambda level: 255 if level * 255 > 128 * high else 0) if rounded else alpha
    return picture.convert("L")


def blurred(mask: Picture, across: int, down: int) -> Picture:
    """Gaussian blur with these standard deviations in pixels; the kernel reaches to 2.5 of them."""
    levels = np.asarray(mask, dtype=np.float64)
    for sigma, axis in ((across, 1), (down, 0)):
        if sigma > 0:
            reach = int(2.5 * sigma + 0.5)
            kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            levels = correlate1d(levels, kernel / kernel.sum(), axis=axis, mode="mirror")
            levels = np.rint(levels)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def crop_region(mask: Picture, padding: int) -> Box | None:
    """The smallest box around everything that is not black, with padding; None for a blank mask."""
    box = mask.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    return (
        max(left - padding, 0),
        max(top - padding, 0),
        min(right + padding, mask.width),
        min(bottom + padding, mask.height),
    )


def expanded(box: Box, width: int, height: int, picture_width: int, picture_height: int) -> Box:
    """The box widened to the proportions width : height, moved into the picture, cut where it is too large."""
    left, top, right, bottom = box
    ratio = width / height
    if (right - left) / (bottom - top) > ratio:
        top, bottom = _widened(top, bottom, (right - left) / ratio, picture_height)
    else:
        left, right = _widened(left, right, (bottom - top) * ratio, picture_width)
    return (left, top, right, bottom)


def _widened(low: int, high: int, wanted: float, limit: int) -> tuple[int, int]:
    more = int(wanted - (high - low))
    low -= more // 2
    high += more - more // 2
    if high >= limit:
        low, high = low - (high - limit), limit
    if low < 0:
        low, high = 0, high - low
    return low, min(high, limit)


_FILL_STEPS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""(blur radius, how often), from far to near."""


def filled(picture: Picture, mask: Picture) -> Picture:
    """The masked part replaced by what surrounds it, ever more blurred towards the inside."""
    ground = Image.new("RGBA", picture.size)
    known = _outside(picture, mask)
    for radius, times in _FILL_STEPS:
        blurry = known.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            ground.alpha_composite(blurry)
    return ground.convert("RGB")


def _outside(picture: Picture, mask: Picture) -> Picture:
    """RGBa: the picture where the mask is black, transparent where it is white."""
    kept = Image.new("RGBa", picture.size)
    kept.paste(picture.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    return kept


@dataclass(frozen=True)
class Overlay:
    """What is put back over a result: the untouched part of the given picture, and where the result belongs in it."""

    picture: Picture
    """RGBA, transparent where the mask is white."""
    box: Box | None = None
    """The part that was made anew; None: all of it."""

    def placed(self, result: Picture) -> Picture:
        """The result in its place, with nothing around it."""
        if self.box is None:
            return result
        left, top, right, bottom = self.box
        ground = Image.new("RGBA", self.picture.size)
        ground.paste(fitted(result, right - left, bottom - top, CROP), (left, top))
        return ground

    def over(self, result: Picture) -> Picture:
        """The result in its place, under the untouched part. RGB."""
        result = self.placed(result).convert("RGBA")
        result.alpha_composite(self.picture)
        return result.convert("RGB")


def overlay_of(picture: Picture, mask: Picture, box: Box | None) -> Overlay:
    """From the given picture and its mask, of one size."""
    return Overlay(_outside(picture, mask).convert("RGBA"), box)


@dataclass(frozen=True)
class Masking:
    """What a mask comes to for one job."""

    latent: Picture
    """Where latents may change: at the size of the generation, 8 bits."""
    shown: Picture
    """What inpainting checkpoints see of the mask, likewise: the same, unless latents have a mask of their own."""
    overlay: Picture
    """At the size of the given picture."""
    box: Box | None
    """Only masked: the part of the given picture that is worked on."""


def masking(
    mask: Picture, width: int, height: int, *, resize_mode: int, only_masked: bool, padding: int
) -> Masking | None:
    """From a mask that is binary and blurred. None: it is blank, and only the masked part was asked for."""
    if not only_masked:
        at_size = fitted(mask, width, height, resize_mode)
        twice = np.clip(np.asarray(at_size, dtype=np.float32) * 2, 0, 255).astype(np.uint8)
        return Masking(at_size, at_size, Image.fromarray(twice), None)
    box = crop_region(mask, padding)
    if box is None:
        return None
    box = expanded(box, width, height, mask.width, mask.height)
    at_size = fitted(mask.crop(box), width, height, FILL)
    return Masking(at_size, at_size, mask, box)


def latent_mask(mask: Picture, width: int, height: int, *, rounded: bool) -> NDArray[np.float32]:
    """(height, width) float32 of latent pixels, 1 where the picture may change."""
    shown = np.asarray(mask.convert("RGB").resize((width, height)), dtype=np.float32)[..., 0]
    levels: NDArray[np.float32] = shown / np.float32(255)
    return np.around(levels) if rounded else levels


def cut_out(result: Picture, mask: Picture) -> Picture:
    """RGBA: the part of the result that is under the mask."""
    mask = fitted(mask, result.width, result.height, FILL).convert("L")
    nothing = Image.new("RGBa", result.size)
    return Image.composite(result.convert("RGBA").convert("RGBa"), nothing, mask).convert("RGBA")


def flattened(picture: Picture, colour: str) -> Picture:
    """RGB, with the colour where it was transparent."""
    picture = picture.convert("RGBA")
    ground = Image.new("RGBA", picture.size, colour)
    ground.paste(picture, mask=picture)
    return ground.convert("RGB")
