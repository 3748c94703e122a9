"""What lies outside the mask stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.inpaint import cut_out
from webui.engine.sampling.masking import blended, firmly, kept
from webui.engine.sampling.types import Denoiser
from webui.engine.start import copy
from webui.features.inpainting.parameters import Params
from webui.registry import SamplerEntry


class Keeping(PassFeature):
    """The original outside the mask, at every noise level and in the end."""

    def __init__(self, mask: Tensor, original: Tensor, sampler: SamplerEntry) -> None:
        self.mask, self.original, self.sampler = mask, original, sampler

    def denoise(self, denoise: Denoiser) -> Denoiser:
        return kept(self.sampler, denoise, firmly(self.mask, self.original))

    def walk(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        return lambda: blended(run(), self.mask, self.original)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        this = context.this
        if this.start is None or this.start.mask is None or not this.keeps:
            return None
        return Keeping(this.start.mask, this.start.latents, this.sampler)

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        """The picture with the untouched part of the given one, and its mask, as the settings say."""
        wish, picture, mask, overlay = self.params, finished.picture, finished.mask, finished.overlay
        extras = list(finished.extras)
        if mask is not None and (wish.shows_mask or wish.saves_mask):
            extras.append(copy("mask", mask.convert("RGB"), shown=wish.shows_mask, saved=wish.saves_mask))
        if mask is not None and (wish.shows_composite or wish.saves_composite):
            made = overlay.placed(picture) if overlay is not None else picture
            composite = cut_out(made, mask)
            extras.append(copy("mask-composite", composite, shown=wish.shows_composite, saved=wish.saves_composite))
        return replace(finished, picture=overlay.over(picture) if overlay is not None else picture, extras=(*extras,))
