"""What a picture is about, as one point, and how it is cropped around it.

The point is the weighted mean of where faces are, where corners are (Shi and Tomasi 1994, "Good features to track"),
and the middle of the part whose levels tell most (the entropy of their histogram).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.engine.detectors.regions import Bytes

Size = tuple[int, int]
Point = tuple[float, float]
"""Fractions of the width and the height."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in fractions of the width and the height."""
MIDDLE: Point = (0.5, 0.5)
LOOKED_AT = 256
"""Pixels of the longer side of the picture that corners and entropy are looked for in."""
CORNERS, QUALITY, APART = 100, 0.04, 6
STEPS = 16
"""Places at which the part is tried that tells most."""
BINS = 32


@dataclass(frozen=True)
class FocalWeights:
    """How much each counts; 0: it is not looked for."""

    faces: float = 0.9
    entropy: float = 0.15
    edges: float = 0.5


def focal_point(picture: Image.Image, target: Size, weights: FocalWeights, faces: Sequence[Box] = ()) -> Point:
    """Where a crop of this shape is best centred. picture: RGB or RGBA; faces: those that were found in it."""
    small = picture.convert("L")
    small.thumbnail((LOOKED_AT, LOOKED_AT))
    grey = np.asarray(small, np.uint8)
    found: list[tuple[float, Point]] = []
    if faces and weights.faces:
        areas = [max((right - left) * (bottom - top), 1e-9) for left, top, right, bottom in faces]
        middles = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in faces]
        found.append((weights.faces, _mean(list(zip(areas, middles, strict=True)))))
    if weights.edges and (corners := _corners(grey)):
        found.append((weights.edges, _mean([(1.0, corner) for corner in corners])))
    if weights.entropy:
        found.append((weights.entropy, _telling(grey, target)))
    return _mean(found) if found else MIDDLE


def crop_around(size: Size, target: Size, point: Point) -> tuple[int, int, int, int]:
    """(left, top, width, height) in pixels: as much of a picture of this size as has the target's shape, its middle as
    near to the point as the edges let it."""
    scale = min(size[0] / target[0], size[1] / target[1])
    wide, high = (min(max(round(side * scale), 1), whole) for side, whole in zip(target, size, strict=True))
    left, top = (
        min(max(round(at * whole - part / 2), 0), whole - part)
        for at, whole, part in zip(point, size, (wide, high), strict=True)
    )
    return left, top, wide, high


def _corners(grey: Bytes) -> list[Point]:
    found: object = cv2.goodFeaturesToTrack(grey, CORNERS, QUALITY, APART)
    if not isinstance(found, np.ndarray):
        return []
    high, wide = grey.shape
    return [((float(x) + 0.5) / wide, (float(y) + 0.5) / high) for x, y in np.asarray(found).reshape(-1, 2)]


def _telling(grey: Bytes, target: Size) -> Point:
    """The middle of the part of this shape with the highest entropy; of equal ones, of the one next to the middle."""
    high, wide = grey.shape
    _, _, across, down = crop_around((wide, high), target, MIDDLE)
    tried: list[tuple[float, float, Point]] = []
    for step in range(STEPS):
        share = step / (STEPS - 1)
        left, top = round(share * (wide - across)), round(share * (high - down))
        point = ((left + across / 2) / wide, (top + down / 2) / high)
        tried.append((-round(_entropy(grey[top : top + down, left : left + across]), 4), abs(share - 0.5), point))
    return min(tried)[2]


def _entropy(levels: Bytes) -> float:
    counts: NDArray[np.float64] = np.bincount(levels.reshape(-1) // (256 // BINS), minlength=BINS) / levels.size
    seen = counts[counts > 0]
    return float(-(seen * np.log2(seen)).sum())


def _mean(weighted: Sequence[tuple[float, Point]]) -> Point:
    total = sum(weight for weight, _ in weighted)
    x, y = (sum(weight * point[axis] for weight, point in weighted) / total for axis in (0, 1))
    return x, y
