"""How large a picture becomes that is enlarged."""

from __future__ import annotations


def enlarged_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(width, height) in pixels of a picture enlarged by a factor: both sides are cut down to multiples of 8, as in
    A1111."""
    return int(size[0] * factor) // 8 * 8, int(size[1] * factor) // 8 * 8
