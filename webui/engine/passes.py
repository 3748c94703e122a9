"""The walks of the sampler that make a batch: from noise, from a picture, and again at full size."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from webui import registry
from webui.base.errors import Interrupted, UserError
from webui.engine.conditioning import Encoder, TextCache, Timeline
from webui.engine.denoisers import (
    Clock,
    Guidance,
    Prompted,
    Source,
    asked_again,
    guided,
    observed,
    on_device,
    remembered,
    switched,
)
from webui.engine.dressing import Refs, dress, hypernetworks
from webui.engine.families.family import BENDS, Model, TextOptions, Told
from webui.engine.film import Film, filmed
from webui.engine.networks.embeddings import Embedding
from webui.engine.networks.hypernetworks import bent
from webui.engine.networks.patches import Patches
from webui.engine.networks.tiling import tiled
from webui.engine.networks.token_merging import merging
from webui.engine.previews import Previewer
from webui.engine.sampling.course import Course, adapted, course
from webui.engine.sampling.guidance import Change, changed, perturbed, projected, rescaled, thresholded
from webui.engine.sampling.masking import Softness, blended, firmly, kept, softly
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Flow, Process, altered
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.types import GeneratorKind, SamplerOptions
from webui.engine.upscalers.resize import UPSCALERS, Enlarge
from webui.engine.watch import Skipped, Watch
from webui.prompt.networks import NetworkTag
from webui.registry import SamplerEntry, ScheduleEntry
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Phase
from webui.request.plan import CheckpointRef, Picture
from webui.request.settings import RenderSettings


@dataclass
class Facts:
    """What the infotext shall say beyond the request: noted by the code that knows it had an effect."""

    noted: dict[str, str] = field(default_factory=dict)

    def note(self, label: str, value: object) -> None:
        self.noted[label] = str(value)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on loan, and what it is known by."""

    model: Model
    ref: CheckpointRef
    key: Hashable
    patches: Patches = field(default_factory=Patches)
    """The networks that it wears."""
    memory: str = ""
    """How it lies in memory, where that costs something: a sentence."""


@dataclass(frozen=True, eq=False)
class Studio:
    """What a batch is made with besides its plan."""

    watch: Watch
    cache: TextCache
    embeddings: Mapping[str, Embedding]
    previewer: Callable[[Model], Previewer]
    refiner: Callable[[], Loaded] | None = None
    """Lends the refiner; called when it is due."""
    networks: Refs = field(default_factory=dict)
    """Files of the tags in prompts."""
    enlargers: Mapping[str, Enlarge] = field(default_factory=lambda: UPSCALERS)
    """What enlarges pixels, by the name in the request."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures that are denoised together: alike but for seeds and prompts."""

    pictures: tuple[Picture, ...]
    facts: Facts = field(default_factory=Facts)
    film: Film | None = None
    """Where it is wished."""

    @property
    def request(self) -> Txt2Img | Img2Img:
        return self.pictures[0].request

    @property
    def render(self) -> RenderSettings:
        return self.pictures[0].render

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(picture.seed for picture in self.pictures)

    @cached_property
    def posteriors(self) -> tuple[torch.Generator | None, ...]:
        """What each picture's latents are drawn with where the VAE encodes; None: the mean is taken.

        A1111: torch's generator of the process, on the CPU whatever the device, which the first noise has left at the
        picture's seed; in img2img still at that of the picture before, which is taken for the same. NVIDIA's numbers
        leave it as it was.
        """
        if self.render.randn_source == "NV":
            return (None,) * len(self.seeds)
        return tuple(torch.Generator().manual_seed(seed) for seed in self.seeds)


@dataclass(frozen=True, eq=False)
class Start:
    """What img2img begins with, in latent space."""

    latents: Tensor
    """(b, c, h, w)"""
    mask: Tensor | None = None
    """1 where the picture may change; broadcasts to the latents."""
    concat: Tensor | None = None
    """(b, c', h, w): what checkpoints with more input channels see of the given picture."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One walk of the sampler over a batch."""

    phase: Phase
    share: tuple[float, float]
    """The part of the batch's work, 0 to 1."""
    sampler: SamplerEntry
    schedule: ScheduleEntry
    steps: int
    """Of the schedule."""
    t_enc: int | None
    """`img2img_steps`' second number; None: begins with noise alone."""
    cfg_scale: float
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    timeline: Timeline
    size: tuple[int, int]
    """(width, height) in pixels, as asked for."""
    networks: tuple[NetworkTag, ...] = ()
    """Tags of the first picture's prompt, and of the settings. A1111: they hold for the whole batch."""
    start: Start | None = None
    concat: Tensor | None = None
    """(b, c', h, w): what checkpoints with more input channels see."""

    @property
    def walked(self) -> int:
        return self.steps if self.t_enc is None else self.t_enc + 1


