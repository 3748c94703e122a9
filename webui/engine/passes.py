"""The walks of the sampler that make a batch: from noise, from a picture, and again at full size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Literal

import torch
from torch import Tensor

from webui import registry
from webui.base.errors import Interrupted, UserError
from webui.engine.batch import Batch, Denoised, Loaded, Pass, Services, noise_of
from webui.engine.conditioning import Encoder
from webui.engine.denoisers import (
    Ask,
    Change,
    Clock,
    Guidance,
    Prompted,
    Source,
    asking_again,
    changed,
    guided,
    observed,
    on_device,
    remembered,
)
from webui.engine.families.family import PictureMaker, SizeConditioning, TextOptions
from webui.engine.feature import FeatureEngine, PassContext, PassFeature, has
from webui.engine.given import gives_tensor, levels, tensor_like
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Process, RectifiedFlow, altered
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import SigmaSchedule, adapted, sigma_schedule
from webui.engine.sampling.types import Denoiser, SamplerOptions
from webui.engine.start import EDITING
from webui.engine.watch import HALFWAY, Skipped, Watch
from webui.entry_points import expected, expected_callable
from webui.features.feature import FeatureParams
from webui.registry import FeatureEntry, SamplerEntry, ScheduleEntry
from webui.request.capabilities import Capability
from webui.request.plan import Picture, Wish
from webui.request.settings import RenderSettings

Features = Sequence[FeatureEngine[FeatureParams]]
"""Those that a batch's request wants, in order."""


def features_of(picture: Picture) -> tuple[FeatureEngine[FeatureParams], ...]:
    """The features that a picture's request wants, in the registry's order, for one batch."""
    engines = {entry.name: entry for entry in registry.features()}
    return tuple(_engine_of(engines[wish.feature], wish) for wish in picture.wishes)


def _engine_of(entry: FeatureEntry, wish: Wish) -> FeatureEngine[Any]:
    made = expected_callable(entry.engine, entry, "Engine")(wish.params, wish.unit)
    return expected(made, FeatureEngine, entry, "Engine")


def shaped(features: Features, this: Pass, loaded: Loaded) -> Pass:
    """The pass as the features want it."""
    for feature in features:
        this = expected(feature.shape(this, loaded), Pass, feature, "shape")
    return this


def denoised(features: Features, batch: Batch, this: Pass, loaded: Loaded, services: Services) -> Denoised:
    """The heart: what the sampler makes of the noise, and the features of that."""
    render, watch, entry, model = batch.render, services.watch, this.sampler, loaded.model
    shape = shape_of(this, model)
    noise = noise_of(batch, shape, model.device, factor=model.latent.factor)
    process = process_of(model, entry, render, shape)
    way = sigma_schedule_of(this, process, render, model.family.steps_table)
    clock = Clock(total=this.walked * entry.calls_per_step, per_step=entry.calls_per_step)
    guidance = guidance_of(render, this, model)
    answered: list[Loaded] = []
    on: list[PassFeature] = []
    is_patched = False
    with ExitStack() as patches:

        def enter(other: Loaded) -> Prompted:
            answered.append(other)
            for feature in on:
                feature.enter(other)
            patches.enter_context(patched(on, other, steady=not is_patched))
            network = prompted(batch, this, other, process_of(other.model, entry, render, shape), services)
            return network.wrapped_by([_around(each) for each in on if has(each, PassFeature.predict)], clock)

        first = noise.first()
        context = PassContext(batch, this, loaded, services, process, guidance, way, first, clock, enter)
        for each in features:
            part = expected(each.begin(context), (PassFeature, NoneType), each, "begin")
            if part is not None:
                on.append(part)
                is_patched = is_patched or part.bends or "network" in each.params.touches
        base = enter(loaded)
        _note_storage(batch, loaded, watch)
        source: Source = lambda _sigma: base  # noqa: E731
        for feature in on:
            source = expected_callable(feature.network(source), feature, "network")
        denoise = guided(source, process, guidance, clock, watch, batch.facts.note)
        changes = changes_of(on, base.image_scale, watch)
        denoise = changed(denoise, guidance.scale, changes, asking_again(source, clock))
        for feature in on:
            denoise = expected(feature.denoise(denoise), Denoiser, feature, "denoise")
        denoise, seen = remembered(denoise)
        denoise = observed(denoise, clock, entry.calls_per_step, services.previewer(model), watch)
        x = begun_with(way, first, this, batch)
        for feature in on:
            x = tensor_like(feature.first(x), x, feature, "first")
        watch.enter(this.phase, *this.share)
        walk = Walk(way, denoise, x, noise, this, batch, loaded, watch, seen)
        run: Callable[[], Tensor] = walk
        for feature in on:
            run = expected_callable(feature.walk(run), feature, "walk")
        latents = tensor_like(run(), x, run, "walk")
    return Denoised(latents, answered[-1], walk.whole, this.share[1])


