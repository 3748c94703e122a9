"""Hires. fix: the picture small first, enlarged, and denoised again at full size."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.hires import SecondPass
from webui.request.settings import RenderSettings
from webui.request.workload import Workload


class Params(FeatureParams):
    """What the request says of its second pass."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"latents"})

    hires: SecondPass

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls(hires=request.hires) if request.hires else None

    def cost(self, work: Workload) -> Workload:
        size = self.hires.size()
        return replace(work, width=max(work.width, size.width), height=max(work.height, size.height), seen=0)