class Denoised(NamedTuple):
    """What a pass made, and who shall decode it."""

    latents: Tensor
    """(b, c, h, w)"""
    loaded: Loaded
    """A1111: the model that answered last, so that a refiner's VAE decodes what it refined."""
    whole: bool = True
    """Not when it was stopped halfway: what the latents would have become, as the model saw it last."""


def denoised(batch: Batch, this: Pass, loaded: Loaded, noise: ImageNoise, studio: Studio) -> Denoised:
    """The heart: what the sampler makes of the noise."""
    render, watch, entry = batch.render, studio.watch, this.sampler
    process = process_of(loaded.model, entry, render, noise.shape)
    way = course_of(this, process, render, batch.facts.note, loaded.model.family.steps_table)
    clock = Clock(total=this.walked * entry.calls_per_step)
    if hashes := dress(loaded.patches, loaded.model, this.networks, studio.networks, watch.remark):
        # A1111: those of the first pass and those of the second, each once.
        before = batch.facts.noted.get("Lora hashes", "")
        both = dict.fromkeys([*filter(None, before.split(", ")), *hashes.split(", ")])
        batch.facts.note("Lora hashes", ", ".join(both))
    if loaded.memory:
        watch.remark(loaded.memory)
    if loaded.model.placement.narrow:
        batch.facts.note("FP8 weight", render.fp8_storage)
        if render.cache_fp16_weight:
            batch.facts.note("Cache FP16 weight for LoRA", True)
    base = prompted(batch, this, loaded, process, studio)
    bends = ExitStack()
    is_due = _refiner_due(batch, this, process, clock, studio)
    answered = [loaded]

    def refiner() -> Prompted:
        answered.append(_refiner(studio))
        return _refining(answered[-1], batch, this, studio, bends, noise.shape)

    source = switched(base, refiner, is_due)
    guidance = guidance_of(batch, this, loaded.model)
    denoise = guided(source, process, guidance, clock, watch, batch.facts.note)
    denoise = changed(denoise, guidance.scale, guidance_changes(batch, this, guidance, source, clock, watch))
    if this.start is not None and this.start.mask is not None:
        softness = softness_of(batch.request)
        soft = softly(this.start.mask, this.start.latents, softness) if softness else None
        denoise = kept(entry, denoise, soft or firmly(this.start.mask, this.start.latents))
    if batch.film is not None:
        called = "hires" if this.phase == "hires" else ""
        denoise = filmed(denoise, batch.film, loaded.model.latent, called, this.walked, entry.calls_per_step)
    denoise, seen = remembered(denoise)
    denoise = observed(denoise, clock, entry.calls_per_step, studio.previewer(loaded.model), watch)
    first = noise.first()
    original = this.start.latents if this.start else None
    if batch.request.is_img2img and render.initial_noise_multiplier != 1.0:
        batch.facts.note("Noise multiplier", render.initial_noise_multiplier)
        first = first * render.initial_noise_multiplier
    x = begun(way, first, original, render, batch.facts.note)
    watch.enter(this.phase, *this.share)
    sampler = registry.resolved(entry.function)
    if "order" in entry.options and len(way.sigmas) < render.uni_pc_order:
        watch.remark(f"{entry.name} is of order {len(way.sigmas)}, since it takes no more steps.")
    options = way.options(sampler_options(entry, render, batch.facts.note)).of(entry.options)
    together = render.no_dpmpp_sde_batch_determinism
    draws = way.noise(entry, noise, batch.seeds, together=together)
    whole = True
    try:
        with bends:
            bend(bends, batch, this, loaded, studio)
            latents: Tensor = sampler(denoise, x, way.sigmas, draws, **options)
    except (Interrupted, Skipped) as wish:
        half = seen()
        if half is None or not watch.cancel.half_done:
            raise
        if isinstance(wish, Interrupted):
            watch.cancel.give_half_done()
        watch.remark("Stopped halfway: the picture is as far as it was then.")
        latents, whole = half, False
    if not bool(torch.isfinite(latents).all()):
        raise UserError(
            f"{loaded.ref.name} gave numbers that are none (NaN).",
            hint="Half precision may be too coarse for this model: start with --no-half.",
        )
    if this.start is not None and this.start.mask is not None and softness_of(batch.request) is None:
        latents = blended(latents, this.start.mask, this.start.latents)
    return Denoised(latents, answered[-1], whole)


