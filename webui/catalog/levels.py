"""Grey pictures of more than 8 bits, made such that Pillow's conversions keep what they show."""

from __future__ import annotations

import math

from PIL import Image

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Pillow's grey modes beyond 8 bits: on the way to RGB it cuts them off at 255."""


def eight_bit(image: Image.Image) -> Image.Image:
    """The picture in levels of 0 to 255, where it is grey with more of them; any other as it is.

    16 bits reach to 65535. How far numbers of 32 bits reach no file says: to 1 (real ones only), 255, 65535, or as far
    as they do.
    """
    if image.mode not in _DEEP:
        return image
    levels = image.convert("F")
    low, high = levels.getextrema()
    if not isinstance(low, float) or not isinstance(high, float) or not math.isfinite(high - low):
        levels, high = Image.new("F", image.size), 0.0
    tops = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}.get(image.mode, (65535.0,))
    top = next((top for top in tops if high <= top), high)
    made = levels.point(lambda level: level * (255.0 / top) + 0.5).convert("L")
    made.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return made
