"""What goes into a YOLO network, and what its answers mean, whoever carries it out.

Redmon et al. 2016, arXiv:1506.02640 (the idea); Bolya et al. 2019, arXiv:1904.02689 (masks as sums of prototypes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.engine.detectors.found import Detection, within
from webui.engine.detectors.regions import Bytes
from webui.engine.inpaint import Box

Floats = NDArray[np.float32]
SIDE = 640
"""Pixels of the longer side of what the networks look at, as they are trained."""
COARSEST = 32
"""Pixels of a picture that the coarsest of their answers stands for, along a side."""
GREY = 114
"""The level of what is put around a picture."""
SAME = 0.7
"""Two boxes of which so much is common (the part of their union) show the same thing."""
MOST = 300
"""Things in a picture."""
MOST_CANDIDATES = 3000
"""Boxes that are compared with each other."""
MASK_AT = 0.5


@dataclass(frozen=True, eq=False)
class Framed:
    """A picture as a network looks at it."""

    pixels: Floats
    """(1, 3, h, w), 0 to 1."""
    size: tuple[int, int]
    """(width, height) of the picture itself."""
    scale: tuple[float, float]
    """Pixels here for one there, across and down."""
    inner: Box
    """Where it lies in the frame."""


def framed(picture: Bytes, frame: tuple[int, int] | None = None) -> Framed:
    """The picture in its proportions, with grey around. frame: (width, height); None: as small as may be."""
    height, width = picture.shape[:2]
    across, down = frame or (SIDE, SIDE)
    factor = min(across / width, down / height)
    wide, high = (max(round(side * factor), 1) for side in (width, height))
    if frame is None:
        across, down = (-(-side // COARSEST) * COARSEST for side in (wide, high))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture, (wide, high), interpolation=way)
    left, top = (across - wide) // 2, (down - high) // 2
    whole = np.full((down, across, 3), GREY, np.uint8)
    whole[top : top + high, left : left + wide] = small
    pixels: Floats = np.ascontiguousarray(whole.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
    return Framed(pixels, (width, height), (wide / width, high / height), (left, top, left + wide, top + high))


@dataclass(frozen=True, eq=False)
class Answers:
    """Of a network, to one picture."""

    boxes: Floats
    """(n, 4): left, top, right, bottom in pixels of the frame."""
    scores: Floats
    """(n, classes), 0 to 1."""
    weights: Floats | None = None
    """(n, k): of the prototypes in the mask of each."""
    prototypes: Floats | None = None
    """(k, h, w)"""


def found_in(answers: Answers, frame: Framed, confidence: float, names: Mapping[int, str]) -> list[Detection]:
    """What is in the picture, the surest first, each thing once."""
    if not len(answers.boxes):
        return []
    kinds = answers.scores.argmax(axis=1)
    scores = answers.scores[np.arange(len(kinds)), kinds]
    sure = np.flatnonzero(scores >= confidence)
    sure = sure[np.argsort(-scores[sure], kind="stable")][:MOST_CANDIDATES]
    found = []
    for index in _each_once(answers.boxes[sure], kinds[sure]):
        at = sure[index]
        thing = _thing(answers, int(at), frame, float(scores[at]), names.get(int(kinds[at]), ""))
        if thing is not None:
            found.append(thing)
    return found


def _thing(answers: Answers, at: int, frame: Framed, score: float, label: str) -> Detection | None:
    left, top, *_ = frame.inner
    x0, y0, x1, y1 = (float(each) for each in answers.boxes[at])
    across, down = frame.scale
    box = within(((x0 - left) / across, (y0 - top) / down, (x1 - left) / across, (y1 - top) / down), frame.size)
    if box is None:
        return None
    if answers.weights is None or answers.prototypes is None:
        return Detection(box, score, label)
    shape = _shape(answers.weights[at], answers.prototypes, frame, box)
    return Detection(box, score, label, shape) if shape.any() else None


def _shape(weights: Floats, prototypes: Floats, frame: Framed, box: Box) -> Bytes:
    """(h, w) of the box: 255 where the sum of the prototypes says that the thing is."""
    height, width = frame.pixels.shape[2:]
    high, wide = prototypes.shape[1:]
    summed = np.tensordot(weights, prototypes, axes=1)
    levels = (1 / (1 + np.exp(-np.clip(summed, -60, 60)))).astype(np.float32)
    # For each pixel of the box, where it lies among the prototypes' pixels.
    left, top, right, bottom = box
    x = ((np.arange(left, right) + 0.5) * frame.scale[0] + frame.inner[0]) * wide / width - 0.5
    y = ((np.arange(top, bottom) + 0.5) * frame.scale[1] + frame.inner[1]) * high / height - 0.5
    there = [each.astype(np.float32) for each in np.meshgrid(x, y)]
    seen = cv2.remap(levels, there[0], there[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(seen > MASK_AT, 255, 0).astype(np.uint8)


def _each_once(boxes: Floats, kinds: NDArray[np.intp]) -> list[int]:
    """Without those that show the same thing of the same kind as a surer one; they come in the order of sureness."""
    kept: list[int] = []
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    left = np.arange(len(boxes))
    while len(left) and len(kept) < MOST:
        first, left = left[0], left[1:]
        kept.append(int(first))
        corner = np.maximum(boxes[first, :2], boxes[left, :2])
        other = np.minimum(boxes[first, 2:], boxes[left, 2:])
        common = np.prod(np.clip(other - corner, 0, None), axis=1)
        union = areas[first] + areas[left] - common
        left = left[(common <= SAME * union) | (kinds[left] != kinds[first])]
    return kept


def as_pixels(picture: Image.Image) -> Bytes:
    """(h, w, 3), RGB; what is transparent is white."""
    if picture.mode not in ("RGB", "L"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture)
        picture = ground
    return np.asarray(picture.convert("RGB"))
