"""From a plan to pictures: the page to read first.

A plan's batches are made one after the other. A batch walks from noise to latents (`passes.denoised`), its latents are
decoded one by one, and each picture leaves as soon as it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from webui import registry
from webui.engine.conditioning import TextCache, Timeline
from webui.engine.dressing import with_added
from webui.engine.faces import mended
from webui.engine.families.diffusers_pipeline import PipelineModel
from webui.engine.families.family import Model
from webui.engine.film import Film
from webui.engine.hires import HiresSize, hires_size
from webui.engine.memory_plan import Use, Work
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.passes import Batch, Denoised, Loaded, Pass, Start, Studio, denoised, merged_share, noise_of
from webui.engine.previews import as_chosen
from webui.engine.sampling.course import img2img_steps
from webui.engine.small_vae import SmallVaes
from webui.engine.start import Beginning, Beginnings, blank_conditioning, conditioning, copy, from_levels
from webui.engine.upscalers.latent import MODES, enlarged_latents
from webui.engine.upscalers.models import UpscalerShelf
from webui.engine.upscalers.resize import UPSCALERS, Enlarge, scaled
from webui.engine.vae import decoded, encoded
from webui.engine.watch import Skipped, Watch
from webui.engine.whole import whole_pictures
from webui.prompt.comments import strip_comments
from webui.prompt.networks import NetworkTag, extract_networks
from webui.request.fields import SAME_SAMPLER, SAME_SCHEDULE, Img2Img, Txt2Img
from webui.request.messages import Phase, Pictured
from webui.request.plan import CheckpointRef, Picture, Plan, added_networks
from webui.request.settings import RenderSettings

FIRST_OF_TWO = 0.4
"""The share of a hires picture's work that its first pass takes."""
SAMPLED = 0.95
"""The share after which only decoding is left."""


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
    for number, pictured in enumerate(plan.batches):
        if watch.cancel.ends_now:
            watch.cancel.check()
            return
        watch.begin_batch(number)
        for cause in shelf.missed(prompts_of(pictured)):
            watch.remark(f"An embedding is left out: {cause}")
        with ExitStack() as loans:
            batch = Batch(pictured, film=Film() if pictured[0].request.show_film else None)
            around = partial(small.around, render=batch.render, note=batch.facts.note, remark=watch.remark)
            lend = partial(_lent, loans, models, plan.vae, use_of(pictured), around)
            refiner = partial(lend, plan.refiner) if plan.refiner else None
            enlargers = _enlargers(plan, upscalers, batch.render, watch)
            studio = Studio(watch, cache, embeddings, previewer, refiner, plan.networks, enlargers)
            try:
                yield from _batch_pictures(batch, plan, lend, beginnings, studio)
            except Skipped:
                continue


def _lent(
    loans: ExitStack,
    models: Lender,
    vae: CheckpointRef | None,
    use: Use,
    around: Callable[[Loaded], Loaded],
    checkpoint: CheckpointRef,
) -> Loaded:
    return around(loans.enter_context(models.lend(checkpoint, vae, use)))


def prompts_of(pictures: tuple[Picture, ...]) -> Iterator[str]:
    """Everything that is read as a prompt."""
    for picture in pictures:
        request = picture.request
        yield from (request.prompt, request.negative_prompt)
        if isinstance(request, Txt2Img):
            yield from (request.hr_prompt, request.hr_negative_prompt)


def use_of(pictures: tuple[Picture, ...]) -> Use:
    """What a batch needs its models for."""
    request, render = pictures[0].request, pictures[0].render
    width, height = request.width, request.height
    if isinstance(request, Txt2Img) and request.enable_hr:
        hires = hires_size(request)
        width, height = max(width, hires.width), max(height, hires.height)
    rows = len(pictures) * (1 if request.cfg_scale == 1.0 or not render.batch_cond_uncond else 2)
    return Use(Work(width, height, rows), render.fp8_storage, render.cache_fp16_weight, _bends(pictures[0]))


def _bends(picture: Picture) -> tuple[str, ...]:
    """Of `families.family.BENDS`."""
    request, render = picture.request, picture.render
    phases: list[Phase] = ["sampling"]
    if isinstance(request, Txt2Img) and request.enable_hr:
        phases.append("hires")
    wished = {
        "pag_scale": bool(request.pag_scale),
        "token_merging": any(merged_share(request, render, phase) > 0 for phase in phases),
        "tiling": render.tiling,
    }
    return tuple(bend for bend, wanted in wished.items() if wanted)


def _enlargers(plan: Plan, shelf: UpscalerShelf | None, render: RenderSettings, watch: Watch) -> dict[str, Enlarge]:
    """What enlarges pixels, by the name in the request."""
    if shelf is None:
        return dict(UPSCALERS)
    tile, overlap = render.upscaler_tile, render.upscaler_tile_overlap
    return shelf.enlargers(plan.upscalers, tile, overlap, lambda _done, _of: watch.check())


