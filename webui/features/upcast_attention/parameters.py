"""Attention in 32 bits, for models whose scores overflow in 16 (SD 2.1)."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """On or off."""

    called: ClassVar[str] = "Upcast attention"
    field: ClassVar[str] = "override_settings"
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls() if render.upcast_attn else None
