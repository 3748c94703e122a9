"""A second checkpoint that takes over during sampling."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """When, and in which pass; the plan knows the checkpoint."""

    after: ClassVar[tuple[str, ...]] = ("LoRA", "Hypernetworks", "Token merging", "Tiling")
    touches: ClassVar[frozenset[Touched]] = frozenset({"text"})

    switch_at: float = 0.8
    by_steps: bool = False
    """By the share of calls, not by the timestep."""
    passes: str = "both passes"

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if not request.has_refiner:
            return None
        return cls(
            switch_at=request.refiner_switch_at,
            by_steps=render.refiner_switch_by_sample_steps,
            passes=render.hires_fix_refiner_pass if request.hires else "both passes",
        )
