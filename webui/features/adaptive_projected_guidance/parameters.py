"""Adaptive projected guidance. Sadat et al. 2024, arXiv:2410.02416."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """The request's fields of these names explain them."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})

    eta: float = 0.0
    threshold: float = 15.0
    momentum: float = -0.5

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        if not request.apg:
            return None
        return cls(eta=request.apg_eta, threshold=request.apg_threshold, momentum=request.apg_momentum)
