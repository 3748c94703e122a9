"""What single-shot detectors say: boxes beside anchors, many for each thing; one is left of those that overlap.

Anchors and decoding as in MediaPipe (Apache-2.0): ssd_anchors_calculator and tensors_to_detections_calculator with
`fixed_anchor_size`; what overlaps is averaged by its scores, Bazarevsky et al. 2019, "BlazeFace", arXiv:1907.05047.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MOST_LOGIT = 80.0
SCORE, OVERLAP = 0.5, 0.3
"""Below the first nothing is found; beyond the second two are one."""


@cache
def anchors(size: int, strides: tuple[int, ...]) -> Array:
    """(n, 2): the middles of a detector's anchors, from 0 to 1. Each layer has two; layers of one stride are one."""
    found = []
    for stride in dict.fromkeys(strides):
        cells, each = -(-size // stride), 2 * strides.count(stride)
        middles = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        down, across = np.meshgrid(middles, middles, indexing="ij")
        found.append(np.repeat(np.stack([across.ravel(), down.ravel()], 1), each, 0))
    return np.concatenate(found)


def decoded(outputs: Iterable[Array], size: int, strides: tuple[int, ...], score: float = SCORE) -> list[Array]:
    """What is found, the surest first: each (score, left, top, right, bottom, x and y of its points), from 0 to 1.

    outputs: of the network, scores (1, n, 1) and boxes (1, n, 4 + 2 points), in any order.
    """
    logits, boxes = sorted((each.reshape(-1, each.shape[-1]) for each in outputs), key=lambda each: each.shape[1])
    sure = probability(logits[:, 0])
    chosen = np.flatnonzero(sure >= score)
    sizes, middles = boxes[chosen] / np.float32(size), anchors(size, strides)[chosen]
    placed = sizes + np.tile(middles, sizes.shape[1] // 2)
    x, y, wide, high = placed[:, 0], placed[:, 1], sizes[:, 2], sizes[:, 3]
    corners = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], 1)
    return suppressed(np.concatenate([sure[chosen, None], corners, placed[:, 4:]], 1).astype(np.float32))


def suppressed(found: Array, *, mixed: bool = True) -> list[Array]:
    """One of each heap that overlaps: the mean by their scores, or, not `mixed`, the surest."""
    left = found[np.argsort(-found[:, 0], kind="stable")]
    kept = []
    while len(left):
        near = overlaps(left[0, 1:5], left[:, 1:5]) > OVERLAP
        near[0] = True
        heap = left[near]
        best = heap[0].copy()
        if mixed:
            best[1:] = np.average(heap[:, 1:], axis=0, weights=heap[:, 0])
        kept.append(best)
        left = left[~near]
    return kept


def overlaps(box: Array, boxes: Array) -> Array:
    """Intersection over union of (left, top, right, bottom) with each of (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod((high - low).clip(0), axis=1)
    sizes = np.prod((boxes[:, 2:] - boxes[:, :2]).clip(0), axis=1) + np.prod((box[2:] - box[:2]).clip(0))
    return np.asarray(shared / np.maximum(sizes - shared, 1e-9), np.float32)


def probability(logits: Array) -> Array:
    """Numbers of any size -> from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-logits.clip(-MOST_LOGIT, MOST_LOGIT))), np.float32)
