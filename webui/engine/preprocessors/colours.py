"""Colours, brightness and blur."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.preprocessors.picture import Bytes, Options, levels, scaled

GRID = 64
"""Pixels along a side of one patch of colour."""
DISK = 256
"""Pixels between two drawn numbers of the noise that a shuffled picture flows along."""
SHUFFLED = 512


def untouched(picture: Bytes, _options: Options) -> Bytes:
    """The picture as it is."""
    return picture


def blur_gaussian(picture: Bytes, options: Options) -> Bytes:
    """a: the standard deviation in pixels."""
    return levels(cv2.GaussianBlur(scaled(picture, options.resolution), (0, 0), options.a))


def color(picture: Bytes, options: Options) -> Bytes:
    """Patches of the picture's colours."""
    seen = scaled(picture, options.resolution, cv2.INTER_AREA)
    height, width = seen.shape[:2]
    small = cv2.resize(seen, (max(width // GRID, 1), max(height // GRID, 1)), interpolation=cv2.INTER_CUBIC)
    return levels(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def recolor_luminance(picture: Bytes, options: Options) -> Bytes:
    """L of Lab; a: the gamma."""
    return _bent(levels(cv2.cvtColor(picture, cv2.COLOR_BGR2LAB))[..., 0], options.a)


def recolor_intensity(picture: Bytes, options: Options) -> Bytes:
    """V of HSV; a: the gamma."""
    return _bent(levels(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV))[..., 2], options.a)


def _bent(grey: Bytes, gamma: float) -> Bytes:
    return ((grey.astype(np.float32) / 255.0) ** gamma * 255.0).clip(0, 255).astype(np.uint8)


def tile_resample(picture: Bytes, options: Options) -> Bytes:
    """A smaller picture; a: how many times."""
    if options.a < 1.1:
        return picture
    height, width = picture.shape[:2]
    size = (max(int(width / options.a), 1), max(int(height / options.a), 1))
    return levels(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def shuffle(picture: Bytes, options: Options) -> Bytes:
    """The picture as it flows along smooth noise: its colours without its shapes.

    Zhang et al., ControlNet 1.1, "shuffle". The noise is that of numpy's legacy generator.
    """
    random = np.random.RandomState(options.seed)
    seen = cv2.resize(picture, (SHUFFLED, SHUFFLED), interpolation=cv2.INTER_CUBIC)
    height, width = seen.shape[:2]
    along, down = (_noise_disk(random, height, width) * (side - 1) for side in (width, height))
    flow = np.stack([along, down], axis=-1).astype(np.float32)
    return levels(cv2.remap(seen, flow[..., 0].copy(), flow[..., 1].copy(), cv2.INTER_LINEAR))


def _noise_disk(random: np.random.RandomState, height: int, width: int) -> NDArray[np.float64]:
    """Smooth numbers from 0 to 1: (height, width)."""
    drawn = random.uniform(0, 1, (height // DISK + 2, width // DISK + 2, 1))
    smooth = cv2.resize(drawn, (width + 2 * DISK, height + 2 * DISK), interpolation=cv2.INTER_CUBIC)
    inner = np.asarray(smooth[DISK : DISK + height, DISK : DISK + width], dtype=np.float64)
    inner = inner - inner.min()
    return np.asarray(inner / inner.max(), dtype=np.float64)
