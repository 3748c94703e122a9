"""Perturbed-attention guidance. Ahn et al. 2024, arXiv:2403.17377."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """How strongly it guides."""

    called: ClassVar[str] = "Perturbed-attention guidance"
    field: ClassVar[str] = "pag_scale"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    switch_off: ClassVar[str] = "set Perturbed attention to 0"
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance", "network"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance",)

    scale: float = 0.0

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        return cls(scale=request.pag_scale) if request.pag_scale else None
