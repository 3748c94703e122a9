"""Dynamic thresholding. Saharia et al. 2022 (Imagen), arXiv:2205.11487, section 2.3."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider


class Params(FeatureParams):
    """The range, and how much of the values must lie in it."""

    title: ClassVar[str] = "Dynamic thresholding"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"mimic_scale": "mimic_scale", "threshold_percentile": "percentile"}
    )
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"mimic_scale": 0.0})
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance", "Perturbed attention")

    mimic_scale: Annotated[
        float,
        Slider(label="Mimic scale", ui="Mimic CFG scale", place=85, min=0, max=30, step=0.5, ge=0, absent=0.0),
    ] = 7.0
    """Dynamic thresholding: keeps colors in the range of this lower CFG scale; 0 turns it off."""
    percentile: Annotated[
        float,
        Slider(
            label="Threshold percentile",
            ui="Percentile",
            min=0.9,
            max=1,
            step=0.005,
            ge=0.5,
            le=1,
            absent=0.995,
        ),
    ] = 0.995
    """The percentile of values that are not clipped."""