def shape_of(this: Pass, model: PictureMaker) -> tuple[int, int, int]:
    """Of one picture's latents in this pass: (c, h, w)."""
    if this.start is not None:
        _, channels, height, width = this.start.latents.shape
        return channels, height, width
    form = model.latent
    return form.channels, this.size[1] // form.factor, this.size[0] // form.factor


def _note_storage(batch: Batch, loaded: Loaded, watch: Watch) -> None:
    """How the weights lie in memory, where it costs something or is seen."""
    if loaded.memory:
        watch.remark(loaded.memory)
    if loaded.model.placement.fp8_storage:
        batch.facts.note("FP8 weight", batch.render.fp8_storage)
        if batch.render.cache_fp16_weight:
            batch.facts.note("Cache FP16 weight for LoRA", True)


@dataclass(eq=False)
class Walk:
    """The sampler's walk over the noise levels -> latents (b, c, h, w)."""

    way: SigmaSchedule
    denoise: Denoiser
    x: Tensor
    noise: ImageNoise
    this: Pass
    batch: Batch
    loaded: Loaded
    watch: Watch
    seen: Callable[[], Tensor | None]
    """What the denoiser has answered last."""
    whole: bool = True
    """Not when it was stopped halfway."""

    def __call__(self) -> Tensor:
        """
        Raises:
            UserError: it produces invalid values (NaN).
            Interrupted, Skipped: somebody stopped it and does not want what is half done.
        """
        render, entry, way, watch = self.batch.render, self.this.sampler, self.way, self.watch
        sampler = registry.resolved(entry.function)
        if "order" in entry.options and len(way.sigmas) < render.uni_pc_order:
            watch.remark(
                f"{entry.name} was used with order {len(way.sigmas)}: there are too few steps for a higher one."
            )
        options = way.options(sampler_options(entry, render)).of(entry.options)
        draws = way.noise(entry, self.noise, self.batch.seeds, together=render.no_dpmpp_sde_batch_determinism)
        try:
            made = sampler(self.denoise, self.x, way.sigmas, draws, **options)
            latents = tensor_like(made, self.x, entry, entry.name)
        except (Interrupted, Skipped) as wish:
            half = self.seen()
            if half is None or not watch.cancel.taken(wish):
                raise
            watch.remark(HALFWAY)
            latents, self.whole = half, False
        if not bool(torch.isfinite(latents).all()):
            raise UserError(
                f"{self.loaded.ref.name} produced invalid values (NaN).",
                hint="Half precision may be too coarse for this model: start with --no-half.",
            )
        return latents


def begun_with(way: SigmaSchedule, first: Tensor, this: Pass, batch: Batch) -> Tensor:
    """x to begin with. first: the noise, (b, c, h, w)."""
    render = batch.render
    if batch.request.is_img2img and render.initial_noise_multiplier != 1.0:
        first = first * render.initial_noise_multiplier
    return way.begin(
        first,
        this.start.latents if this.start else None,
        sgm_noise_multiplier=render.sgm_noise_multiplier,
        extra_noise=render.img2img_extra_noise,
    )


