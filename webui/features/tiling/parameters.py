"""Pictures whose edges meet."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """On or off."""

    called: ClassVar[str] = "Tiling"
    field: ClassVar[str] = "override_settings"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls() if render.tiling else None
