"""Soft inpainting: the given picture comes back where its latents have hardly changed."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
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
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        given = request.from_picture
        if given is None or not given.soft_inpainting:
            return None
        return cls(
            schedule_bias=given.soft_schedule_bias,
            preservation=given.soft_preservation,
            contrast_boost=given.soft_contrast_boost,
            mask_influence=given.soft_mask_influence,
            difference_threshold=given.soft_difference_threshold,
            difference_contrast=given.soft_difference_contrast,
        )
