"""From a plan to pictures: the page to read first.

A plan's batches are made one after the other. A batch walks from noise to latents (`passes.denoised`), its latents are
decoded one by one, and each picture leaves as soon as it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from webui import registry
from webui.base.errors import UserError
from webui.engine.conditioning import TextCache, Timeline
from webui.engine.families.family import Model
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.passes import Batch, Loaded, Pass, Start, Studio, denoised, noise_of
from webui.engine.previews import cheap
from webui.engine.watch import Skipped, Watch
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Pictured
from webui.request.plan import CheckpointRef, Plan


class Lender(Protocol):
    """Who lends models: `ModelManager`."""

    def lend(self, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> AbstractContextManager[Loaded]: ...


def pictures(plan: Plan, models: Lender, cache: TextCache, shelf: EmbeddingShelf, watch: Watch) -> Iterator[Pictured]:
    """Every picture of the plan, in order, as soon as it is finished.

    Raises:
        Interrupted: the user stopped the job; what was finished has been given out.
        WebuiError: it cannot be done; the text is for the person.
    """
    embeddings = shelf.read(plan.embeddings)
    for number, batch in enumerate(plan.batches):
        if watch.cancel.ends_now:
            watch.cancel.check()
            return
        watch.begin_batch(number)
        with ExitStack() as loans:
            lend = partial(_lent, loans, models)
            refiner = partial(lend, plan.refiner, None) if plan.refiner else None
            studio = Studio(watch, cache, embeddings, cheap, refiner)
            try:
                yield from _batch_pictures(Batch(batch), plan, partial(lend, plan.checkpoint, plan.vae), studio)
            except Skipped:
                continue


def _lent(loans: ExitStack, models: Lender, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> Loaded:
    return loans.enter_context(models.lend(checkpoint, vae))


def _batch_pictures(batch: Batch, plan: Plan, lend: Callable[[], Loaded], studio: Studio) -> Iterator[Pictured]:
    loaded = lend()
    watch, model = studio.watch, loaded.model
    latents = first_pass(batch, loaded, studio)
    watch.enter("decoding", 0.95, 1.0)
    for number, (picture, latent) in enumerate(zip(batch.pictures, latents, strict=True)):
        watch.check()
        with watch.stopwatch.running():
            pixels = decoded(model, latent[None], batch.render.auto_vae_precision)
        levels = to_levels(pixels)[0]
        watch.step(number + 1, len(batch.pictures))
        yield Pictured(
            watch.job_id,
            picture.position,
            width=levels.shape[1],
            height=levels.shape[0],
            rgb=levels.numpy().tobytes(),
            facts=tuple(batch.facts.noted.items()),
            comments=tuple(watch.comments),
        )


def texts_of(prompt: str, render_comments: bool) -> str:
    """The prompt without comments and network tags."""
    text = strip_comments(prompt) if render_comments else prompt
    return extract_networks(text)[0]


def first_pass(batch: Batch, loaded: Loaded, studio: Studio) -> Tensor:
    """Text to latents (b, c, h, w)."""
    request, render = batch.request, batch.render
    entry = registry.sampler(request.sampler_name)
    form = loaded.model.latent
    shape = (form.channels, request.height // form.factor, request.width // form.factor)
    comments = render.enable_prompt_comments
    this = Pass(
        phase="sampling",
        share=(0.0, 0.95),
        sampler=entry,
        schedule=registry.schedule(request.scheduler),
        steps=request.steps,
        t_enc=None,
        cfg_scale=request.cfg_scale,
        positive=tuple(texts_of(picture.request.prompt, comments) for picture in batch.pictures),
        negative=tuple(
            strip_comments(picture.request.negative_prompt) if comments else picture.request.negative_prompt
            for picture in batch.pictures
        ),
        timeline=Timeline(request.steps * entry.calls_per_step, old=render.use_old_scheduling),
    )
    return denoised(batch, this, loaded, noise_of(batch, shape, loaded.model.device), studio)


# ---------------------------------------------------------------- pixels


def decoded(model: Model, latents: Tensor, may_widen: bool) -> Tensor:
    """Pixels about -1..1: (b, 3, h, w). A half-precision VAE that gives NaN is used in full precision from then on."""
    pixels = model.decode(latents)
    if bool(torch.isfinite(pixels).all()):
        return pixels
    if may_widen and model.widen_vae():
        pixels = model.decode(latents)
    if not bool(torch.isfinite(pixels).all()):
        raise UserError(
            "The VAE gave numbers that are none (NaN).", hint="Start with --no-half-vae, or choose another VAE."
        )
    return pixels


def to_levels(pixels: Tensor) -> Tensor:
    """(b, 3, h, w) in -1..1 -> (b, h, w, 3) uint8 on the CPU. A1111: truncated, not rounded."""
    levels = 255.0 * ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    return levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()
