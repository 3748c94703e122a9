"""The second pass of hires fix, as a request has it: how large it is, and what it does with."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class HiresSize:
    """To what the first pass is enlarged, in pixels; `cut_x` and `cut_y` in latent pixels."""

    width: int
    height: int
    cut_x: int = 0
    cut_y: int = 0
    """What is cut off the enlarged latents, half of it on each side."""


@dataclass(frozen=True)
class SecondPass:
    """What the second pass does with; what has nothing of its own is the first pass's."""

    width: int
    """Of the first pass, in pixels."""
    height: int
    scale: float
    """Holds where no target is given."""
    target_width: int
    """In pixels; 0: in proportion to the height."""
    target_height: int
    steps: int
    upscaler: str
    """Of latents or of pixels, by name."""
    strength: float
    """Denoising strength."""
    checkpoint: str
    """By name; "": the first pass's."""
    sampler_name: str
    scheduler: str
    prompt: str
    negative_prompt: str

    def size(self, factor: int = 8) -> HiresSize:
        """factor: pixels per latent pixel."""
        width, height, wide, high = self.width, self.height, self.target_width, self.target_height
        if not wide and not high:
            return HiresSize(int(width * self.scale), int(height * self.scale))
        if not high:
            return HiresSize(wide, wide * height // width)
        if not wide:
            return HiresSize(high * width // height, high)
        if width / height < wide / high:
            to_width, to_height = wide, wide * height // width
        else:
            to_width, to_height = high * width // height, high
        return HiresSize(to_width, to_height, (to_width - wide) // factor, (to_height - high) // factor)

    @property
    def pixels(self) -> int:
        """Of the finished picture."""
        size = self.size(1)
        return (size.width - size.cut_x) * (size.height - size.cut_y)


def old_first_size(width: int, height: int) -> tuple[int, int]:
    """The first pass's size where a request names the finished picture's (A1111 before 1.0): about 512 x 512 pixels,
    in steps of 64."""
    scale = math.sqrt(512 * 512 / (width * height))
    return math.ceil(scale * width / 64) * 64, math.ceil(scale * height / 64) * 64
