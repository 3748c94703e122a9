"""Edges and lines, found without a network."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels

N = TypeVar("N", np.uint8, np.float32)
STEPS = 2
"""Of a soft edge that hides what could be seen through it."""
BLUR, SEEN, STROKE = 3.0, 127, 4
"""Of a scribble: the deviation of its blurs in pixels; the level from which an edge is drawn; that of the pen's rim."""
_DIRECTIONS = tuple(
    np.array(rows, np.uint8)
    for rows in (
        ((0, 0, 0), (1, 1, 1), (0, 0, 0)),
        ((0, 1, 0), (0, 1, 0), (0, 1, 0)),
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    )
)


def canny(picture: Bytes, options: Options) -> Bytes:
    """Canny 1986, by OpenCV: a and b are the low and the high threshold of the gradient."""
    low, high = int(options.a), int(options.b)
    return at_resolution(picture, options.resolution, lambda seen: levels(cv2.Canny(seen, low, high)))


def scribble_xdog(picture: Bytes, options: Options) -> Bytes:
    """Winnemoeller et al. 2012, "XDoG": white where the difference of two Gaussians is beyond a threshold, a."""

    def look(seen: Bytes) -> Bytes:
        pixels = seen.astype(np.float32)
        fine, coarse = (cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (0.5, 5.0))
        darker = (255 - (coarse - fine).min(axis=2)).clip(0, 255).astype(np.uint8)
        return np.where(2 * (255 - darker) > options.a, np.uint8(255), np.uint8(0))  # bytes: twice 128 is 0

    return at_resolution(picture, options.resolution, look)


def lineart_standard(picture: Bytes, options: Options) -> Bytes:
    """How much darker than its neighbourhood each pixel is, by the median of what is darker at all."""

    def look(seen: Bytes) -> Bytes:
        pixels = seen.astype(np.float32)
        darker = (cv2.GaussianBlur(pixels, (0, 0), 6.0) - pixels).min(axis=2).clip(0, 255)
        seen_at_all = darker[darker > 8]
        darker = darker / max(16, np.median(seen_at_all) if seen_at_all.size else 0)
        return levels((darker * 127).clip(0, 255))

    return at_resolution(picture, options.resolution, look)


def threshold(picture: Bytes, options: Options) -> Bytes:
    """White where every channel is above a."""

    def look(seen: Bytes) -> Bytes:
        return np.where(seen.min(axis=2) > options.a, np.uint8(255), np.uint8(0))

    return at_resolution(picture, options.resolution, look)


def invert(picture: Bytes, _options: Options) -> Bytes:
    """White for black: what is drawn with a dark pen on white paper becomes what the networks know."""
    return 255 - picture


# ---------------------------------------------------------------- of edges that were found


def ridges(grey: NDArray[N]) -> NDArray[N]:
    """Non-maximum suppression: what is the greatest in one of four directions stays."""
    kept = np.zeros_like(grey)
    for direction in _DIRECTIONS:
        np.putmask(kept, cv2.dilate(grey, direction) == grey, grey)
    return kept


def in_steps(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0..1: in `STEPS` levels above black."""
    return np.asarray(np.floor(found * (STEPS + 1)) / STEPS, np.float32)


def scribbled(edges: Bytes) -> Bytes:
    """(h, w), soft edges: their middles, as thick as a pen draws."""
    soft = np.asarray(cv2.GaussianBlur(edges.astype(np.float32), (0, 0), BLUR), np.float32)
    drawn = np.where(ridges(soft) > SEEN, np.uint8(255), np.uint8(0))
    thick = levels(cv2.GaussianBlur(drawn, (0, 0), BLUR))
    return np.where(thick > STROKE, np.uint8(255), np.uint8(0))
