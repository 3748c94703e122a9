"""What was painted anew joins what is around it: no box is left where its brightness or its colours are others.

A LoRA, or another checkpoint, may shift all of a part's colours. How much, is measured along the inside of the seam, by
the median, which leaves out what has another shape there; it is taken back at the seam and less and less further in.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

RING = 6.0
"""Pixels, of depth, along which the shift is measured."""
FEWEST = 32
"""Pixels that it is measured by."""
LEAST = 1.0
"""Levels; what is smaller is not seen."""
INSIDE = 0.5
"""The share of the way to the middle within which it is taken back."""


def matched(painted: Image.Image, before: Image.Image, mask: Image.Image, blur: float) -> Image.Image:
    """The painted picture, whose colours at the seam are those of the picture before. RGB, all of one size.

    mask: white where it was painted, L; blur: of its edge, in pixels. Nothing changes where nothing was painted.
    """
    inside = (np.asarray(mask.convert("L")) >= 128).astype(np.uint8)
    depth = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)
    start, deepest = 2 * blur, float(depth.max())
    ring = (depth > start) & (depth <= start + RING)
    if ring.sum() < FEWEST:
        return painted
    new, old = (np.asarray(each.convert("RGB"), np.float32) for each in (painted, before))
    shift = np.median(new[ring] - old[ring], axis=0)
    if np.abs(shift).max() < LEAST:
        return painted
    further = ((depth - start) / max((deepest - start) * INSIDE, 1.0)).clip(0, 1)
    soft = inside.astype(np.float32)
    if blur:
        soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), blur), np.float32)
    weight = soft * (1 - further * further * (3 - 2 * further)) * (new != old).any(2)
    made = new - weight[..., None] * shift
    return Image.fromarray(made.round().clip(0, 255).astype(np.uint8))
