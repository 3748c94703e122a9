"""Perturbed-attention guidance. Ahn et al. 2024, arXiv:2403.17377."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider


class Params(FeatureParams):
    """How strongly it guides."""

    title: ClassVar[str] = "Perturbed attention"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType({"pag_scale": "scale"})
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"scale": 0.0})
    called: ClassVar[str] = "Perturbed-attention guidance"
    field: ClassVar[str] = "pag_scale"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    switch_off: ClassVar[str] = "set Perturbed attention to 0"
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance", "network"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance",)

    scale: Annotated[
        float, Slider(label="PAG scale", ui="Perturbed attention", place=85, min=0, max=10, step=0.5, ge=0, absent=0.0)
    ] = 3.0
    """Perturbed-attention guidance: improves structure by steering away from a degraded prediction. 3 is typical;
    about 50 % slower."""
