"""Giving a result the colours of the picture that it was made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.engine.start import copy
from webui.features.colour_correction.parameters import Params

Levels = NDArray[Any]

_D65 = np.array([0.950456, 1.0, 1.088754])
_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_LUMA = np.array([0.3, 0.59, 0.11])


class Engine(FeatureEngine[Params]):
    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        if finished.given is None:
            return finished
        extras, overlay = finished.extras, finished.overlay
        if self.params.keeps_before:
            before = overlay.over(finished.picture) if overlay is not None else finished.picture
            extras = (*extras, copy("before-color-correction", before))
        return replace(finished, picture=corrected(finished.picture, finished.given.picture), extras=extras)


def corrected(picture: Image.Image, model: Image.Image) -> Image.Image:
    """The picture with the distribution of colours of `model`, and its own brightness. RGB."""
    own = lab_of(np.asarray(picture.convert("RGB")))
    wanted = lab_of(np.asarray(model.convert("RGB")))
    matched = np.stack([_matched(own[..., i], wanted[..., i]) for i in range(3)], axis=-1)
    coloured = rgb_of(matched.astype(np.uint8))
    return Image.fromarray(_with_brightness(coloured, np.asarray(picture.convert("RGB"))))


def _matched(levels: Levels, wanted: Levels) -> Levels:
    """Levels (h, w) uint8 mapped so that their histogram becomes that of `wanted`."""
    own_count, want_count = np.bincount(levels.ravel(), minlength=256), np.bincount(wanted.ravel(), minlength=256)
    present = np.flatnonzero(want_count)
    own_share = np.cumsum(own_count) / levels.size
    want_share = np.cumsum(want_count)[present] / wanted.size
    return np.interp(own_share, want_share, present)[levels]


def _with_brightness(colour: Levels, brightness: Levels) -> Levels:
    """Hue and saturation of one, luminosity of the other: the W3C's blend mode "luminosity". (h, w, 3) uint8."""
    base, light = colour / 255.0, brightness / 255.0
    moved = base + (light @ _LUMA - base @ _LUMA)[..., None]
    luma = (moved @ _LUMA)[..., None]
    low, high = moved.min(axis=-1, keepdims=True), moved.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(low < 0, luma + (moved - luma) * luma / (luma - low), moved)
        moved = np.where(high > 1, luma + (moved - luma) * (1 - luma) / (high - luma), moved)
    clipped: Levels = (moved.clip(0, 1) * 255).astype(np.uint8)
    return clipped


# ---------------------------------------------------------------- CIE L*a*b*, each in 8 bits


_GAMMA_BITS, _MATRIX_BITS = 3, 12
_BITS = _GAMMA_BITS + _MATRIX_BITS


def lab_of(rgb: Levels) -> Levels:
    """(h, w, 3) sRGB uint8 -> L * 255/100, a + 128, b + 128 as uint8.

    A1111: in the fixed-point arithmetic of OpenCV, since the histograms' thin ends magnify every rounding.
    """
    values = np.arange(256) / 255
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    gamma = np.rint(255 * (1 << _GAMMA_BITS) * linear).astype(np.int64)
    matrix = np.rint((1 << _MATRIX_BITS) * _TO_XYZ / _D65[:, None]).astype(np.int64)
    x = np.arange(256 * 3 // 2 << _GAMMA_BITS) / (255 * (1 << _GAMMA_BITS))
    root = np.rint((1 << _BITS) * np.where(x < 0.008856, 7.787 * x + 16 / 116, np.cbrt(x))).astype(np.int64)
    fx, fy, fz = np.moveaxis(root[_shifted(gamma[rgb] @ matrix.T, _MATRIX_BITS)], -1, 0)
    one = 1 << _BITS
    lightness = _shifted((116 * 255 + 50) // 100 * fy - (16 * 255 * one + 50) // 100, _BITS)
    a, b = _shifted(500 * (fx - fy) + 128 * one, _BITS), _shifted(200 * (fy - fz) + 128 * one, _BITS)
    levels: Levels = np.stack([lightness, a, b], axis=-1).clip(0, 255).astype(np.uint8)
    return levels


def _shifted(value: Levels, bits: int) -> Levels:
    """Divided by 2^bits, rounded."""
    rounded: Levels = (value + (1 << (bits - 1))) >> bits
    return rounded


def rgb_of(lab: Levels) -> Levels:
    """The inverse of `lab_of`."""
    lightness, a, b = lab[..., 0] / 2.55, lab[..., 1] - 128.0, lab[..., 2] - 128.0
    dark = lightness <= 8
    y = np.where(dark, lightness / 903.3, ((lightness + 16) / 116) ** 3)
    fy = np.where(dark, 7.787 * y + 16 / 116, (lightness + 16) / 116)
    f = np.stack([fy + a / 500, fy, fy - b / 200], axis=-1)
    xyz = np.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787)
    xyz[..., 1] = y
    linear = (xyz * _D65) @ np.linalg.inv(_TO_XYZ).T
    values = np.where(linear > 0.0031308, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055, 12.92 * linear)
    levels: Levels = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return levels