# ---------------------------------------------------------------- text


def prompted(batch: Batch, this: Pass, loaded: Loaded, process: Process, services: Services) -> Prompted:
    """The model with its texts for this pass."""
    services.watch.check()
    render, beside = batch.render, this.beside(loaded.model)
    if loaded.model.family.bears(Capability.DISTILLED_GUIDANCE):
        batch.facts.note("Distilled CFG Scale", render.distilled_cfg_scale)
    encoder = encoder_of(batch, this, loaded, services)
    prompts = encoder.prompts(this.positive, this.negative, this.timeline)
    _note_embeddings(batch, [encoder.embeddings[name] for name in prompts.embeddings])
    return Prompted(
        loaded.model,
        on_device(process, loaded.model.device),
        prompts,
        services.watch,
        concat=beside,
        image_scale=image_scale_of(batch, loaded.model),
        empty=encoder.empty,
    )


def encoder_of(batch: Batch, this: Pass, loaded: Loaded, services: Services) -> Encoder:
    """What reads texts for a pass, with the networks that are active in the model now."""
    embeddings = {**services.embeddings, **loaded.patches.embeddings}
    positive, negative = text_options(loaded.model, this, batch.render)
    return Encoder(loaded.model, (loaded.key, loaded.patches.key), positive, embeddings, services.cache, negative)


def text_options(model: PictureMaker, this: Pass, render: RenderSettings) -> tuple[TextOptions, TextOptions]:
    """Those of prompt and negative prompt: they differ where the model is told numbers beside the text."""
    options = TextOptions(
        render.clip_skip,
        render.emphasis,
        render.comma_padding_backtrack,
        render.sdxl_clip_l_skip,
        render.use_old_emphasis_implementation,
        distilled_guidance=this.cfg_scale if model.is_told_guidance else render.distilled_cfg_scale,
    )
    if not model.family.bears(Capability.SIZE_CONDITIONING):
        return options, options
    width, height = this.size
    high, low = render.sdxl_refiner_high_aesthetic_score, render.sdxl_refiner_low_aesthetic_score
    told = SizeConditioning(height, width, render.sdxl_crop_top, render.sdxl_crop_left, high)
    return replace(options, size_conditioning=told), replace(
        options, size_conditioning=replace(told, aesthetic_score=low, is_negative=True)
    )


def _note_embeddings(batch: Batch, embeddings: Sequence[Embedding]) -> None:
    if embeddings:
        hashes = [f"{embedding.name}: {embedding.short_hash}" for embedding in embeddings]
        batch.facts.note("TI hashes", ", ".join(hashes))


# ---------------------------------------------------------------- features


@contextmanager
def patched(on: Sequence[PassFeature], loaded: Loaded, *, steady: bool) -> Iterator[None]:
    """Within the block the model's networks are patched as the features of the pass want it.

    steady: no feature patches them, so that their calls may be recorded.
    """
    with ExitStack() as patches:
        for feature in on:
            patches.enter_context(expected(feature.patch(loaded), AbstractContextManager, feature, "patch"))
        if steady and "unet" in loaded.model.parts:
            patches.enter_context(loaded.model.steady())
        yield


def _around(feature: PassFeature) -> Callable[[Ask], Ask]:
    """What a feature does around each call of the network."""

    def wrapped(ask: Ask) -> Ask:
        asks = expected_callable(feature.predict(ask), feature, "predict")
        return gives_tensor(asks, lambda call: call.x, feature, "predict")

    return wrapped


def changes_of(on: Sequence[PassFeature], image_scale: float | None, watch: Watch) -> tuple[Change, ...]:
    """What the features do to the guided prediction. image_scale: of the model that begins the pass."""
    changes = tuple(
        gives_tensor(feature.guide, lambda prediction: prediction.x0, feature, "guide")
        for feature in on
        if has(feature, PassFeature.guide)
    )
    if changes and image_scale is not None:
        watch.remark("InstructPix2Pix uses two guidance scales; other changes to the guidance were left out.")
        return ()
    return changes


