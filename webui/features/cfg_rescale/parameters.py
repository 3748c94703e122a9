"""CFG rescale. Lin et al. 2023, arXiv:2305.08891, section 3.4."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider


class Params(FeatureParams):
    """How much of it."""

    title: ClassVar[str] = "CFG rescale"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType({"cfg_rescale": "share"})
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"share": 0.0})
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance", "Perturbed attention", "Dynamic thresholding")

    share: Annotated[float, Slider(label="CFG rescale", place=85, min=0, max=1, step=0.05, ge=0, le=1, absent=0.0)] = (
        0.7
    )
    """Reduces the overexposure caused by high guidance; 0.7 is recommended for v-prediction models."""
