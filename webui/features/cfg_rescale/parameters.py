"""CFG rescale. Lin et al. 2023, arXiv:2305.08891, section 3.4."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """How much of it."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})
    after: ClassVar[tuple[str, ...]] = ("Adaptive projected guidance", "Perturbed attention", "Dynamic thresholding")

    share: float

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        return cls(share=request.cfg_rescale) if request.cfg_rescale else None