# ---------------------------------------------------------------- settings into values


def process_of(model: PictureMaker, entry: SamplerEntry, render: RenderSettings, shape: tuple[int, ...]) -> Process:
    """The model's process under the settings and as the sampler wants it; its table is on the CPU. shape: (c, h, w)."""
    process = model.process
    if isinstance(process, RectifiedFlow):
        process = process.at_size(*shape[-2:])
    if isinstance(process, Diffusion):
        table = altered(
            process.alphas_cumprod,
            downcast=render.use_downcasted_alpha_bar,
            zero_snr=render.sd_noise_schedule == "Zero Terminal SNR",
        )
        process = replace(process, alphas_cumprod=table, quantize=render.enable_quantization)
    if entry.adapts:
        process = registry.resolved(entry.adapts)(process)
    return adapted(entry, process)


def sigma_schedule_of(
    this: Pass, process: Process, render: RenderSettings, table: Literal["sd1", "sdxl"] = "sd1"
) -> SigmaSchedule:
    """Which noise levels the pass walks. table: of Align Your Steps."""
    entry = this.sampler
    schedule = chosen_schedule(entry, this.schedule)
    function = _spacing(schedule) if schedule is not None else None
    options = ScheduleOptions(
        sigma_min=render.sigma_min,
        sigma_max=render.sigma_max,
        rho=render.rho,
        old_range=render.use_old_karras_scheduler_sigmas,
        beta_alpha=render.beta_dist_alpha,
        beta_beta=render.beta_dist_beta,
        table=table,
        discard_penultimate=render.always_discard_next_to_last_sigma,
    )
    return sigma_schedule(entry, process, this.steps, function, schedule, options, t_enc=this.t_enc)


def _spacing(entry: ScheduleEntry) -> Callable[..., Tensor]:
    """What a schedule's function gives, looked at."""
    space = registry.resolved(entry.function)

    def spaced(*given: object, **options: object) -> Tensor:
        return levels(space(*given, **options), entry, entry.name)

    return spaced


def chosen_schedule(entry: SamplerEntry, schedule: ScheduleEntry) -> ScheduleEntry | None:
    """What Automatic means for the sampler; None is the model's own spacing."""
    if schedule.function:
        return schedule
    return registry.schedule(entry.schedule) if entry.schedule else None


def sampler_options(entry: SamplerEntry, render: RenderSettings) -> SamplerOptions:
    """The sampler's numbers."""
    eta = render.eta_ddim if entry.timesteps else render.eta_ancestral
    return SamplerOptions(
        eta=eta,
        s_churn=render.s_churn,
        s_tmin=render.s_tmin,
        s_tmax=render.s_tmax or math.inf,
        s_noise=render.s_noise,
        variant=render.uni_pc_variant,
        skip_type=render.uni_pc_skip_type,
        order=render.uni_pc_order,
        lower_order_final=render.uni_pc_lower_order_final,
    )


def image_scale_of(batch: Batch, model: PictureMaker) -> float | None:
    """For `Prompted.image_scale`."""
    given = batch.request.from_picture
    if given is None or model.input_channels != EDITING:
        return None
    batch.facts.note("Image CFG scale", given.image_cfg_scale)
    return given.image_cfg_scale if given.image_cfg_scale != 1.0 else None


def guidance_of(render: RenderSettings, this: Pass, model: PictureMaker) -> Guidance:
    """How this pass guides."""
    return Guidance(
        scale=1.0 if model.is_told_guidance else this.cfg_scale * this.sampler.cfg_factor,
        skip_below=render.s_min_uncond,
        skip_all=render.s_min_uncond_all,
        skip_early=render.skip_early_cond,
        pad=render.pad_cond_uncond,
        pad_old=render.pad_cond_uncond_v0,
        together=render.batch_cond_uncond,
        by_timestep=this.sampler.timesteps,
    )