def begun(
    way: Course, noise: Tensor, original: Tensor | None, render: RenderSettings, note: Callable[[str, object], None]
) -> Tensor:
    """x to begin with."""
    if original is None and render.sgm_noise_multiplier:
        note("SGM noise multiplier", True)
    if original is not None and render.img2img_extra_noise > 0:
        note("Extra noise", render.img2img_extra_noise)
    return way.begin(
        noise,
        original,
        sgm_noise_multiplier=render.sgm_noise_multiplier,
        extra_noise=render.img2img_extra_noise,
    )


# ---------------------------------------------------------------- text


def prompted(batch: Batch, this: Pass, loaded: Loaded, process: Process, studio: Studio) -> Prompted:
    """The model with its texts for this pass."""
    studio.watch.check()
    render = batch.render
    embeddings = {**studio.embeddings, **loaded.patches.embeddings}
    positive, negative = text_options(loaded.model, this, render)
    if "distilled_guidance" in loaded.model.family.supports:
        batch.facts.note("Distilled CFG Scale", render.distilled_cfg_scale)
    encoder = Encoder(loaded.model, (loaded.key, loaded.patches.key), positive, embeddings, studio.cache, negative)
    prompts = encoder.prompts(this.positive, this.negative, this.timeline)
    _note_text(batch, [embeddings[name] for name in prompts.embeddings])
    return Prompted(
        loaded.model,
        on_device(process, loaded.model.device),
        prompts,
        studio.watch,
        concat=this.concat,
        empty=encoder.empty,
    )


def text_options(model: Model, this: Pass, render: RenderSettings) -> tuple[TextOptions, TextOptions]:
    """Those of prompt and negative prompt: they differ where the model is told numbers beside the text."""
    options = TextOptions(
        render.clip_skip,
        render.emphasis,
        render.comma_padding_backtrack,
        render.sdxl_clip_l_skip,
        render.use_old_emphasis_implementation,
        distilled_guidance=this.cfg_scale if "told_guidance" in model.family.supports else render.distilled_cfg_scale,
    )
    if "told" not in model.family.supports:
        return options, options
    width, height = this.size
    high, low = render.sdxl_refiner_high_aesthetic_score, render.sdxl_refiner_low_aesthetic_score
    told = Told(height, width, render.sdxl_crop_top, render.sdxl_crop_left, high)
    return replace(options, told=told), replace(options, told=replace(told, aesthetic_score=low, is_negative=True))


def _note_text(batch: Batch, embeddings: Sequence[Embedding]) -> None:
    request, render, note = batch.request, batch.render, batch.facts.note
    if render.emphasis != "Original" and any(bracket in request.prompt + request.negative_prompt for bracket in "(["):
        note("Emphasis", render.emphasis)
    if embeddings:
        hashes = [f"{embedding.name}: {embedding.short_hash}" for embedding in embeddings]
        note("TI hashes", ", ".join(hashes))


# ---------------------------------------------------------------- bent networks


def bend(bends: ExitStack, batch: Batch, this: Pass, loaded: Loaded, studio: Studio) -> None:
    """Make the network compute as the settings say, until `bends` is closed."""
    unet = loaded.model.parts.get("unet")
    if unet is None:
        return
    shapers = hypernetworks(loaded.patches, this.networks, studio.networks, studio.watch.remark)
    if shapers and not loaded.model.family.supports >= BENDS.keys():
        studio.watch.remark(f"Hypernetworks have no effect on {loaded.model.family.name} checkpoints.")
        shapers = []
    share = merged_share(batch.request, batch.render, this.phase)
    bends.enter_context(bent(unet, shapers))
    bends.enter_context(merging(unet, share))
    if batch.render.tiling:
        bends.enter_context(tiled([unet]))
    if not (shapers or share or batch.render.tiling or batch.request.pag_scale):
        bends.enter_context(loaded.model.steady())


