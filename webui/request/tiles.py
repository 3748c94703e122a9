"""In which tiles upscaler models see a picture: by the kind of network, as A1111's settings have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webui.request.settings import RenderSettings

SWINIR, DAT, SCUNET, OTHER = "SwinIR", "DAT", "ScuNET", ""
"""Kinds of networks; the last: every other one."""


@dataclass(frozen=True)
class TileSize:
    """How large they are, in the pixels of the picture that is enlarged."""

    side: int = 192
    """0: the picture as a whole."""
    overlap: int = 8
    """At least so many pixels are in both of two neighbours."""


WHOLE = TileSize(0, 0)
"""None."""


def tiles_of(render: RenderSettings) -> Mapping[str, TileSize]:
    """By the kinds of networks."""
    return {
        SWINIR: TileSize(render.swinir_tile, render.swinir_tile_overlap),
        DAT: TileSize(render.dat_tile, render.dat_tile_overlap),
        SCUNET: TileSize(render.scunet_tile, render.scunet_tile_overlap),
        OTHER: TileSize(render.upscaler_tile, render.upscaler_tile_overlap),
    }
