"""How fast the sampling is beside diffusers' own pipeline and the bare network: `bench gpu` and `bench cpu`.

All three have the same weights, precision and attention, and are timed in one run. Steps a second, each with guidance.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from webui.engine.families.family import Conditioning, SizeConditioning, TextOptions
from webui.engine.families.ldm_model import LdmModel


@dataclass(frozen=True)
class Speeds:
    """Steps a second; a step of a batch counts once."""

    ours: float
    stock: float
    bare: float

    @property
    def over_stock(self) -> float:
        return self.ours / self.stock

    @property
    def of_bare(self) -> float:
        return self.ours / self.bare


@dataclass(frozen=True)
class Measured:
    """What is made: pictures of this side, so many at once, in so many steps."""

    side: int
    batch: int
    steps: int


def timed(action: Callable[[], object], device: torch.device, repeats: int = 2) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    action()
    seconds = []
    for _ in range(repeats):
        _finish(device)
        start = time.perf_counter()
        action()
        _finish(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "xpu":
        torch.xpu.synchronize(device)


def speeds(model: LdmModel, make: Callable[[], object], job: Measured) -> Speeds:
    """make: our generation of the job. Everything but the decoding of pictures is timed, alike in all three."""
    conditioning = _conditioning(model, job)
    side = job.side // model.latent.factor
    latents = torch.zeros(job.batch, model.latent.channels, side, side, device=model.device)
    ours = timed(make, model.device)
    bare = timed(lambda: _bare(model, latents, conditioning, job.steps), model.device)
    pipeline = stock_pipeline(model)
    stock = timed(lambda: _stock(pipeline, conditioning, job), model.device)
    return Speeds(job.steps / ours, job.steps / stock, job.steps / bare)


def _conditioning(model: LdmModel, job: Measured) -> Conditioning:
    """Of prompts and negative prompts, (2 * batch, ...)."""
    told = SizeConditioning(job.side, job.side)
    encoded = model.encode_prompts(["a red apple"], TextOptions(size_conditioning=told), {})[0]
    vector = encoded.vector.expand(2 * job.batch, -1) if encoded.vector is not None else None
    return Conditioning(encoded.tokens.expand(2 * job.batch, -1, -1), vector)


def _bare(model: LdmModel, latents: Tensor, conditioning: Conditioning, steps: int) -> None:
    x = torch.cat([latents, latents])
    t = torch.full((len(x),), 500.0, device=model.device)
    for _ in range(steps):
        model.predict(x, t, conditioning)


def stock_pipeline(model: LdmModel) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    """diffusers' own pipeline around a copy of the UNet, as its documentation sets it up."""
    unet = copy.deepcopy(model.unet)
    for layer in unet.modules():
        layer._forward_hooks.clear()  # ours, see `ldm.for_any_size`
        layer._forward_pre_hooks.clear()
    scheduler = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
    )
    pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline
    if model.numbers:
        pipeline = StableDiffusionXLPipeline(
            vae=model.vae,
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=unet,
            scheduler=scheduler,
            add_watermarker=False,
        )
    else:
        pipeline = StableDiffusionPipeline(
            vae=model.vae,
            text_encoder=None,
            tokenizer=None,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _stock(pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline, told: Conditioning, job: Measured) -> None:
    dtype = pipeline.unet.dtype
    tokens = told.tokens[: job.batch].to(dtype)
    more: dict[str, Tensor] = {}
    if told.vector is not None:
        pooled = told.vector[: job.batch, :-6].to(dtype)
        more = {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": pooled}
    pipeline(
        prompt_embeds=tokens,
        negative_prompt_embeds=tokens,
        width=job.side,
        height=job.side,
        num_inference_steps=job.steps,
        guidance_scale=7.0,
        output_type="latent",
        **more,
    )
