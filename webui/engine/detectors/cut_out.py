"""A picture without its background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from webui.engine.detectors.detectors import Detectors
from webui.engine.upscalers.transparency import apart


def cut_out(picture: Image.Image, detectors: Detectors) -> Image.Image:
    """RGBA: what stands out. What was transparent stays so.

    Raises:
        ModelError: the network was not fetched (the hint says how to), or cannot be opened.
        OutOfMemory: there is no room for it.
    """
    rgb, alpha = apart(picture)
    mask = Image.fromarray(detectors.subject_mask(np.array(rgb.convert("RGB"))))
    found = rgb.convert("RGB")
    found.putalpha(mask if alpha is None else ImageChops.multiply(mask, alpha))
    return found
