"""An upscaler without a model."""

from __future__ import annotations

from PIL import Image


def doubled(picture: Image.Image, _factor: float) -> Image.Image:
    """Every pixel four times."""
    return picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
