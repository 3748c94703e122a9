"""Soft inpainting: the given picture comes back where its latents have hardly changed."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """The request's fields of these names explain them."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"latents", "picture"})
    after: ClassVar[tuple[str, ...]] = ("Face restoration",)

    schedule_bias: float = 1.0
    preservation: float = 0.5
    contrast_boost: float = 4.0
    mask_influence: float = 0.0
    difference_threshold: float = 0.5
    difference_contrast: float = 2.0

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        if not isinstance(request, Img2Img) or not request.soft_inpainting:
            return None
        return cls(
            schedule_bias=request.soft_schedule_bias,
            preservation=request.soft_preservation,
            contrast_boost=request.soft_contrast_boost,
            mask_influence=request.soft_mask_influence,
            difference_threshold=request.soft_difference_threshold,
            difference_contrast=request.soft_difference_contrast,
        )
