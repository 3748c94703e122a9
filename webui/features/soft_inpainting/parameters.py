"""Soft inpainting: the given picture comes back where its latents have hardly changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.params import Slider, Toggle

if TYPE_CHECKING:
    from webui.request.fields import Generation


def _is_masked(request: Generation) -> bool:
    return bool(request.masked_by)


class Params(FeatureParams):
    """A1111's names; its values are the defaults."""

    title: ClassVar[str] = "Soft inpainting"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "soft_inpainting": "on",
            "soft_schedule_bias": "schedule_bias",
            "soft_preservation": "preservation",
            "soft_contrast_boost": "contrast_boost",
            "soft_mask_influence": "mask_influence",
            "soft_difference_threshold": "difference_threshold",
            "soft_difference_contrast": "difference_contrast",
        }
    )
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"on": False})
    switch: ClassVar[str] = "on"
    field: ClassVar[str] = "soft_inpainting"
    touches: ClassVar[frozenset[Touched]] = frozenset({"latents", "picture"})
    softens_mask: ClassVar[bool] = True
    after: ClassVar[tuple[str, ...]] = ("Face restoration",)

    on: Annotated[
        bool, Toggle(label="Soft inpainting enabled", ui="Soft inpainting", place=75, absent=False, when=_is_masked)
    ] = True
    """Blends the result into the original according to how much it changed; works best with a soft mask (Mask blur)."""
    schedule_bias: Annotated[
        float,
        Slider(
            label="Soft inpainting schedule bias",
            ui="Schedule bias",
            min=0,
            max=8,
            step=0.1,
            ge=0,
            absent=1.0,
            when=_is_masked,
        ),
    ] = 1.0
    """Below 1, the original is preserved from the first steps on; above 1, mainly in the last steps."""
    preservation: Annotated[
        float,
        Slider(
            label="Soft inpainting preservation strength",
            ui="Preservation strength",
            min=0,
            max=8,
            step=0.05,
            ge=0,
            absent=0.5,
            when=_is_masked,
        ),
    ] = 0.5
    """How strongly partially masked content is preserved."""
    contrast_boost: Annotated[
        float,
        Slider(
            label="Soft inpainting transition contrast boost",
            ui="Transition contrast boost",
            min=1,
            max=32,
            step=0.5,
            ge=0.1,
            absent=4.0,
            when=_is_masked,
        ),
    ] = 4.0
    """Preserves contrast where the original and the new content are blended; 1 is no boost."""
    mask_influence: Annotated[
        float,
        Slider(
            label="Soft inpainting mask influence",
            ui="Mask influence",
            min=0,
            max=1,
            step=0.05,
            ge=0,
            le=1,
            absent=0.0,
            when=_is_masked,
        ),
    ] = 0.0
    """How much the mask, rather than the difference alone, decides where the original is restored."""
    difference_threshold: Annotated[
        float,
        Slider(
            label="Soft inpainting difference threshold",
            ui="Difference threshold",
            min=0,
            max=8,
            step=0.25,
            ge=0,
            absent=0.5,
            when=_is_masked,
        ),
    ] = 0.5
    """How much a pixel may change before the original is no longer restored."""
    difference_contrast: Annotated[
        float,
        Slider(
            label="Soft inpainting difference contrast",
            ui="Difference contrast",
            min=0,
            max=8,
            step=0.25,
            ge=0,
            absent=2.0,
            when=_is_masked,
        ),
    ] = 2.0
    """The sharpness of the transition to the original."""
