"""The finished picture without its background."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from webui.base.errors import NotFound
from webui.features.feature import FeatureParams, Touched
from webui.request.cutting import (
    PACKAGED,
    AlphaMatting,
    BackgroundThreshold,
    Cutting,
    Edge,
    ErodeSize,
    ForegroundThreshold,
)
from webui.request.params import Choice, always
from webui.request.plan import Resolving


class Params(FeatureParams):
    """Keeps what stands out, and makes everything around it transparent."""

    title: ClassVar[str] = "Remove background"
    aliases: ClassVar[tuple[str, ...]] = ("Rembg",)
    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})
    after: ClassVar[tuple[str, ...]] = ("Face restoration", "Colour correction", "Inpainting", "Film", "ADetailer")

    model: Annotated[
        str, Choice(label="Background model", ui="Background model", source="cut_out_models", when=always)
    ] = PACKAGED
    """The network that finds the subject: the included one, or a file in models/rembg."""
    alpha_matting: AlphaMatting = False
    """Makes out the edges hair by hair, and takes the background's color out of them. Takes longer."""
    alpha_matting_foreground_threshold: ForegroundThreshold = 240
    """Above this level of the mask, a pixel is surely the subject's."""
    alpha_matting_background_threshold: BackgroundThreshold = 10
    """Below this level, it is surely not."""
    alpha_matting_erode_size: ErodeSize = 10
    """By how many pixels what is sure shrinks: the width within which edges are looked for."""
    cutting: Cutting | None = None
    """What these come to."""

    def resolve(self, resolving: Resolving) -> Self:
        """Raises NotFound: there is no such network."""
        edge = Edge(
            self.alpha_matting_foreground_threshold,
            self.alpha_matting_background_threshold,
            self.alpha_matting_erode_size,
        )
        try:
            cutting = resolving.names.cutting(self.model, edge if self.alpha_matting else None)
        except NotFound as error:
            raise NotFound(f"Remove background: {error.message}", hint=error.hint, field="features") from error
        if cutting.remark:
            resolving.remark(cutting.remark)
        return self.model_copy(update={"cutting": cutting})
