"""A second checkpoint that takes over during sampling."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Role
from webui.request.fields import CHECKPOINT, Generation
from webui.request.params import Choice, Slider, by_name
from webui.request.settings import RenderSettings

if TYPE_CHECKING:
    from webui.request.plan import Picture, Plan, Resolving

ROLE = Role("the refiner", "refiner_checkpoint")


def _acts(request: Generation) -> bool:
    values = by_name(request.features.get(Params.title))
    return bool(values) and Params.made(**values).takes_over


class Params(FeatureParams):
    """Which checkpoint, and when; in which pass is a setting."""

    title: ClassVar[str] = "Refiner"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"refiner_checkpoint": "checkpoint", "refiner_switch_at": "switch_at"}
    )
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"checkpoint": "", "switch_at": 0.8})
    by_fields: ClassVar[bool] = True
    called: ClassVar[str] = "The refiner"
    field: ClassVar[str] = ROLE.field
    after: ClassVar[tuple[str, ...]] = ("LoRA", "Hypernetworks", "Token merging", "Tiling")
    touches: ClassVar[frozenset[Touched]] = frozenset({"text"})

    checkpoint: Annotated[
        str,
        Choice(
            label="Refiner",
            ui="Refiner checkpoint",
            place=70,
            source="checkpoints_or_none",
            absent="",
            when=_acts,
            codec=CHECKPOINT,
            cost=1.0,
        ),
    ] = ""
    """A second checkpoint that takes over during sampling."""
    switch_at: Annotated[
        float,
        Slider(
            label="Refiner switch at",
            ui="Switch at",
            min=0.01,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            absent=0.8,
            when=_acts,
        ),
    ] = 0.8
    """The fraction of the sampling after which the refiner takes over."""
    by_steps: bool = False
    """By the share of calls, not by the timestep."""
    passes: str = "both passes"
    partner: int = -1
    """Its place in `Plan.partners`."""

    @property
    def takes_over(self) -> bool:
        return self.checkpoint not in ("", "None", "none") and 0 < self.switch_at < 1

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        asked = super().of(request, render)
        if asked is None or not asked.takes_over:
            return None
        return asked.changed(
            by_steps=render.refiner_switch_by_sample_steps,
            passes=render.hires_fix_refiner_pass if request.hires else "both passes",
        )

    def resolve(self, resolving: Resolving) -> Self:
        return self.changed(partner=resolving.partner(self.checkpoint, ROLE))

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        render = picture.render
        return {
            "Refiner": plan.partners[self.partner].short_title,
            **render.unusual("refiner_switch_by_sample_steps"),
            **(render.unusual("hires_fix_refiner_pass") if picture.request.hires else {}),
        }
