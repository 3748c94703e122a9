"""Hires. fix: small latents become large ones, which are denoised again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui import registry
from webui.engine.batch import Batch, Denoised, Loaded, Pass, Services, Start
from webui.engine.conditioning import Timeline
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, FinishedPicture, Further
from webui.engine.levels import picture_of, to_levels
from webui.engine.planned import SAMPLED, planned, tags_of, text_of
from webui.engine.sampling.sigma_schedule import img2img_steps
from webui.engine.start import blank_conditioning, conditioning, copy, from_levels, made_before
from webui.engine.upscalers.latent import MODES, enlarged_latents
from webui.engine.upscalers.resize import Enlarge, scaled
from webui.engine.vae import decoded, encoded
from webui.engine.watch import Watch
from webui.features.hires.parameters import Params
from webui.request.capabilities import AFTER_HIRES
from webui.request.hires import HiresSize, SecondPass

FIRST_OF_TWO = 0.4
"""The share of the picture's work that its first pass takes."""


class Engine(FeatureEngine[Params]):
    """The second pass, with its own sampler, schedule, prompts and checkpoint where it has such."""

    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.before: list[Image.Image] = []
        """What the first pass has made, where it is wanted."""

    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        if this.phase == "hires":
            return this
        return replace(this, share=(0.0, FIRST_OF_TWO))

    def then(self, last: Denoised, this: Pass, loaded: Loaded, batch: Batch, services: Services) -> Further | None:
        if this.phase == "hires":
            return None
        render, watch, hires = batch.render, services.watch, self.params.hires
        small, latents = last.loaded.model, last.latents
        there = made_before(batch, services.plan.images) if services.plan is not None else ()
        if render.save_images_before_highres_fix and not there:
            self.before = [picture_of(decoded(small, latent[None], render, watch)) for latent in latents]
        own = services.plan.hires_checkpoint if services.plan is not None else None
        size = hires.size(loaded.model.latent.factor)
        mode = MODES.get(hires.upscaler)
        if own is not None:
            loaded = services.lend(own, AFTER_HIRES, latents=mode is not None)
        model = loaded.model
        factor = model.latent.factor
        pixels = None
        if mode is not None:
            large = enlarged_latents(latents, size.height // factor, size.width // factor, mode)
        else:
            if there:
                levels = torch.stack([torch.from_numpy(np.array(picture)) for picture in there])
            else:
                levels = torch.cat([to_levels(decoded(small, latent[None], render, watch)) for latent in latents])
            pixels = torch.cat([_enlarged(level, size, hires.upscaler, services.enlargers, model) for level in levels])
            large = torch.cat(
                [
                    encoded(model, picture[None], render, watch, posterior=posterior)
                    for picture, posterior in zip(pixels, batch.posteriors, strict=True)
                ]
            )
        top, left = size.cut_y // 2, size.cut_x // 2
        large = large[..., top : large.shape[2] - (size.cut_y + 1) // 2, left : large.shape[3] - (size.cut_x + 1) // 2]
        steps, t_enc = img2img_steps(hires.steps, hires.strength, requested=hires.steps)
        second = replace(
            planned_hires(batch, hires),
            steps=steps,
            t_enc=t_enc,
            start=Start(large),
            beside=partial(_seen_again, large=large, pixels=pixels, batch=batch, watch=watch),
            size=(size.width, size.height),
        )
        return Further(second, loaded)

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        if not self.before:
            return finished
        return replace(finished, extras=(*finished.extras, copy("before-highres-fix", self.before[finished.index])))


def planned_hires(batch: Batch, hires: SecondPass) -> Pass:
    """The second pass, with its own sampler, schedule and prompts where it has such."""
    first, render, request = planned(batch), batch.render, batch.request
    entry = registry.sampler(hires.sampler_name)
    asked = [picture.request.hires or hires for picture in batch.pictures]
    return replace(
        first,
        phase="hires",
        share=(FIRST_OF_TWO, SAMPLED),
        sampler=entry,
        schedule=registry.schedule(hires.scheduler),
        positive=tuple(text_of(own.prompt, render, networks=True) for own in asked),
        negative=tuple(text_of(own.negative_prompt, render) for own in asked),
        tagged=tuple(text_of(own.prompt, render) for own in asked),
        timeline=Timeline(first.timeline.steps, hires.steps * entry.calls_per_step, render.use_old_scheduling),
        networks=first.networks
        if render.hires_fix_use_firstpass_conds or request.disable_extra_networks
        else tags_of(hires.prompt, render),
    )


def _enlarged(
    level: Tensor, size: HiresSize, upscaler: str, enlargers: Mapping[str, Enlarge], model: PictureMaker
) -> Tensor:
    """(h, w, 3) uint8 -> (1, 3, h', w') in -1..1 at the second pass's size."""
    picture = scaled(Image.fromarray(level.numpy()), size.width, size.height, upscaler, enlargers)
    return from_levels(torch.from_numpy(np.array(picture))[None], model)


def _seen_again(
    model: PictureMaker, *, large: Tensor, pixels: Tensor | None, batch: Batch, watch: Watch
) -> Tensor | None:
    """What checkpoints with more input channels see in the second pass; None for others."""
    if model.input_channels == model.latent.channels:
        return None
    if pixels is None and batch.render.inpainting_mask_weight == 1.0:
        height, width = (side * model.latent.factor for side in large.shape[2:])
        return blank_conditioning(model, batch=batch, size=(width, height), watch=watch)
    if pixels is None:
        pixels = torch.cat([decoded(model, latent[None], batch.render, watch) for latent in large])
    return conditioning(model, pixels, large.shape[2:], None, batch, watch)
