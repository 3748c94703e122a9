"""Dynamic thresholding. Saharia et al. 2022 (Imagen), arXiv:2205.11487, section 2.3."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """The request's fields of these names explain them."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance", "Perturbed attention")

    mimic_scale: float
    percentile: float = 0.995

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        if not request.mimic_scale:
            return None
        return cls(mimic_scale=request.mimic_scale, percentile=request.threshold_percentile)