def merged_share(request: Txt2Img | Img2Img, render: RenderSettings, phase: Phase) -> float:
    """The share of tokens that is merged in this pass."""
    if phase == "hires":
        return render.token_merging_ratio_hr or render.token_merging_ratio
    if request.is_img2img and "token_merging_ratio" not in request.override_settings:
        return render.token_merging_ratio_img2img or render.token_merging_ratio
    return render.token_merging_ratio


# ---------------------------------------------------------------- settings into values


def softness_of(request: Txt2Img | Img2Img) -> Softness | None:
    """How soft inpainting lets the original through; None where it is off."""
    if not isinstance(request, Img2Img) or not request.soft_inpainting:
        return None
    return Softness(request.soft_schedule_bias, request.soft_preservation, request.soft_contrast_boost)


def process_of(model: Model, entry: SamplerEntry, render: RenderSettings, shape: tuple[int, ...]) -> Process:
    """The model's process under the settings and as the sampler wants it; its table is on the CPU. shape: (c, h, w)."""
    process = model.process
    if isinstance(process, Flow):
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


def course_of(
    this: Pass,
    process: Process,
    render: RenderSettings,
    note: Callable[[str, object], None],
    table: Literal["sd1", "sdxl"] = "sd1",
) -> Course:
    """Which noise levels the pass walks; notes what bent them. table: of Align Your Steps."""
    entry = this.sampler
    schedule = chosen_schedule(entry, this.schedule)
    if not entry.timesteps and schedule is not None:
        note("Hires schedule type" if this.phase == "hires" else "Schedule type", schedule.name)
        _note_bends(schedule, process, render, note)
    if render.always_discard_next_to_last_sigma and not entry.discard_penultimate:
        note("Discard penultimate sigma", True)
    function = registry.resolved(schedule.function) if schedule is not None else None
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
    return course(entry, process, this.steps, function, schedule, options, t_enc=this.t_enc)


def chosen_schedule(entry: SamplerEntry, schedule: ScheduleEntry) -> ScheduleEntry | None:
    """What Automatic means for the sampler; None is the model's own spacing."""
    if schedule.function:
        return schedule
    return registry.schedule(entry.schedule) if entry.schedule else None


def _note_bends(
    schedule: ScheduleEntry, process: Process, render: RenderSettings, note: Callable[[str, object], None]
) -> None:
    if render.sigma_min not in (0.0, process.sigma_min):
        note("Schedule min sigma", render.sigma_min)
    if render.sigma_max not in (0.0, process.sigma_max):
        note("Schedule max sigma", render.sigma_max)
    if schedule.default_rho and render.rho not in (0.0, schedule.default_rho):
        note("Schedule rho", render.rho)
    if "beta_alpha" in schedule.options:
        note("Beta schedule alpha", render.beta_dist_alpha)
        note("Beta schedule beta", render.beta_dist_beta)


def sampler_options(entry: SamplerEntry, render: RenderSettings, note: Callable[[str, object], None]) -> SamplerOptions:
    """The sampler's numbers; notes those that differ from the default."""
    eta = render.eta_ddim if entry.timesteps else render.eta_ancestral
    if "eta" in entry.options:
        if entry.timesteps and eta != 0.0:
            note("Eta DDIM", eta)
        elif not entry.timesteps and eta != 1.0:
            note("Eta", eta)
    if entry.uses_ensd and render.eta_noise_seed_delta and eta:
        note("ENSD", render.eta_noise_seed_delta)
    for name, label, plain in (
        ("s_churn", "Sigma churn", 0.0),
        ("s_tmin", "Sigma tmin", 0.0),
        ("s_tmax", "Sigma tmax", 0.0),
        ("s_noise", "Sigma noise", 1.0),
    ):
        if name in entry.options and getattr(render, name) != plain:
            note(label, getattr(render, name))
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


EDITING = 8
"""Input channels of InstructPix2Pix."""


