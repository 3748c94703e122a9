"""A feature that meets every hook, and draws the picture towards a grey."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.params import Slider
from webui.request.workload import Workload

if TYPE_CHECKING:
    from webui.request.plan import Picture, Resolving


class Params(FeatureParams):
    """How grey it gets."""

    title: ClassVar[str] = "Sample tint"
    aliases: ClassVar[tuple[str, ...]] = ("Sample script",)
    touches: ClassVar[frozenset[Touched]] = frozenset({"network", "guidance", "latents", "picture"})

    strength: Annotated[float, Slider(label="Sample strength", ui="Strength", min=0, max=1, ge=0, le=1)] = 0.5
    """0: not at all."""
    met: tuple[str, ...] = ()
    """The hooks of the server that were met."""

    def prepare(self, picture: Picture, stream: Random) -> Picture:
        """Write a colour in place of a word."""
        prompt = picture.request.prompt.replace("__colour__", stream.choice(["red"]))
        return replace(picture, request=picture.request.changed(prompt=prompt))

    def resolve(self, resolving: Resolving) -> Self:
        return self.changed(met=(*self.met, "resolve"))

    def cost(self, work: Workload) -> Workload:
        return work
