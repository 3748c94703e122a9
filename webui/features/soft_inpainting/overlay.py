"""Soft inpainting's overlay: the given picture comes back where its latents have hardly changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from webui.engine.inpaint import Box
from webui.engine.upscalers.resize import CROP, FILL, fitted

Array = NDArray[Any]


@dataclass(frozen=True)
class Differences:
    """What counts as changed."""

    mask_influence: float = 0.0
    """0: the difference alone decides; 1: the mask alone."""
    threshold: float = 0.5
    """The distance of latents at which the original is half visible."""
    contrast: float = 2.0
    """How sharp the transition is."""


def changed_part(
    before: Array, after: Array, mask: Array, differences: Differences, size: tuple[int, int]
) -> Image.Image:
    """A mask of pixels, white where the result shall show. before, after: latents (c, h, w); mask: (h, w), 0 to 1.

    size: (width, height) of the result.
    """
    influence = differences.mask_influence
    kept = 0.5 * (1 - influence) + (1 - mask.clip(0, 1) ** (influence / 2)) * influence
    half = np.maximum(differences.threshold * kept / (1.00001 - kept), 1e-9)
    distance = np.linalg.norm(after - before, axis=0)
    distance = weighted_ranks(distance, 0.9, 1.0)
    distance = weighted_ranks(distance, 0.25, 0.75)
    shows = 1 - _smoother(1 / (1 + (distance / half) ** differences.contrast))
    small = Image.fromarray((255 * shows).astype(np.uint8))
    large = fitted(small, *size, FILL).convert("L")
    return large.filter(ImageFilter.GaussianBlur(4))


def uncropped(mask: Image.Image, size: tuple[int, int], box: Box | None) -> Image.Image:
    """The mask in its place in a picture of this size; black around it."""
    if box is None:
        return mask
    left, top, right, bottom = box
    ground = Image.new("L", size)
    ground.paste(fitted(mask, right - left, bottom - top, CROP).convert("L"), (left, top))
    return ground


def weighted_ranks(values: Array, low: float, high: float, least: float = 1.0) -> Array:
    """Each value (h, w) by the mean of its neighbours between two ranks (0 to 1), weighted by a small Gaussian.

    least: the least weight that the mean is taken over.
    """
    kernel = _gaussian()
    reach = len(kernel) // 2
    windows = sliding_window_view(np.pad(values.astype(np.float64), reach), kernel.shape).reshape(*values.shape, -1)
    inside = sliding_window_view(np.pad(np.ones(values.shape), reach), kernel.shape).reshape(*values.shape, -1)
    order = np.argsort(windows, axis=-1, kind="stable")
    sorted_values = np.take_along_axis(windows, order, axis=-1)
    weights = np.take_along_axis(inside * kernel.ravel(), order, axis=-1)
    ends = np.cumsum(weights, axis=-1)
    total = ends[..., -1:]
    first, last = total * low, total * high
    narrow = last - first < least
    middle = (first + last) / 2
    first, last = np.where(narrow, middle - least / 2, first), np.where(narrow, middle + least / 2, last)
    first, last = np.where(last > total, total - least, first), np.minimum(last, total)
    share = (np.minimum(last, ends) - np.maximum(first, ends - weights)).clip(min=0)
    means = (sorted_values * share).sum(axis=-1) / share.sum(axis=-1)
    found: Array = means.astype(values.dtype)
    return found


def _gaussian(spread: float = 1.5, reach: int = 2) -> Array:
    """(2 reach + 1, 2 reach + 1), 1 in the middle, lowered so that it is 0 just beyond its reach."""
    along = np.arange(-reach, reach + 1.0) ** 2
    beyond = np.exp(-((reach + 1.0) ** 2) / spread**2)
    bell = (np.exp(-(along[:, None] + along) / spread**2) - beyond) / (1 - beyond)
    lowered: Array = bell.clip(min=0)
    return lowered


def _smoother(x: Array) -> Array:
    """From 0 to 1 with flat ends. Perlin 2002, doi:10.1145/566654.566636."""
    smooth: Array = x * x * x * (x * (6 * x - 15) + 10)
    return smooth