def _batch_pictures(
    batch: Batch, plan: Plan, lend: Callable[[CheckpointRef], Loaded], beginnings: Beginnings, studio: Studio
) -> Iterator[Pictured]:
    watch, request = studio.watch, batch.request
    loaded = lend(plan.checkpoint)
    if isinstance(loaded.model, PipelineModel):
        yield from whole_pictures(batch, loaded.model, beginnings, watch)
        return
    beginning: Beginning | None = None
    before: list[Image.Image] = []
    if isinstance(request, Img2Img):
        beginning = beginnings.of(batch, loaded.model)
        made = image_pass(batch, loaded, beginning, studio)
    elif request.enable_hr:
        size = hires_size(request, loaded.model.latent.factor)
        made = first_pass(batch, loaded, size.first_width, size.first_height, studio, end=FIRST_OF_TWO)
        if made.whole:
            small = made.loaded.model
            if batch.render.save_images_before_highres_fix:
                before = [picture_of(decoded(small, latent[None], batch.render, watch)) for latent in made.latents]
            loaded = lend(plan.hires_checkpoint) if plan.hires_checkpoint else loaded
            made = hires_pass(batch, small, loaded, made.latents, size, studio)
    else:
        made = first_pass(batch, loaded, request.width, request.height, studio)
    loaded = made.loaded
    watch.enter("decoding", SAMPLED, 1.0)
    for index, (picture, latent) in enumerate(zip(batch.pictures, made.latents, strict=True)):
        watch.check()
        result = picture_of(decoded(loaded.model, latent[None], batch.render, watch))
        film = batch.film.developed(index, result) if batch.film else ()
        unmended = result
        result = mended(result, batch.render, batch.facts.note, watch.remark)
        copies = [copy("before-highres-fix", before[index])] if before else []
        if result is not unmended and batch.render.save_images_before_face_restoration:
            copies.append(copy("before-face-restoration", unmended))
        if beginning is not None:
            result, extras = beginning.finished(index, result, latent, batch)
            copies.extend(extras)
        watch.step(index + 1, len(batch.pictures))
        yield Pictured(
            watch.job_id,
            picture.position,
            width=result.width,
            height=result.height,
            rgb=result.tobytes(),
            facts=tuple(batch.facts.noted.items()),
            comments=tuple(watch.comments),
            extras=(*copies, *film),
            half_done=not made.whole,
        )


# ---------------------------------------------------------------- passes


