"""The film strip: what the network takes the picture for at each step, from noise to the end."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """On or off."""

    touches: ClassVar[frozenset[Touched]] = frozenset()
    after: ClassVar[tuple[str, ...]] = ("Inpainting",)

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls() if request.show_film else None
