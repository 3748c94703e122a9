"""From a plan to pictures: the page to read first.

A plan's batches are made one after the other. A batch walks from noise to latents (`passes.denoised`), its latents are
decoded one by one, and each picture leaves as soon as it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Protocol

from webui import registry
from webui.engine.batch import Batch, Denoised, Loaded, Pass, Studio
from webui.engine.conditioning import TextCache
from webui.engine.families.diffusers_pipeline import PipelineModel
from webui.engine.finished import finish, pictured
from webui.engine.levels import picture_of
from webui.engine.memory_plan import Use, Work
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.passes import Features, denoised, features_of, shaped
from webui.engine.planned import SAMPLED, planned
from webui.engine.previews import as_chosen
from webui.engine.sampling.course import img2img_steps
from webui.engine.small_vae import SmallVaes
from webui.engine.start import Beginning, Beginnings, blank_conditioning
from webui.engine.upscalers.models import UpscalerShelf
from webui.engine.upscalers.resize import UPSCALERS, Enlarge
from webui.engine.vae import decoded
from webui.engine.watch import Skipped, Watch
from webui.engine.whole import whole_pictures
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Pictured
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings


class Lender(Protocol):
    """Who lends models: `ModelManager`."""

    def lend(
        self, checkpoint: CheckpointRef, vae: CheckpointRef | None, use: Use
    ) -> AbstractContextManager[Loaded]: ...


def pictures(
    plan: Plan,
    models: Lender,
    cache: TextCache,
    shelf: EmbeddingShelf,
    watch: Watch,
    upscalers: UpscalerShelf | None = None,
    small_vaes: SmallVaes | None = None,
) -> Iterator[Pictured]:
    """Every picture of the plan, in order, as soon as it is finished.

    Raises:
        Interrupted: the user stopped the job; what was finished has been given out.
        WebuiError: it cannot be done; the text is for the person.
    """
    embeddings = shelf.read(plan.embeddings)
    beginnings = Beginnings(plan.images, watch)
    small = small_vaes or SmallVaes()
    previewer = partial(as_chosen, viewing=watch.viewing, small=partial(small.half, side="decoder"))
    for number, together in enumerate(plan.batches):
        if watch.cancel.ends_now:
            watch.cancel.check()
            return
        watch.begin_batch(number)
        for cause in shelf.missed(prompts_of(together)):
            watch.remark(f"An embedding is left out: {cause}")
        for name in together[0].request.features:
            if registry.feature(name) is None:
                watch.remark(f"There is no feature {name!r} here: it was left out.")
        with ExitStack() as loans:
            batch, features = Batch(together), features_of(together[0])
            around = partial(small.around, render=batch.render, note=batch.facts.note, remark=watch.remark)
            lend = partial(_lent, loans, models, plan.vae, use_of(together, features), around, features)
            enlargers = _enlargers(plan, upscalers, batch.render, watch)
            studio = Studio(watch, cache, embeddings, previewer, plan, lend, plan.networks, enlargers)
            try:
                yield from _batch_pictures(features, batch, plan, beginnings, studio)
            except Skipped:
                continue


def _lent(
    loans: ExitStack,
    models: Lender,
    vae: CheckpointRef | None,
    use: Use,
    around: Callable[[Loaded], Loaded],
    features: Features,
    checkpoint: CheckpointRef,
) -> Loaded:
    loaded = loans.enter_context(models.lend(checkpoint, vae, use))
    if "vae" in loaded.model.parts:
        for feature in features:
            loans.enter_context(feature.patch_vae(loaded.model.parts["vae"]))
    return around(loaded)


def prompts_of(pictures: tuple[Picture, ...]) -> Iterator[str]:
    """Everything that is read as a prompt."""
    for picture in pictures:
        request = picture.request
        yield from (request.prompt, request.negative_prompt)
        if isinstance(request, Txt2Img):
            yield from (request.hr_prompt, request.hr_negative_prompt)


def use_of(pictures: tuple[Picture, ...], features: Features) -> Use:
    """What a batch needs its models for."""
    request, render = pictures[0].request, pictures[0].render
    width, height = request.width, request.height
    for feature in features:
        width, height = feature.params.sized(width, height)
    rows = len(pictures) * (1 if request.cfg_scale == 1.0 or not render.batch_cond_uncond else 2)
    needs = tuple(need for feature in features for need in feature.params.wanted())
    return Use(Work(width, height, rows), render.fp8_storage, render.cache_fp16_weight, needs)


def _enlargers(plan: Plan, shelf: UpscalerShelf | None, render: RenderSettings, watch: Watch) -> dict[str, Enlarge]:
    """What enlarges pixels, by the name in the request."""
    if shelf is None:
        return dict(UPSCALERS)
    tile, overlap = render.upscaler_tile, render.upscaler_tile_overlap
    return shelf.enlargers(plan.upscalers, tile, overlap, lambda _done, _of: watch.check())


def _batch_pictures(
    features: Features, batch: Batch, plan: Plan, beginnings: Beginnings, studio: Studio
) -> Iterator[Pictured]:
    watch = studio.watch
    loaded = studio.lend(plan.checkpoint)
    if isinstance(loaded.model, PipelineModel):
        yield from whole_pictures(features, batch, loaded.model, beginnings, watch)
        return
    beginning: Beginning | None = None
    if isinstance(batch.request, Img2Img):
        beginning = beginnings.of(batch, loaded.model)
        last = image_pass(features, batch, loaded, beginning, studio)
    else:
        last = first_pass(features, batch, loaded, studio)
    watch.enter("decoding", SAMPLED, 1.0)
    for index, (picture, latent) in enumerate(zip(batch.pictures, last.latents, strict=True)):
        watch.check()
        made = picture_of(decoded(last.loaded.model, latent[None], batch.render, watch))
        finished = finish(features, made, index, batch, watch, latent, beginning)
        watch.step(index + 1, len(batch.pictures))
        yield pictured(picture, finished, half_done=not last.whole)


# ---------------------------------------------------------------- passes


def first_pass(features: Features, batch: Batch, loaded: Loaded, studio: Studio) -> Denoised:
    """Text to latents (b, c, h, w)."""
    this = shaped(features, planned(batch), loaded)
    concat = blank_conditioning(loaded.model, batch.posteriors, *this.size, batch.render, studio.watch)
    if concat is not None:
        batch.facts.note("Conditional mask weight", batch.render.inpainting_mask_weight)
    return passed(features, batch, replace(this, concat=concat), loaded, studio)


def image_pass(features: Features, batch: Batch, loaded: Loaded, beginning: Beginning, studio: Studio) -> Denoised:
    """Picture and text to latents (b, c, h, w)."""
    request, start = batch.request, beginning.start
    steps, t_enc = img2img_steps(request.steps, request.denoising_strength, fix=batch.render.img2img_fix_steps)
    this = replace(planned(batch), steps=steps, t_enc=t_enc, start=start, concat=start.concat)
    return passed(features, batch, shaped(features, this, loaded), loaded, studio)


def passed(features: Features, batch: Batch, this: Pass, loaded: Loaded, studio: Studio) -> Denoised:
    """A pass, and those that features make of its result, one after the other."""
    last = denoised(features, batch, this, loaded, studio)
    for feature in features:
        further = feature.then(last, this, loaded, batch, studio) if last.whole else None
        if further is not None:
            loaded = further.loaded
            this = shaped(features, further.this, loaded)
            last = denoised(features, batch, this, loaded, studio)
    return last
