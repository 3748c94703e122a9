"""A result with the colours of the picture that it was made of."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """Whether the picture before it is kept."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})
    after: ClassVar[tuple[str, ...]] = ("Face restoration", "Soft inpainting")

    keeps_before: bool = False

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if not render.img2img_color_correction:
            return None
        return cls(keeps_before=render.save_images_before_color_correction)
