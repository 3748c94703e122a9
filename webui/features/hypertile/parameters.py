"""Hypertile: self-attention within tiles, for speed. Fernandes 2023, github.com/tfernd/HyperTile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.fields import Generation
from webui.request.settings import RenderSettings

if TYPE_CHECKING:
    from webui.request.plan import Picture, Plan

UNET = ("hypertile_max_depth_unet", "hypertile_max_tile_unet", "hypertile_swap_size_unet")
VAE = ("hypertile_max_tile_vae", "hypertile_swap_size_vae")


class Params(FeatureParams):
    """In which networks and passes there are tiles, and how large they are."""

    called: ClassVar[str] = "Hypertile"
    field: ClassVar[str] = "override_settings"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    first: bool = False
    second: bool = False
    vae: bool = False
    depth: int = 3
    """The lowest level of the UNet with tiles; 0 is the highest resolution."""
    tile: int = 256
    """In pixels."""
    swap: int = 3
    """How many sizes take turns."""
    vae_tile: int = 128
    vae_swap: int = 3

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        first = render.hypertile_enable_unet
        second = request.hires is not None and (first or render.hypertile_enable_unet_secondpass)
        if not (first or second or render.hypertile_enable_vae):
            return None
        return cls(
            first=first,
            second=second,
            vae=render.hypertile_enable_vae,
            depth=render.hypertile_max_depth_unet,
            tile=render.hypertile_max_tile_unet,
            swap=render.hypertile_swap_size_unet,
            vae_tile=render.hypertile_max_tile_vae,
            vae_swap=render.hypertile_swap_size_vae,
        )

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        render = picture.render
        names = [
            *(("hypertile_enable_unet",) if self.first else ()),
            *(("hypertile_enable_unet_secondpass",) if self.second else ()),
            *(UNET if self.first or self.second else ()),
            *(("hypertile_enable_vae", *VAE) if self.vae else ()),
        ]
        return {label: text for name in names for label, text in render.unusual(name).items()}
