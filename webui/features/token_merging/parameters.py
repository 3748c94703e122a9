"""Token merging: like tokens of self-attention are averaged, for speed. Bolya and Hoffman 2023, arXiv:2303.17604."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """The share of tokens that is merged, in the first pass and in the second."""

    called: ClassVar[str] = "Token merging"
    field: ClassVar[str] = "override_settings"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    switch_off: ClassVar[str] = "set Token merging to 0"
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    share: float = 0.0
    hires_share: float = 0.0

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        share = render.token_merging_ratio
        hires = (render.token_merging_ratio_hr or share) if request.hires else 0.0
        if request.is_img2img and "token_merging_ratio" not in request.override_settings:
            share = render.token_merging_ratio_img2img or share
        return cls(share=share, hires_share=hires) if share > 0 or hires > 0 else None
