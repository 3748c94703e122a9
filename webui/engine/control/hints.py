"""How a map is brought to the size of a picture, so that its lines stay lines.

Rules of sd-webui-controlnet 1.1.455, as its pictures show them.
"""

from __future__ import annotations

import cv2
import numpy as np

from webui.engine.preprocessors.picture import Bytes, levels, whole
from webui.features.controlnet.parameters import ResizeMode

FEW_COLOURS = 200
DARK, BRIGHT = 16, 240
"""Of a map that has two colours and no more: one below the first, one above the second."""


def sized(picture: Bytes, size: tuple[int, int], mode: ResizeMode) -> Bytes:
    """(h, w, 3) -> (height, width, 3). size: (width, height).

    "Just Resize" distorts, "Crop and Resize" cuts the middle out, "Resize and Fill" lays it on the median of its own
    border.
    """
    width, height = size
    high, wide = picture.shape[:2]
    if mode == "Just Resize":
        return resized(picture, size)
    factors = (height / high, width / wide)
    factor = max(factors) if mode == "Crop and Resize" else min(factors)
    inner = (round(wide * factor), round(high * factor))
    fitting = resized(picture, inner)
    if mode == "Crop and Resize":
        top, left = max(0, (inner[1] - height) // 2), max(0, (inner[0] - width) // 2)
        return fitting[top : top + height, left : left + width]
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    filled = np.empty((height, width, 3), np.uint8)
    filled[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = max(0, (height - inner[1]) // 2), max(0, (width - inner[0]) // 2)
    filled[top : top + inner[1], left : left + inner[0]] = fitting
    return filled


def resized(picture: Bytes, size: tuple[int, int]) -> Bytes:
    """(h, w, 3) -> (height, width, 3), distorted to fit; colours stay flat and lines lines. size: (width, height)."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    colours = np.unique(picture.reshape(-1, picture.shape[2]), axis=0)
    is_binary = len(colours) == 2 and colours.min() < DARK and colours.max() > BRIGHT
    is_thin = is_binary and _is_thin(picture)
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    if 2 < len(colours) < FEW_COLOURS:
        way = cv2.INTER_NEAREST
    elif shrinks:
        way = cv2.INTER_AREA
    else:
        way = cv2.INTER_CUBIC
    out = levels(cv2.resize(picture, size, interpolation=way))
    if not is_binary:
        return out
    grey = out.astype(np.float32).mean(axis=2).clip(0, 255).astype(np.uint8)
    if is_thin:
        grey = _ridges(grey)
    lines = levels(cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1])
    return whole(_thinned(lines, spurs=shrinks) if is_thin else lines)


def perfect_resolution(picture: tuple[int, int], target: tuple[int, int], mode: ResizeMode) -> int:
    """The resolution for a preprocessor at which its map needs no enlarging. Sizes: (width, height)."""
    factors = (target[0] / picture[0], target[1] / picture[1])
    factor = min(factors) if mode == "Resize and Fill" else max(factors)
    return round(min(picture) * factor)


def _is_thin(picture: Bytes) -> bool:
    """Whether more than half of what is white are lines of one pixel: they vanish in an opening."""
    opened = cv2.morphologyEx(picture, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    white, left = int((picture > 127).sum()), int((opened > 127).sum())
    return left * 2 < white


_DIRECTIONS = tuple(
    np.array(rows, np.uint8)
    for rows in (
        ((0, 0, 0), (1, 1, 1), (0, 0, 0)),
        ((0, 1, 0), (0, 1, 0), (0, 1, 0)),
        ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    )
)


def _ridges(grey: Bytes) -> Bytes:
    """Non-maximum suppression: what is the greatest in one of four directions stays."""
    kept = np.zeros_like(grey)
    for direction in _DIRECTIONS:
        np.putmask(kept, cv2.dilate(grey, direction) == grey, grey)
    return kept


_CORNERS = (
    np.array(((-1, -1, -1), (0, 1, 0), (1, 1, 1)), np.int32),
    np.array(((0, -1, -1), (1, 1, -1), (0, 1, 0)), np.int32),
)
_SPURS = (
    np.array(((-1, -1, -1), (-1, 1, -1), (0, 0, -1)), np.int32),
    np.array(((-1, -1, -1), (-1, 1, -1), (-1, 0, 0)), np.int32),
)
_TURNED = tuple(np.rot90(corner, turn).copy() for turn in range(4) for corner in _CORNERS)
_SPURS_TURNED = tuple(np.rot90(spur, turn).copy() for turn in range(4) for spur in _SPURS)


def _thinned(lines: Bytes, *, spurs: bool) -> Bytes:
    """Lines of one pixel, by hit-or-miss transforms until nothing changes; then once without their spurs, if not
    `spurs`.

    Gonzalez and Woods, Digital Image Processing, section 9.5.
    """
    while True:
        before = lines
        for kernel in _TURNED:
            lines = lines - levels(cv2.morphologyEx(lines, cv2.MORPH_HITMISS, kernel))
        if np.array_equal(lines, before):
            break
    for kernel in () if spurs else _SPURS_TURNED:
        lines = lines - levels(cv2.morphologyEx(lines, cv2.MORPH_HITMISS, kernel))
    return lines