def first_pass(
    batch: Batch, loaded: Loaded, width: int, height: int, studio: Studio, *, end: float = SAMPLED
) -> Denoised:
    """Text to latents (b, c, h, w). width, height: in pixels. end: the share of the batch's work."""
    form = loaded.model.latent
    shape = (form.channels, height // form.factor, width // form.factor)
    concat = blank_conditioning(loaded.model, batch.posteriors, width, height, batch.render, studio.watch)
    if concat is not None:
        batch.facts.note("Conditional mask weight", batch.render.inpainting_mask_weight)
    this = replace(planned(batch), share=(0.0, end), concat=concat, size=(width, height))
    return denoised(batch, this, loaded, noise_of(batch, shape, loaded.model.device, factor=form.factor), studio)


def image_pass(batch: Batch, loaded: Loaded, beginning: Beginning, studio: Studio) -> Denoised:
    """Picture and text to latents (b, c, h, w)."""
    request, start = batch.request, beginning.start
    steps, t_enc = img2img_steps(request.steps, request.denoising_strength, fix=batch.render.img2img_fix_steps)
    this = replace(planned(batch), steps=steps, t_enc=t_enc, start=start, concat=start.concat)
    _, channels, height, width = start.latents.shape
    model = loaded.model
    noise = noise_of(batch, (channels, height, width), model.device, factor=model.latent.factor)
    return denoised(batch, this, loaded, noise, studio)


def hires_pass(
    batch: Batch, small: Model, loaded: Loaded, latents: Tensor, size: HiresSize, studio: Studio
) -> Denoised:
    """Small latents to large ones: enlarged, noised, denoised again. small: the model of the first pass."""
    request, render, model = batch.request, batch.render, loaded.model
    if not isinstance(request, Txt2Img):
        raise TypeError("Only txt2img has a hires pass.")
    factor, watch = model.latent.factor, studio.watch
    mode = MODES.get(request.hr_upscaler or "Latent")
    if mode is not None:
        large = enlarged_latents(latents, size.height // factor, size.width // factor, mode)
        pixels = None
    else:
        levels = torch.cat([to_levels(decoded(small, latent[None], render, watch)) for latent in latents])
        pixels = torch.cat([_enlarged(level, size, request.hr_upscaler, studio.enlargers, model) for level in levels])
        large = torch.cat(
            [
                encoded(model, picture[None], render, watch, posterior=posterior)
                for picture, posterior in zip(pixels, batch.posteriors, strict=True)
            ]
        )
    top, left = size.cut_y // 2, size.cut_x // 2
    large = large[..., top : large.shape[2] - (size.cut_y + 1) // 2, left : large.shape[3] - (size.cut_x + 1) // 2]
    concat = _hires_conditioning(model, large, pixels, batch, watch)
    wanted = request.hr_second_pass_steps or request.steps
    steps, t_enc = img2img_steps(wanted, request.denoising_strength, requested=wanted)
    this = replace(
        planned_hires(batch, request, wanted),
        steps=steps,
        t_enc=t_enc,
        start=Start(large),
        concat=concat,
        size=(size.width, size.height),
    )
    noise = noise_of(batch, (large.shape[1], large.shape[2], large.shape[3]), model.device, factor=factor)
    return denoised(batch, this, loaded, noise, studio)


def _enlarged(level: Tensor, size: HiresSize, upscaler: str, enlargers: Mapping[str, Enlarge], model: Model) -> Tensor:
    """(h, w, 3) uint8 -> (1, 3, h', w') in -1..1 at the second pass's size."""
    picture = scaled(Image.fromarray(level.numpy()), size.width, size.height, upscaler, enlargers)
    return from_levels(torch.from_numpy(np.array(picture))[None], model)


def _hires_conditioning(
    model: Model, large: Tensor, pixels: Tensor | None, batch: Batch, watch: Watch
) -> Tensor | None:
    """What checkpoints with more input channels see in the second pass; None for others."""
    render, posteriors = batch.render, batch.posteriors
    if model.input_channels == model.latent.channels:
        return None
    if pixels is None and render.inpainting_mask_weight == 1.0:
        height, width = (side * model.latent.factor for side in large.shape[2:])
        return blank_conditioning(model, posteriors, width, height, render, watch)
    if pixels is None:
        pixels = torch.cat([decoded(model, latent[None], render, watch) for latent in large])
    return conditioning(model, pixels, large.shape[2:], None, render, watch, posteriors=posteriors)


def planned(batch: Batch) -> Pass:
    """The batch's pass as its request says, from noise."""
    request, render = batch.request, batch.render
    entry = registry.sampler(request.sampler_name)
    return Pass(
        phase="sampling",
        share=(0.0, SAMPLED),
        sampler=entry,
        schedule=registry.schedule(request.scheduler),
        steps=request.steps,
        t_enc=None,
        cfg_scale=request.cfg_scale,
        positive=tuple(_text(picture.request.prompt, render, networks=True) for picture in batch.pictures),
        negative=tuple(_text(picture.request.negative_prompt, render) for picture in batch.pictures),
        timeline=Timeline(request.steps * entry.calls_per_step, old=render.use_old_scheduling),
        size=(request.width, request.height),
        networks=() if request.disable_extra_networks else _networks(request.prompt, render),
    )


def planned_hires(batch: Batch, request: Txt2Img, steps: int) -> Pass:
    """The second pass, with its own sampler, schedule and prompts where it has such."""
    first, render = planned(batch), batch.render
    entry, schedule = first.sampler, first.schedule
    if request.hr_sampler_name not in ("", SAME_SAMPLER):
        entry = registry.sampler(request.hr_sampler_name)
    if request.hr_scheduler not in ("", SAME_SCHEDULE):
        schedule = registry.schedule(request.hr_scheduler)
    asked = [picture.request for picture in batch.pictures if isinstance(picture.request, Txt2Img)]
    return replace(
        first,
        phase="hires",
        share=(FIRST_OF_TWO, SAMPLED),
        sampler=entry,
        schedule=schedule,
        positive=tuple(_text(own.hr_prompt or own.prompt, render, networks=True) for own in asked),
        negative=tuple(_text(own.hr_negative_prompt or own.negative_prompt, render) for own in asked),
        timeline=Timeline(first.timeline.steps, steps * entry.calls_per_step, render.use_old_scheduling),
        networks=first.networks
        if render.hires_fix_use_firstpass_conds or request.disable_extra_networks
        else _networks(request.hr_prompt or request.prompt, render),
    )


def _text(prompt: str, render: RenderSettings, *, networks: bool = False) -> str:
    """The prompt without comments; with `networks` (the negative prompt has none) without their tags."""
    text = strip_comments(prompt) if render.enable_prompt_comments else prompt
    return extract_networks(text)[0] if networks else text


def _networks(prompt: str, render: RenderSettings) -> tuple[NetworkTag, ...]:
    """The tags of a prompt, and those that the settings add."""
    text = strip_comments(prompt) if render.enable_prompt_comments else prompt
    return with_added(extract_networks(text)[1], added_networks(render))


# ---------------------------------------------------------------- pixels


def picture_of(pixels: Tensor) -> Image.Image:
    """(1, 3, h, w) in -1..1 as a picture."""
    return Image.fromarray(to_levels(pixels)[0].numpy())


def to_levels(pixels: Tensor) -> Tensor:
    """(b, 3, h, w) in -1..1 -> (b, h, w, 3) uint8 on the CPU. A1111: truncated, not rounded."""
    levels = 255.0 * ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    return levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()