def guidance_of(batch: Batch, this: Pass, model: Model) -> Guidance:
    """How this pass guides."""
    request, render = batch.request, batch.render
    image_scale = None
    if isinstance(request, Img2Img) and model.input_channels == EDITING:
        batch.facts.note("Image CFG scale", request.image_cfg_scale)
        image_scale = request.image_cfg_scale if request.image_cfg_scale != 1.0 else None
    is_told = "told_guidance" in model.family.supports  # and so it is not guided once more
    return Guidance(
        scale=1.0 if is_told else this.cfg_scale * this.sampler.cfg_factor,
        skip_below=render.s_min_uncond,
        skip_all=render.s_min_uncond_all,
        skip_early=render.skip_early_cond,
        pad=render.pad_cond_uncond,
        pad_old=render.pad_cond_uncond_v0,
        together=render.batch_cond_uncond,
        image_scale=image_scale,
        by_timestep=this.sampler.timesteps,
    )


def guidance_changes(
    batch: Batch, this: Pass, guidance: Guidance, source: Source, clock: Clock, watch: Watch
) -> tuple[Change, ...]:
    """What the request does to the guided prediction beyond A1111."""
    request, scale = batch.request, guidance.scale
    changes: list[Change] = []
    if request.apg:
        changes.append(projected(scale, request.apg_eta, request.apg_threshold, request.apg_momentum))
    if request.pag_scale and scale:
        changes.append(perturbed(asked_again(source, clock), request.pag_scale))
    if request.mimic_scale:
        mimic = request.mimic_scale * this.sampler.cfg_factor
        changes.append(thresholded(mimic, request.threshold_percentile))
    if request.cfg_rescale:
        changes.append(rescaled(request.cfg_rescale))
    if changes and guidance.image_scale is not None:
        watch.remark("InstructPix2Pix guides by two scales at once: what else would change its guidance was left out.")
        return ()
    return tuple(changes)


def noise_of(
    batch: Batch,
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    factor: int = 8,
    seeds: tuple[int, ...] | None = None,
    varied: bool = True,
) -> ImageNoise:
    """The batch's generators of noise for latents of this shape (c, h, w); without variation where not `varied`.

    factor: pixels along a side of what one latent stands for.
    """
    request, render = batch.request, batch.render
    kind: GeneratorKind = "CPU" if render.randn_source == "CPU" else "NV"
    resized = varied and request.seed_resize_from_h > 0 and request.seed_resize_from_w > 0
    return ImageNoise(
        kind,
        seeds or batch.seeds,
        shape,
        subseeds=tuple(picture.subseed for picture in batch.pictures),
        subseed_strength=request.subseed_strength if varied else 0.0,
        resize_from=(request.seed_resize_from_h // factor, request.seed_resize_from_w // factor) if resized else None,
        ensd=render.eta_noise_seed_delta if varied else 0,
        device=device,
    )


# ---------------------------------------------------------------- refiner


def _refiner(studio: Studio) -> Loaded:
    if studio.refiner is None:
        raise UserError("There is no refiner.")
    return studio.refiner()


def _refining(
    loaded: Loaded, batch: Batch, this: Pass, studio: Studio, bends: ExitStack, shape: tuple[int, ...]
) -> Prompted:
    dress(loaded.patches, loaded.model, this.networks, studio.networks, studio.watch.remark, strict=False)
    bend(bends, batch, this, loaded, studio)
    process = process_of(loaded.model, this.sampler, batch.render, shape)
    return prompted(batch, this, loaded, process, studio)


def _refiner_due(batch: Batch, this: Pass, process: Process, clock: Clock, studio: Studio) -> Callable[[Tensor], bool]:
    """Whether the refiner answers from this noise level on."""
    request, render = batch.request, batch.render
    if studio.refiner is None or not _refines(request, render, this):
        return lambda _sigma: False
    switch_at = request.refiner_switch_at

    def is_due(sigma: Tensor) -> bool:
        if render.refiner_switch_by_sample_steps:
            done = clock.calls / clock.total
        else:
            timestep = (process.sigmas - float(sigma.max())).abs().argmin()
            done = (999 - int(timestep)) / 1000  # A1111: by the timestep, not by the step
        return done >= switch_at

    return is_due


def _refines(request: Txt2Img | Img2Img, render: RenderSettings, this: Pass) -> bool:
    if not isinstance(request, Txt2Img) or not request.enable_hr:
        return True
    wanted = render.hires_fix_refiner_pass
    return wanted == "both passes" or wanted == ("second pass" if this.phase == "hires" else "first pass")
