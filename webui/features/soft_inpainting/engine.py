"""Soft inpainting: a soft mask in the denoiser, and an overlay of what has hardly changed."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from webui.engine.batch import Loaded, Pass, Start
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.inpaint import overlay_of
from webui.engine.sampling.masking import Softness, kept, softly
from webui.engine.sampling.types import Denoiser
from webui.features.soft_inpainting.overlay import Differences, changed_part, uncropped
from webui.features.soft_inpainting.parameters import Params
from webui.registry import SamplerEntry


class SoftKeeping(PassFeature):
    """The original comes through as far as the mask and the noise level let it."""

    def __init__(self, start: Start, softness: Softness, sampler: SamplerEntry) -> None:
        self.start, self.softness, self.sampler = start, softness, sampler

    def denoise(self, denoise: Denoiser) -> Denoiser:
        assert self.start.mask is not None
        return kept(self.sampler, denoise, softly(self.start.mask, self.start.latents, self.softness))


class Engine(FeatureEngine[Params]):
    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        return replace(this, keeps=False)

    def begin(self, context: PassContext) -> PassFeature | None:
        start, wish = context.this.start, self.params
        if start is None or start.mask is None:
            return None
        softness = Softness(wish.schedule_bias, wish.preservation, wish.contrast_boost)
        return SoftKeeping(start, softness, context.this.sampler)

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        start, given = finished.start, finished.given
        if start is None or start.mask is None or given is None or given.whole is None:
            return finished
        mask = uncropped(self._mask(finished, start), given.whole.size, given.box)
        return replace(finished, mask=mask, overlay=overlay_of(given.whole, mask, given.box))

    def _mask(self, finished: FinishedPicture, start: Start) -> Image.Image:
        """White where the latents have changed."""
        assert start.mask is not None
        wish, request = self.params, finished.batch.request
        differences = Differences(wish.mask_influence, wish.difference_threshold, wish.difference_contrast)
        before, after = (x.float().cpu().numpy() for x in (start.latents[finished.index], finished.latent))
        mask = start.mask[0, 0].float().cpu().numpy()
        return changed_part(before, after, mask, differences, (request.width, request.height))
