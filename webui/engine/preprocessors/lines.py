"""Edges and lines, found without a network."""

from __future__ import annotations

import cv2
import numpy as np

from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels


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
