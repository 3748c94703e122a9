"""What lies outside the mask stays as it is, in latents and in pixels."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """What is given out beside the picture."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"latents", "picture"})
    after: ClassVar[tuple[str, ...]] = ("Face restoration", "Soft inpainting", "Colour correction")

    shows_mask: bool = False
    saves_mask: bool = False
    shows_composite: bool = False
    saves_composite: bool = False

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if not request.masked_by:
            return None
        return cls(
            shows_mask=render.return_mask,
            saves_mask=render.save_mask,
            shows_composite=render.return_mask_composite,
            saves_composite=render.save_mask_composite,
        )
