"""What a detector finds in a picture: boxes with scores and, where it has them, shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from webui.engine.detectors.regions import Bytes
from webui.engine.inpaint import Box


@dataclass(frozen=True, eq=False)
class Detection:
    """One thing in a picture."""

    box: Box
    """In pixels of the picture, and within it."""
    score: float
    """0 to 1."""
    label: str = ""
    """What it is; "": the detector does not say."""
    shape: Bytes | None = None
    """(h, w) of the box, 255 where the thing is; None: the detector tells no more than the box."""

    def mask(self, size: tuple[int, int]) -> Image.Image:
        """White where it is, 8 bits. size: (width, height) of the picture."""
        mask = Image.new("L", size, 0)
        if self.shape is None:
            mask.paste(255, self.box)
        else:
            mask.paste(Image.fromarray(self.shape), self.box[:2])
        return mask


def within(corners: tuple[float, float, float, float], size: tuple[int, int]) -> Box | None:
    """The pixels of a picture, (width, height), that a box of any numbers covers; None: nothing of it."""
    if not np.isfinite(corners).all():
        return None
    left, top, right, bottom = corners
    width, height = size
    found = (
        int(np.clip(np.floor(left), 0, width)),
        int(np.clip(np.floor(top), 0, height)),
        int(np.clip(np.ceil(right), 0, width)),
        int(np.clip(np.ceil(bottom), 0, height)),
    )
    return found if found[0] < found[2] and found[1] < found[3] else None
