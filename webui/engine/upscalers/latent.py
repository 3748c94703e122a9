"""Enlarging latents by interpolation, for the hires pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import interpolate


class Interpolation(NamedTuple):
    mode: str
    antialias: bool = False


MODES: Mapping[str, Interpolation] = {
    "Latent": Interpolation("bilinear"),
    "Latent (antialiased)": Interpolation("bilinear", True),
    "Latent (bicubic)": Interpolation("bicubic"),
    "Latent (bicubic antialiased)": Interpolation("bicubic", True),
    "Latent (nearest)": Interpolation("nearest"),
    "Latent (nearest-exact)": Interpolation("nearest-exact"),
}


def enlarged_latents(latents: Tensor, height: int, width: int, mode: Interpolation) -> Tensor:
    """(b, c, h, w) -> (b, c, height, width)."""
    return interpolate(latents, size=(height, width), mode=mode.mode, antialias=mode.antialias)
