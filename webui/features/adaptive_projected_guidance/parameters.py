"""Adaptive projected guidance. Sadat et al. 2024, arXiv:2410.02416."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider, Toggle


class Params(FeatureParams):
    """The paper's names; its values for SDXL are the defaults."""

    title: ClassVar[str] = "Adaptive projected guidance"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"apg": "on", "apg_eta": "eta", "apg_threshold": "threshold", "apg_momentum": "momentum"}
    )
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"on": False})
    switch: ClassVar[str] = "on"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})

    on: Annotated[bool, Toggle(label="APG", ui="Adaptive projected guidance", place=85, absent=False)] = True
    """Adaptive projected guidance: allows high CFG scales without oversaturated colors."""
    eta: Annotated[
        float,
        Slider(label="APG eta", ui="Parallel share", min=0, max=1, step=0.05, ge=0, absent=0.0),
    ] = 0.0
    """How much of the guidance parallel to the prediction is kept; 1 keeps all of it."""
    threshold: Annotated[
        float,
        Slider(label="APG norm threshold", ui="Norm threshold", min=0, max=50, step=0.5, ge=0, absent=15.0),
    ] = 15.0
    """The maximum norm of the guidance; 0 means no limit."""
    momentum: Annotated[
        float,
        Slider(label="APG momentum", ui="Momentum", min=-1, max=1, step=0.05, ge=-1, le=1, absent=-0.5),
    ] = -0.5
    """The weight of the guidance of earlier steps; negative values push away from it."""
