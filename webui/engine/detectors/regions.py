"""Turned squares of a picture: what a network looks at, and where in the picture lies what it finds there.

The rules are those of MediaPipe's graphs (Apache-2.0): alignment_points_to_rects, rect_transformation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
"""(h, w, 3), RGB."""
Points: TypeAlias = NDArray[np.float32]
"""(n, 2): x and y, in pixels."""

COARSE = 2.0
"""A picture that is made smaller than this many times is averaged, not sampled."""


@dataclass(frozen=True)
class Region:
    """A square."""

    x: float
    """Of its middle, in pixels, and so is `y`."""
    y: float
    side: float
    angle: float = 0.0
    """In radians, clockwise as seen."""

    def grown(self, factor: float, down: float = 0.0) -> Region:
        """Around a middle that lies by so much of its old side further down, in its own direction."""
        dx, dy = -math.sin(self.angle) * down * self.side, math.cos(self.angle) * down * self.side
        return replace(self, x=self.x + dx, y=self.y + dy, side=self.side * factor)

    def seen(self, picture: Bytes, size: int) -> Bytes:
        """(size, size, 3): the square upright; black beyond the picture."""
        side = max(self.side, 1.0)
        high, wide = picture.shape[:2]
        reach = side / 2 * (abs(math.cos(self.angle)) + abs(math.sin(self.angle))) + 2
        left, top = (max(int(middle - reach), 0) for middle in (self.x, self.y))
        right, bottom = min(math.ceil(self.x + reach), wide), min(math.ceil(self.y + reach), high)
        if right <= left or bottom <= top:
            return np.zeros((size, size, 3), np.uint8)
        part = picture[top:bottom, left:right]
        across, down = 1.0, 1.0
        if side / size > COARSE:
            new = [max(round(length * size / side), 1) for length in (right - left, bottom - top)]
            across, down = new[0] / (right - left), new[1] / (bottom - top)
            part = np.asarray(cv2.resize(part, new, interpolation=cv2.INTER_AREA), np.uint8)
        turn = np.array([[math.cos(self.angle), -math.sin(self.angle)], [math.sin(self.angle), math.cos(self.angle)]])
        scale = np.diag([across, down])
        matrix = scale @ turn * (side / size)
        middle = scale @ np.array([self.x - left, self.y - top])
        offset = middle - matrix @ np.full(2, size / 2) + matrix @ np.full(2, 0.5) - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(part, np.column_stack([matrix, offset]), (size, size), flags=flags), np.uint8)

    def back(self, points: NDArray[np.floating[Any]]) -> Points:
        """Points of the square, both from 0 to 1 -> of the picture."""
        dx, dy = (points[:, 0] - 0.5) * self.side, (points[:, 1] - 0.5) * self.side
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.x + dx * cos - dy * sin, self.y + dx * sin + dy * cos], 1).astype(np.float32)


def whole(picture: Bytes) -> Region:
    """The square around all of it."""
    high, wide = picture.shape[:2]
    return Region(wide / 2, high / 2, max(high, wide))


def turned(start: NDArray[np.float32], end: NDArray[np.float32], upright: float) -> float:
    """The angle of a square in which the way from `start` to `end` has the direction `upright` (radians, counted
    against the clock from the right)."""
    angle = upright - math.atan2(-(float(end[1]) - float(start[1])), float(end[0]) - float(start[0]))
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))


def around(points: Points, angle: float = 0.0) -> Region:
    """The square turned by `angle` that is as large as the longer side of what the points take up in it."""
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = points[:, 0] * cos + points[:, 1] * sin, points[:, 1] * cos - points[:, 0] * sin
    u, v = (float(each.min() + each.max()) / 2 for each in (across, down))
    return Region(u * cos - v * sin, u * sin + v * cos, float(max(np.ptp(across), np.ptp(down))), angle)


def aligned(points: Points, places: Points) -> Region:
    """The square in which some points lie as nearly as can be (by least squares) where a network wants them.

    points: (n, 2); places: (n, 2) within the square, both from 0 to 1. Umeyama 1991, without mirroring.
    """
    ideal, there = (each[:, 0].astype(np.float64) + 1j * each[:, 1] for each in (places, points))
    middle, mean = ideal.mean(), there.mean()
    scale = np.vdot(ideal - middle, there - mean) / np.vdot(ideal - middle, ideal - middle).real
    at = mean + scale * (0.5 + 0.5j - middle)
    return Region(float(at.real), float(at.imag), max(float(abs(scale)), 1.0), float(np.angle(scale)))


def planes(seen: Bytes, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    """(h, w, 3) -> (1, 3, h, w), from `low` to `high`."""
    levels = seen.astype(np.float32) * ((high - low) / 255) + low
    return np.ascontiguousarray(levels.transpose(2, 0, 1)[None])
