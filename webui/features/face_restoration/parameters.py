"""Faces mended by a restorer of the registry."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """Which restorer, and whether the picture before it is kept."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})

    model: str = ""
    """"" is the first."""
    keeps_before: bool = False

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if not render.face_restoration:
            return None
        return cls(model=render.face_restoration_model, keeps_before=render.save_images_before_face_restoration)
