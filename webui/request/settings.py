"""Settings in the same vocabulary as parameters. `RenderSettings` alter pixels; nothing else does.

The names are A1111's option keys, so that `config.json`, `override_settings` and `/sdapi/v1/options` speak one
language; `alias` is given where ours reads better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict

from webui.base.errors import NotFound, UserError, did_you_mean
from webui.request.engine_options import Attention
from webui.request.params import (
    Choice,
    Colour,
    Declared,
    Number,
    Param,
    Several,
    Slider,
    Text,
    Toggle,
    default_of,
    param_of,
    parsed,
)
from webui.request.postprocessing import BACKGROUND, DETAIL, OF_ONE_PICTURE, OPERATIONS, UPSCALE

ATTENTIONS: Mapping[str, Attention] = MappingProxyType(
    {
        "Automatic": "",
        "xformers": "xformers",
        "sdp - scaled dot product": "sdpa",
        "sdp-no-mem - scaled dot product without memory efficient attention": "sdpa",
        "sub-quadratic": "sub-quadratic",
        "V1 - original v1": "v1",
        "InvokeAI": "invokeai",
        "Doggettx": "doggettx",
        "None": "sdpa",
    }
)
"""A1111's names for ways to compute attention, and the engine's."""
MEMORY_PROFILES: Mapping[str, Literal["none", "medium", "low", "leaf"]] = MappingProxyType(
    {
        "Everything on the GPU": "none",
        "Text encoder and VAE out while sampling": "medium",
        "Block by block": "low",
        "Layer by layer": "leaf",
    }
)
"""Choices of the setting of this name, and the engine's names for them."""


FORM_PARTS = (
    "prompt",
    "image",
    "inpaint",
    "sampler",
    "accordions",
    "dimensions",
    "cfg",
    "denoising",
    "features",
    "seed",
    "checkboxes",
    "batch",
    "override_settings",
    "extra_options",
    "scripts",
)
"""The parts of the forms of txt2img and img2img, in their usual order; A1111's names."""


def _one_level() -> str:
    return "The VAE has attention on one level only."


class RenderSettings(Declared):
    """Whatever changes the picture but is rarely changed from one picture to the next."""

    sd_model_checkpoint: Annotated[str, Choice(ui="Stable Diffusion checkpoint", source="checkpoints", cost=1.0)] = ""
    """The model that generates the pictures: a file in models/Stable-diffusion."""
    sd_vae: Annotated[str, Choice(ui="SD VAE", source="vaes", cost=0.7)] = "Automatic"
    """Decodes latents into pixels. Automatic: a file named like the checkpoint, otherwise the checkpoint's own VAE."""
    sd_vae_overrides_per_model_preferences: Annotated[
        bool, Toggle(ui="Selected VAE overrides per-model preferences")
    ] = True
    """A VAE selected here takes precedence over the one named on a checkpoint's card."""
    inpainting_mask_weight: Annotated[
        float,
        Slider(
            label="Conditional mask weight",
            by_fact=True,
            ui="Inpainting conditioning mask strength",
            place=42,
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
        ),
    ] = 1.0
    """For inpainting checkpoints: how much of the mask the model sees; 1 is all of it, 0 none."""
    clip_skip: Annotated[
        int, Slider(label="Clip skip", alias="CLIP_stop_at_last_layers", min=1, max=12, ge=1, le=12, absent=1)
    ] = 1
    """Stops the text encoder at this layer, counted from the end."""
    eta_noise_seed_delta: Annotated[int, Number(label="ENSD", by_fact=True, ui="Eta noise seed delta", absent=0)] = 0
    """Added to the seed of all noise after the initial one; 31337 matches NovelAI."""
    token_merging_ratio: Annotated[
        float, Slider(label="Token merging ratio", by_fact=True, min=0, max=0.9, step=0.1, ge=0, le=0.9, absent=0.0)
    ] = 0.0
    """Merges similar tokens in self-attention for speed; 0 turns it off."""
    token_merging_ratio_img2img: Annotated[
        float, Slider(ui="Token merging ratio for img2img", min=0, max=0.9, step=0.1, ge=0, le=0.9)
    ] = 0.0
    """Used for img2img unless it is 0."""
    token_merging_ratio_hr: Annotated[
        float,
        Slider(
            label="Token merging ratio hr",
            by_fact=True,
            ui="Token merging ratio for high-res pass",
            min=0,
            max=0.9,
            step=0.1,
            ge=0,
            le=0.9,
            absent=0.0,
        ),
    ] = 0.0
    """Used for the hires pass unless it is 0."""
    upcast_attn: Annotated[bool, Toggle(ui="Upcast cross attention layer to float32")] = False
    """Cures black pictures of some models, such as SD 2.1, in half precision; slower."""
    hypertile_enable_unet: Annotated[
        bool, Toggle(label="Hypertile U-Net", by_fact=True, ui="Enable Hypertile U-Net", absent=False)
    ] = False
    """Self-attention looks within tiles: faster for large pictures."""
    hypertile_enable_unet_secondpass: Annotated[
        bool,
        Toggle(
            label="Hypertile U-Net second pass",
            by_fact=True,
            ui="Enable Hypertile U-Net for hires fix second pass",
            absent=False,
        ),
    ] = False
    """The same in the hires pass alone."""
    hypertile_max_depth_unet: Annotated[
        int, Slider(label="Hypertile U-Net max depth", by_fact=True, min=0, max=3, step=1, ge=0, le=10, absent=3)
    ] = 3
    """The lowest level of the network that has tiles; 0 is the highest resolution alone."""
    hypertile_max_tile_unet: Annotated[
        int,
        Slider(
            label="Hypertile U-Net max tile size", by_fact=True, min=0, max=512, step=16, ge=0, le=16384, absent=256
        ),
    ] = 256
    """In pixels; smaller tiles are faster, and see less of the picture."""
    hypertile_swap_size_unet: Annotated[
        int, Slider(label="Hypertile U-Net swap size", by_fact=True, min=0, max=64, step=1, ge=0, le=64, absent=3)
    ] = 3
    """How many sizes of tiles take turns, so that their edges do not show."""
    hypertile_enable_vae: Annotated[
        bool, Toggle(label="Hypertile VAE", by_fact=True, ui="Enable Hypertile VAE", absent=False)
    ] = False
    """The same in the VAE."""
    hypertile_max_depth_vae: Annotated[
        int,
        Slider(
            label="Hypertile VAE max depth",
            by_fact=True,
            min=0,
            max=3,
            step=1,
            ge=0,
            le=10,
            absent=3,
            without_effect=_one_level,
        ),
    ] = 3
    """The lowest level of the VAE that has tiles."""
    hypertile_max_tile_vae: Annotated[
        int,
        Slider(label="Hypertile VAE max tile size", by_fact=True, min=0, max=512, step=16, ge=0, le=16384, absent=128),
    ] = 128
    """In pixels."""
    hypertile_swap_size_vae: Annotated[
        int, Slider(label="Hypertile VAE swap size", by_fact=True, min=0, max=64, step=1, ge=0, le=64, absent=3)
    ] = 3
    """How many sizes of tiles take turns."""
    control_net_no_detectmap: Annotated[bool, Toggle(ui="ControlNet: leave the maps out of the results")] = False
    """Does not show the preprocessors' maps beside the pictures."""
    controlnet_ignore_noninpaint_mask: Annotated[bool, Toggle(ui="ControlNet: ignore masks except for inpainting")] = (
        False
    )
    """When off, a mask painted on a unit's picture replaces the map."""
    control_net_inpaint_blur_sigma: Annotated[
        int, Slider(ui="ControlNet: soft edge around what inpaint_only fills, in pixels", min=1, max=64, step=1, ge=1)
    ] = 7
    """The original fades into the result over this many pixels."""
    ad_bbox_sortby: Annotated[
        str,
        Choice(
            ui="ADetailer: order in which found things are painted",
            choices=("None", "Position (left to right)", "Position (center to edge)", "Area (large to small)"),
        ),
    ] = "None"
    """None: the surest first. The order says which of the prompts separated by [SEP] belongs to which of them."""
    ad_same_seed_for_each_tab: Annotated[bool, Toggle(ui="ADetailer: same seed for everything that is found")] = False
    """When off, the seed increases by 1 for each of them."""
    ad_save_previews: Annotated[bool, Toggle(ui="ADetailer: show what was found beside the picture")] = False
    """Adds the picture with boxes around what was found."""
    ad_save_images_before: Annotated[bool, Toggle(ui="ADetailer: save a copy of the picture before it")] = False
    """Saved next to the picture as NAME-before-adetailer.png."""
    randn_source: Annotated[
        str,
        Choice(
            label="RNG",
            ui="Random number generator source.",
            place=52,
            absent="GPU",
            choices=("GPU", "CPU", "NV"),
            radio=True,
        ),
    ] = "GPU"
    """Which random number generator makes the noise. GPU and NV both mean NVIDIA's, computed on any device, so that
    a seed gives the same picture everywhere."""
    tiling: Annotated[bool, Toggle(label="Tiling", absent=False)] = False
    """Makes opposite edges match, so that the picture can be tiled."""
    hires_fix_refiner_pass: Annotated[
        str,
        Choice(
            label="Hires refiner",
            by_fact=True,
            ui="Hires fix: which pass to enable refiner for",
            place=69,
            choices=("first pass", "second pass", "both passes"),
            radio=True,
        ),
    ] = "second pass"
    """The pass of a hires picture in which the refiner takes over."""
    refiner_switch_by_sample_steps: Annotated[
        bool,
        Toggle(
            label="Refiner switch by sampling steps",
            by_fact=True,
            ui="Switch to refiner by sampling steps",
            place=69,
            absent=False,
        ),
    ] = False
    """Measures the switch point in steps instead of noise levels."""
    initial_noise_multiplier: Annotated[
        float,
        Slider(
            label="Noise multiplier",
            by_fact=True,
            ui="Noise multiplier for img2img",
            place=90,
            min=0,
            max=1.5,
            step=0.001,
            ge=0,
            le=10,
            absent=1.0,
        ),
    ] = 1.0
    """Scales the noise that img2img starts from."""
    img2img_extra_noise: Annotated[
        float,
        Slider(
            label="Extra noise",
            by_fact=True,
            ui="Extra noise multiplier for img2img and hires fix",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=10,
            absent=0.0,
        ),
    ] = 0.0
    """Adds extra noise for more detail."""
    upscaler_for_img2img: Annotated[str, Choice(ui="Upscaler for img2img", source="upscalers")] = "None"
    """Enlarges the original picture where the result is larger; None: Lanczos."""
    img2img_color_correction: Annotated[bool, Toggle(ui="Apply color correction to img2img results")] = False
    """Matches the colors of the result to the original picture."""
    img2img_fix_steps: Annotated[
        bool, Toggle(ui="With img2img, do exactly the amount of steps the slider specifies.")
    ] = False
    """When off, the number of steps is proportional to the denoising strength."""
    img2img_background_color: Annotated[str, Colour(ui="With img2img, fill transparent parts with this color")] = (
        "#ffffff"
    )
    """The color that replaces transparent parts of the original picture."""
    overlay_inpaint: Annotated[bool, Toggle(ui="Overlay original for inpaint")] = True
    """Pastes the unmasked part of the original picture back over the result."""
    return_mask: Annotated[bool, Toggle(ui="For inpainting, include the greyscale mask in results for web")] = False
    """Shows the mask beside the result."""
    return_mask_composite: Annotated[bool, Toggle(ui="For inpainting, include masked composite in results for web")] = (
        False
    )
    """Shows the repainted part, cut out along the mask, beside the result."""
    save_mask: Annotated[bool, Toggle(ui="For inpainting, save a copy of the greyscale mask")] = False
    """Saved next to the picture as NAME-mask.png."""
    save_mask_composite: Annotated[bool, Toggle(ui="For inpainting, save a masked composite")] = False
    """Saved next to the picture as NAME-mask-composite.png."""
    save_images_before_color_correction: Annotated[
        bool, Toggle(ui="Save a copy of image before applying color correction to img2img results")
    ] = False
    """Saved next to the picture as NAME-before-color-correction.png."""
    save_images_before_highres_fix: Annotated[bool, Toggle(ui="Save a copy of image before applying highres fix.")] = (
        False
    )
    """Saved next to the picture as NAME-before-highres-fix.png."""
    save_images_before_face_restoration: Annotated[
        bool, Toggle(ui="Save a copy of image before doing face restoration.")
    ] = False
    """Saved next to the picture as NAME-before-face-restoration.png."""
    sd_vae_encode_method: Annotated[
        str, Choice(label="VAE Encoder", ui="VAE type for encode", choices=("Full", "TAESD"), radio=True, absent="Full")
    ] = "Full"
    """The encoder that turns input pictures into latents."""
    sd_vae_decode_method: Annotated[
        str, Choice(label="VAE Decoder", ui="VAE type for decode", choices=("Full", "TAESD"), radio=True, absent="Full")
    ] = "Full"
    """The decoder that turns latents into pictures."""

    eta_ancestral: Annotated[
        float,
        Slider(
            label="Eta",
            by_fact=True,
            ui="Eta for k-diffusion samplers",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=10,
            absent=1.0,
        ),
    ] = 1.0
    """How much new noise ancestral and SDE samplers add at each step."""
    eta_ddim: Annotated[
        float,
        Slider(label="Eta DDIM", by_fact=True, ui="Eta for DDIM", min=0, max=1, step=0.01, ge=0, le=10, absent=0.0),
    ] = 0.0
    """How much new noise DDIM adds at each step."""
    s_churn: Annotated[
        float, Slider(label="Sigma churn", ui="sigma churn", min=0, max=100, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """How much noise is added back at each step, for samplers that support it."""
    s_tmin: Annotated[
        float, Slider(label="Sigma tmin", ui="sigma tmin", min=0, max=10, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """Lowest noise level at which noise is added back."""
    s_tmax: Annotated[
        float, Slider(label="Sigma tmax", ui="sigma tmax", min=0, max=999, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """Highest noise level at which noise is added back; 0 means no limit."""
    s_noise: Annotated[
        float, Slider(label="Sigma noise", ui="sigma noise", min=0, max=1.1, step=0.001, ge=0, absent=1.0, by_fact=True)
    ] = 1.0
    """Scales the added noise, for samplers that support it."""
    sigma_min: Annotated[float, Number(label="Schedule min sigma", by_fact=True, ui="sigma min", ge=0, absent=0.0)] = (
        0.0
    )
    """Lowest noise level of the schedule; 0 uses the model's own."""
    sigma_max: Annotated[float, Number(label="Schedule max sigma", by_fact=True, ui="sigma max", ge=0, absent=0.0)] = (
        0.0
    )
    """Highest noise level of the schedule; 0 uses the model's own."""
    rho: Annotated[float, Number(label="Schedule rho", by_fact=True, ui="rho", ge=0, absent=0.0)] = 0.0
    """Curvature (rho) of the Karras schedule; 0 uses its default."""
    always_discard_next_to_last_sigma: Annotated[
        bool,
        Toggle(label="Discard penultimate sigma", ui="Always discard next-to-last sigma", absent=False, by_fact=True),
    ] = False
    """Skips the next-to-last noise level."""
    sgm_noise_multiplier: Annotated[bool, Toggle(label="SGM noise multiplier", by_fact=True, absent=False)] = False
    """Scales the initial noise as the original SDXL code does."""
    uni_pc_variant: Annotated[
        str, Choice(label="UniPC variant", by_fact=True, choices=("bh1", "bh2", "vary_coeff"), radio=True, absent="bh1")
    ] = "bh1"
    """The variant of UniPC's corrector."""
    uni_pc_skip_type: Annotated[
        str,
        Choice(
            label="UniPC skip type",
            by_fact=True,
            choices=("time_uniform", "time_quadratic", "logSNR"),
            radio=True,
            absent="time_uniform",
        ),
    ] = "time_uniform"
    """How UniPC spaces its time steps."""
    uni_pc_order: Annotated[
        int, Slider(label="UniPC order", by_fact=True, cost=0.5, min=1, max=50, ge=1, le=50, absent=3)
    ] = 3
    """UniPC's order; must be lower than the number of steps."""
    uni_pc_lower_order_final: Annotated[bool, Toggle(label="UniPC lower order final", by_fact=True, absent=True)] = True
    """Lowers UniPC's order in the last steps; recommended for few steps."""
    sd_noise_schedule: Annotated[
        str,
        Choice(
            label="Noise Schedule",
            ui="Noise schedule for sampling",
            radio=True,
            choices=("Default", "Zero Terminal SNR"),
            absent="Default",
        ),
    ] = "Default"
    """Zero Terminal SNR lets models trained for it produce very dark and very bright pictures."""
    beta_dist_alpha: Annotated[
        float,
        Slider(
            label="Beta schedule alpha",
            by_fact=True,
            ui="Beta scheduler - alpha",
            min=0.01,
            max=1,
            step=0.01,
            ge=0.01,
            absent=0.6,
        ),
    ] = 0.6
    """First shape parameter of the Beta schedule."""
    beta_dist_beta: Annotated[
        float,
        Slider(
            label="Beta schedule beta",
            by_fact=True,
            ui="Beta scheduler - beta",
            min=0.01,
            max=1,
            step=0.01,
            ge=0.01,
            absent=0.6,
        ),
    ] = 0.6
    """Second shape parameter of the Beta schedule."""
    s_min_uncond: Annotated[
        float,
        Slider(
            label="NGMS", by_fact=True, ui="Negative Guidance minimum sigma", min=0, max=15, step=0.01, ge=0, absent=0.0
        ),
    ] = 0.0
    """Skips the negative prompt in every other step below this noise level, for speed."""
    s_min_uncond_all: Annotated[
        bool, Toggle(label="NGMS all steps", by_fact=True, ui="Negative Guidance minimum sigma all steps", absent=False)
    ] = False
    """Skips the negative prompt in every step below that noise level."""
    skip_early_cond: Annotated[
        float,
        Slider(
            label="Skip Early CFG",
            by_fact=True,
            ui="Ignore negative prompt during early sampling",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            absent=0.0,
        ),
    ] = 0.0
    """Skips the negative prompt during this fraction of the sampling, from its beginning."""
    pad_cond_uncond: Annotated[
        bool, Toggle(label="Pad conds", ui="Pad prompt/negative prompt", absent=False, by_fact=True)
    ] = False
    """Pads the shorter prompt so that both can be processed in one batch."""
    pad_cond_uncond_v0: Annotated[
        bool, Toggle(label="Pad conds v0", ui="Pad prompt/negative prompt (v0)", absent=False, by_fact=True)
    ] = False
    """The padding method of older versions."""
    emphasis: Annotated[
        str,
        Choice(
            label="Emphasis",
            by_fact=True,
            ui="Emphasis mode",
            radio=True,
            absent="Original",
            choices=("None", "Ignore", "Original", "No norm"),
        ),
    ] = "Original"
    """How emphasis such as (word:1.2) is applied."""
    use_old_scheduling: Annotated[
        bool,
        Toggle(
            label="Old prompt editing timelines", by_fact=True, ui="Use old prompt editing timelines.", absent=False
        ),
    ] = False
    """Interprets [from:to:when] as A1111 did before version 1.6."""
    use_downcasted_alpha_bar: Annotated[
        bool,
        Toggle(
            label="Downcast alphas_cumprod", absent=False, ui="Downcast model alphas_cumprod to fp16 before sampling."
        ),
    ] = False
    """Rounds noise levels as A1111 did before version 1.7, to reproduce old seeds."""
    use_old_emphasis_implementation: Annotated[bool, Toggle(ui="Use old emphasis implementation.")] = False
    """To reproduce seeds from 2022."""
    use_old_karras_scheduler_sigmas: Annotated[bool, Toggle(ui="Use old karras scheduler sigmas (0.1 to 10).")] = False
    """To reproduce seeds from 2022."""
    use_old_hires_fix_width_height: Annotated[
        bool, Toggle(ui="For hires fix, use width/height sliders to set final resolution rather than first pass")
    ] = False
    """Hires fix as in A1111 before version 1.0."""
    hires_fix_use_firstpass_conds: Annotated[
        bool, Toggle(ui="For hires fix, calculate conds of second pass using extra networks of first pass.")
    ] = False
    """The second pass uses the extra networks of the first."""
    no_dpmpp_sde_batch_determinism: Annotated[
        bool, Toggle(ui="Do not make DPM++ SDE deterministic across different batch sizes.")
    ] = False
    """Uses the same noise for a whole batch, to reproduce old seeds."""
    enable_quantization: Annotated[
        bool, Toggle(ui="Enable quantization in K samplers for sharper and cleaner results.")
    ] = False
    """Rounds noise levels to the ones the model was trained on."""
    comma_padding_backtrack: Annotated[int, Slider(ui="Prompt word wrap length limit", min=0, max=74, ge=0, le=74)] = 20
    """When a phrase would be split at 75 tokens, it is moved to the next chunk from the last comma, if that comma is
    within this many tokens."""
    enable_prompt_comments: Annotated[bool, Toggle(ui="Enable comments")] = True
    """Ignores everything after a # in a line of the prompt."""
    dynamic_prompts: Annotated[bool, Toggle(ui="Wildcards and choices in prompts")] = True
    """Fills in __name__ from the lists in models/wildcards, and {a|b} with one of the options, as the extension
    sd-dynamic-prompts does. When off, both are text."""
    sdxl_clip_l_skip: Annotated[bool, Toggle(ui="Clip skip SDXL")] = False
    """Applies Clip skip to SDXL's first text encoder."""
    sdxl_crop_top: Annotated[int, Number(ui="SDXL crop top coordinate")] = 0
    """The crop position that SDXL is conditioned on."""
    sdxl_crop_left: Annotated[int, Number(ui="SDXL crop left coordinate")] = 0
    """The crop position that SDXL is conditioned on."""
    sdxl_refiner_low_aesthetic_score: Annotated[float, Number(ui="SDXL low aesthetic score")] = 2.5
    """The aesthetic score that the SDXL refiner is given for the negative prompt."""
    sdxl_refiner_high_aesthetic_score: Annotated[float, Number(ui="SDXL high aesthetic score")] = 6.0
    """The aesthetic score that the SDXL refiner is given for the prompt."""
    distilled_cfg_scale: Annotated[
        float, Slider(label="Distilled CFG Scale", by_fact=True, min=1, max=30, step=0.1, ge=0, absent=3.5)
    ] = 3.5
    """How strongly Flux dev follows the prompt; leave its CFG scale at 1."""
    batch_cond_uncond: Annotated[bool, Toggle(ui="Batch cond/uncond")] = True
    """Processes the prompt and the negative prompt together: faster, but needs more memory."""
    fp8_storage: Annotated[
        str,
        Choice(
            label="FP8 weight",
            by_fact=True,
            cost=0.9,
            choices=("Disable", "Enable for SDXL", "Enable"),
            radio=True,
            absent="Disable",
        ),
    ] = "Disable"
    """Stores the model's weights in 8 bits: half the memory, slightly different pictures."""
    cache_fp16_weight: Annotated[bool, Toggle(label="Cache FP16 weight for LoRA", by_fact=True, absent=False)] = False
    """With 8-bit weights: also keeps the original weights in RAM, so that LoRAs can be merged without loss."""
    auto_vae_precision: Annotated[bool, Toggle(ui="Automatically revert VAE to 32-bit floats")] = True
    """Switches to full precision when a half-precision VAE produces a black picture."""
    auto_vae_precision_bfloat16: Annotated[bool, Toggle(ui="Automatically convert VAE to bfloat16")] = False
    """Tries bfloat16 first in that case: the range of full precision at half the memory."""
    upscaler_tile: Annotated[
        int, Slider(ui="Tile size for upscalers", alias="ESRGAN_tile", min=0, max=512, step=16, ge=0, le=4096)
    ] = 384
    """Side of the tiles that ESRGAN, Real-ESRGAN and other upscaler models process, in pixels; 0: no tiles. Where fewer
    pixels do, tiles are smaller."""
    upscaler_tile_overlap: Annotated[
        int,
        Slider(ui="Tile overlap for upscalers", alias="ESRGAN_tile_overlap", min=0, max=192, step=1, ge=0, le=512),
    ] = 128
    """Overlap of neighboring tiles in pixels, at most: networks that see less far take less, and none takes more than a
    third of a tile. A1111 has 8, which leaves seams."""
    dat_tile: Annotated[
        int, Slider(ui="Tile size for DAT", alias="DAT_tile", min=0, max=512, step=16, ge=0, le=4096)
    ] = 192
    """Side of the tiles that DAT models process, in pixels; 0: no tiles."""
    dat_tile_overlap: Annotated[
        int, Slider(ui="Tile overlap for DAT", alias="DAT_tile_overlap", min=0, max=48, step=1, ge=0, le=512)
    ] = 8
    """Overlap of their tiles in pixels."""
    swinir_tile: Annotated[
        int, Slider(ui="Tile size for SwinIR", alias="SWIN_tile", min=0, max=512, step=16, ge=0, le=4096)
    ] = 192
    """Side of the tiles that SwinIR models process, in pixels; 0: no tiles."""
    swinir_tile_overlap: Annotated[
        int, Slider(ui="Tile overlap for SwinIR", alias="SWIN_tile_overlap", min=0, max=48, step=1, ge=0, le=512)
    ] = 32
    """Overlap of their tiles in pixels. A1111 has 8, which leaves seams: such a network sees farther."""
    scunet_tile: Annotated[
        int, Slider(ui="Tile size for ScuNET", alias="SCUNET_tile", min=0, max=512, step=16, ge=0, le=4096)
    ] = 256
    """Side of the tiles that ScuNET models process, in pixels; 0: no tiles."""
    scunet_tile_overlap: Annotated[
        int, Slider(ui="Tile overlap for ScuNET", alias="SCUNET_tile_overlap", min=0, max=64, step=1, ge=0, le=512)
    ] = 8
    """Overlap of their tiles in pixels."""
    face_restoration: Annotated[bool, Toggle(ui="Restore faces")] = False
    """Restores faces in every finished picture with the model selected below."""
    face_restoration_model: Annotated[
        str,
        Choice(label="Face restoration", place=15, ui="Face restoration model", source="face_restorers", by_fact=True),
    ] = ""
    """The model that restores faces: a file in models/Codeformer or models/GFPGAN; empty: the first one there."""
    code_former_weight: Annotated[
        float, Slider(label="CodeFormer weight", by_fact=True, min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.5
    """How closely CodeFormer follows the picture: 0 is the strongest effect, 1 the weakest."""
    face_restoration_unload: Annotated[
        bool, Toggle(ui="Move face restoration model from VRAM into RAM after processing")
    ] = False
    """Frees the memory of the model after each picture."""
    postprocessing_operation_order: Annotated[
        tuple[str, ...], Several(ui="Postprocessing operation order", choices=OPERATIONS)
    ] = ()
    """Operations of the Extras tab that act first, in this order; the others follow in the usual order. The tab shows
    them in this order after a restart."""
    sd_lora: Annotated[str, Choice(ui="Add network to prompt", source="loras_or_none")] = "None"
    """A LoRA that is added to every picture whose prompt does not already use it."""
    sd_hypernetwork: Annotated[str, Choice(ui="Add hypernetwork to prompt", source="hypernetworks_or_none")] = "None"
    """A hypernetwork that is added to every picture whose prompt does not already use it."""
    extra_networks_default_multiplier: Annotated[
        float, Slider(ui="Default multiplier for extra networks", min=0, max=2, step=0.01)
    ] = 1.0
    """The weight of networks added by a card or by the settings above."""

    def unusual(self, name: str) -> dict[str, str]:
        """{label: value} of one of them, as infotexts have it, unless it is at its default."""
        value = getattr(self, name)
        return {} if value == default_of(type(self), name) else {type(self).params()[name].label: str(value)}


class SaveSettings(Declared):
    """Where pictures go and what is written beside them."""

    samples_save: Annotated[bool, Toggle(ui="Always save all generated images")] = True
    """When off, pictures are only kept while the page shows them."""
    save_incomplete_images: Annotated[bool, Toggle(ui="Save interrupted images")] = False
    """Shows and saves interrupted pictures as they are. API calls always receive them."""
    samples_format: Annotated[
        str, Choice(ui="File format for images", choices=("png", "jpg", "webp", "avif"), radio=True)
    ] = "png"
    """PNG is lossless."""
    samples_filename_pattern: Annotated[str, Text(ui="Images filename pattern", placeholder="[seed]")] = ""
    """Parameters in square brackets are replaced: [seed], [steps], [cfg], [prompt_words], [date] ... Empty: [seed]."""
    save_images_add_number: Annotated[bool, Toggle(ui="Add number to filename when saving")] = True
    """Numbers the pictures in each folder: 00000-seed.png."""
    save_images_replace_action: Annotated[
        str,
        Choice(ui="Saving the image to an existing file", choices=("Replace", "Add number suffix"), radio=True),
    ] = "Add number suffix"
    """Where files have no numbers. Replace: the picture of an earlier job that has this name is lost."""
    export_for_4chan: Annotated[bool, Toggle(ui="Save copy of large images as JPG")] = False
    """Beside each picture that is larger than the limits below, in NAME.jpg."""
    img_downscale_threshold: Annotated[
        float, Number(ui="File size limit for the above option, MB", ge=0, le=100_000)
    ] = 4.0
    """Larger files get the copy."""
    target_side_length: Annotated[
        int, Number(ui="Width/height limit for the above option, in pixels", ge=16, le=65_535)
    ] = 4000
    """Larger pictures get the copy, which is made so small."""
    save_to_dirs: Annotated[bool, Toggle(ui="Save images to a subdirectory")] = True
    """By default, one folder per day."""
    directories_filename_pattern: Annotated[str, Text(ui="Directory name pattern")] = "[date]"
    """The name of the subfolder."""
    directories_max_prompt_words: Annotated[
        int, Slider(ui="Max prompt words for [prompt_words] pattern", min=1, max=20, ge=1)
    ] = 8
    """The maximum number of words that [prompt_words] inserts."""
    outdir_samples: Annotated[str, Text(folder=True, ui="Output directory for images")] = ""
    """Empty: use the folders below."""
    outdir_txt2img_samples: Annotated[str, Text(folder=True, ui="Output directory for txt2img images")] = (
        "outputs/txt2img-images"
    )
    """Relative to the data folder."""
    outdir_img2img_samples: Annotated[str, Text(folder=True, ui="Output directory for img2img images")] = (
        "outputs/img2img-images"
    )
    """Relative to the data folder."""
    outdir_extras_samples: Annotated[str, Text(folder=True, ui="Output directory for images from extras tab")] = (
        "outputs/extras-images"
    )
    """Relative to the data folder."""
    outdir_txt2img_grids: Annotated[str, Text(folder=True, ui="Output directory for txt2img grids")] = (
        "outputs/txt2img-grids"
    )
    """Relative to the data folder."""
    outdir_img2img_grids: Annotated[str, Text(folder=True, ui="Output directory for img2img grids")] = (
        "outputs/img2img-grids"
    )
    """Relative to the data folder."""
    outdir_grids: Annotated[
        str, Text(folder=True, ui="Output directory for grids; if empty, defaults to two directories below")
    ] = ""
    """Relative to the data folder."""
    outdir_save: Annotated[str, Text(folder=True, ui="Directory for saving images using the Save button")] = (
        "log/images"
    )
    """Relative to the data folder."""
    use_save_to_dirs_for_ui: Annotated[bool, Toggle(ui='When using "Save" button, save images to a subdirectory')] = (
        False
    )
    """The subfolder of the Save button follows the pattern of the others."""
    save_selected_only: Annotated[bool, Toggle(ui="When using 'Save' button, only save a single selected image")] = True
    """When off, the Save button saves all pictures of the gallery."""
    save_write_log_csv: Annotated[bool, Toggle(ui="Write log.csv when saving images using 'Save' button")] = True
    """A line for each picture, with its prompt and seed, in a table that spreadsheets open."""
    grid_zip_filename_pattern: Annotated[
        str, Text(ui="Archive filename pattern", placeholder="[datetime]_[[model_name]]_[seed]-[seed_last]")
    ] = ""
    """The name of zip files, with the parameters of the other patterns."""
    history_folders: Annotated[
        str, Text(folder=True, ui="Folders of older pictures, shown in History", lines=3, placeholder="One per line")
    ] = ""
    """Such as the outputs of A1111. The pictures stay where they are."""
    outdir_init_images: Annotated[str, Text(folder=True, ui="Directory for saving init images when using img2img")] = (
        "outputs/init-images"
    )
    """Relative to the data folder."""
    save_init_img: Annotated[bool, Toggle(ui="Save init images when using img2img")] = False
    """Keeps every img2img input picture, named by its hash, which is also written into the infotext."""
    use_original_name_batch: Annotated[
        bool, Toggle(ui="Use original name for output filename during batch process in extras tab")
    ] = True
    """Names each result like its original picture; a number is added where the name is taken."""
    grid_save: Annotated[bool, Toggle(ui="Always save all generated image grids")] = True
    """Saves a grid of all pictures of a run."""
    grid_format: Annotated[str, Choice(ui="File format for grids", choices=("png", "jpg", "webp", "avif"))] = "png"
    """The file format of grids."""
    grid_save_to_dirs: Annotated[bool, Toggle(ui="Save grids to a subdirectory")] = True
    """The subfolders follow the same pattern as those of pictures."""
    grid_extended_filename: Annotated[
        bool, Toggle(ui="Add extended info (seed, prompt) to filename when saving grid")
    ] = False
    """Added after the number of the grid."""
    grid_prevent_empty_spots: Annotated[bool, Toggle(ui="Prevent empty spots in grid (when set to autodetect)")] = False
    """Only uses row counts that leave no empty spots."""
    grid_background_color: Annotated[str, Colour(ui="Background color for image grids")] = "#ffffff"
    """The color of empty spots."""
    font: Annotated[str, Text(ui="Font for image grids that have text", folder=True)] = ""
    """A TrueType file on this machine; empty: Roboto."""
    grid_text_active_color: Annotated[str, Colour(ui="Text color for image grids")] = "#000000"
    """Of titles of rows and columns."""
    grid_text_inactive_color: Annotated[str, Colour(ui="Inactive text color for image grids")] = "#999999"
    """Of words that a cell leaves out."""
    grid_only_if_multiple: Annotated[bool, Toggle(ui="Do not save grids consisting of one picture")] = True
    """A single picture gets no grid."""
    n_rows: Annotated[
        int, Slider(ui="Grid row count; -1: automatic, 0: like the batch size", min=-1, max=16, ge=-1)
    ] = -1
    """The number of rows in a grid."""
    jpeg_quality: Annotated[int, Slider(ui="Quality for saved jpeg and avif images", min=1, max=100, ge=1, le=100)] = 80
    """100 gives the best quality and the largest files."""
    webp_lossless: Annotated[bool, Toggle(ui="Use lossless compression for webp images")] = False
    """Lossless, but the files are larger."""
    enable_pnginfo: Annotated[bool, Toggle(ui="Write infotext to metadata of the generated image")] = True
    """Allows a picture to be reproduced from its file."""
    save_txt: Annotated[bool, Toggle(ui="Create a text file with infotext next to every generated image")] = False
    """Saves the infotext as a text file as well."""
    add_model_name_to_info: Annotated[bool, Toggle(ui="Add model name to infotext")] = True
    """The name of the checkpoint."""
    add_model_hash_to_info: Annotated[bool, Toggle(ui="Add model hash to infotext")] = True
    """The hash identifies the checkpoint file exactly."""
    add_vae_name_to_info: Annotated[bool, Toggle(ui="Add VAE name to infotext")] = True
    """The name of the VAE."""
    add_vae_hash_to_info: Annotated[bool, Toggle(ui="Add VAE hash to infotext")] = True
    """The hash identifies the VAE file exactly."""
    lora_add_hashes_to_infotext: Annotated[bool, Toggle(ui="Add Lora hashes to infotext")] = True
    """The hashes identify the LoRA files exactly."""
    textual_inversion_add_hashes_to_infotext: Annotated[bool, Toggle(ui="Add Textual Inversion hashes to infotext")] = (
        True
    )
    """The hashes identify the embedding files exactly."""
    add_version_to_infotext: Annotated[bool, Toggle(ui="Add program version to infotext")] = True
    """The version of Gesso."""
    add_user_name_to_info: Annotated[bool, Toggle(ui="Add user name to infotext when authenticated")] = False
    """The user who generated the picture."""

    @property
    def live(self) -> dict[str, object]:
        """What the page's scripts go by, from the moment on at which it is changed."""
        return {"saves_one": self.save_selected_only}


class UiSettings(Declared):
    """How the page looks and behaves."""

    quicksettings_list: Annotated[
        tuple[str, ...], Several(ui="Quicksettings list", source="settings", restart=True)
    ] = ("sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers")
    """The settings shown in the bar at the top of the page."""
    gradio_theme: Annotated[str, Choice(ui="Gradio theme", source="themes", restart=True)] = "Default"
    """Default is Gesso's; the others are Gradio's, and the files in the folder themes, as Gradio writes them."""
    localization: Annotated[str, Choice(ui="Localization", source="localizations")] = "Automatic"
    """The language of the page. Automatic: what each visitor's browser asks for; None: English."""
    ui_tab_order: Annotated[tuple[str, ...], Several(ui="UI tab order", source="tabs", restart=True)] = ()
    """Tabs that come first, in this order; the others follow as usual."""
    hidden_tabs: Annotated[tuple[str, ...], Several(ui="Hidden UI tabs", source="tabs", restart=True)] = ()
    """Hide Settings only if you can edit config.json: that is where it can be shown again."""
    ui_reorder_list: Annotated[
        tuple[str, ...], Several(ui="UI item order for txt2img/img2img tabs", choices=FORM_PARTS, restart=True)
    ] = ()
    """The n-th part named here comes after the n-th in the usual order; the others stay where they are."""
    extra_options_txt2img: Annotated[
        tuple[str, ...], Several(ui="Settings for txt2img", source="settings", restart=True)
    ] = ()
    """Settings that the txt2img form shows as well. There, they apply to that form's pictures only."""
    extra_options_img2img: Annotated[
        tuple[str, ...], Several(ui="Settings for img2img", source="settings", restart=True)
    ] = ()
    """Settings that the img2img form shows as well. There, they apply to that form's pictures only."""
    extra_options_cols: Annotated[
        int, Slider(ui="Number of columns for added settings", min=1, max=20, ge=1, le=20, restart=True)
    ] = 1
    """How many of them stand side by side."""
    extra_options_accordion: Annotated[bool, Toggle(ui="Place added settings into an accordion", restart=True)] = False
    """Folds them away."""
    compact_prompt_box: Annotated[bool, Toggle(ui="Compact prompt layout", restart=True)] = False
    """Puts the prompts at the top of the form's column, and Generate above the pictures."""
    samplers_in_dropdown: Annotated[
        bool, Toggle(ui="Use dropdown for sampler selection instead of radio group", restart=True)
    ] = True
    """When off, all samplers are shown at once."""
    hide_samplers: Annotated[
        tuple[str, ...], Several(ui="Hide samplers in user interface", source="samplers", restart=True)
    ] = ()
    """The form does not list them; pasted infotexts and API calls can still use them."""
    dimensions_and_batch_together: Annotated[
        bool, Toggle(ui="Show Width/Height and Batch sliders in same row", restart=True)
    ] = True
    """When off, the batch sliders stand below the seed."""
    txt2img_settings_accordion: Annotated[
        bool, Toggle(ui="Settings in txt2img hidden under Accordion", restart=True)
    ] = False
    """Folds the whole form away."""
    img2img_settings_accordion: Annotated[
        bool, Toggle(ui="Settings in img2img hidden under Accordion", restart=True)
    ] = False
    """Folds the whole form away."""
    postprocessing_enable_in_main_ui: Annotated[
        tuple[str, ...],
        Several(
            ui="Enable postprocessing operations in txt2img and img2img tabs", choices=OF_ONE_PICTURE, restart=True
        ),
    ] = ()
    """Operations of the Extras tab that these forms show as well, for their own pictures. Those that make several
    pictures of one are for Extras alone."""
    postprocessing_disable_in_extras: Annotated[
        tuple[str, ...],
        Several(
            ui="Disable postprocessing operations in extras tab",
            choices=tuple(name for name in OPERATIONS if name not in (BACKGROUND, UPSCALE, DETAIL)),
            restart=True,
        ),
    ] = ()
    """The Extras tab does not show them."""
    set_scale_by_when_changing_upscaler: Annotated[
        bool, Toggle(ui="Automatically set the Scale by factor based on the name of the selected Upscaler.")
    ] = False
    """Choosing 4x-UltraSharp on the Extras tab sets the factor 4."""
    live_previews_enable: Annotated[bool, Toggle(ui="Show live previews of the created image")] = True
    """Shows previews while a picture is being generated."""
    live_preview_refresh_period: Annotated[
        float, Number(ui="Progressbar and preview update period, milliseconds", ge=50)
    ] = 1000.0
    """The shortest time between two previews."""
    show_progress_type: Annotated[
        str, Choice(ui="Live preview method", choices=("Full", "Approx NN", "Approx cheap", "TAESD"), radio=True)
    ] = "Approx cheap"
    """Approx cheap costs next to nothing; Approx NN and TAESD are sharper but need their files in models/VAE-approx;
    Full is slow."""
    show_progress_every_n_steps: Annotated[
        int, Slider(ui="Live preview display period", min=-1, max=32, step=1, ge=-1)
    ] = 1
    """A preview at every so many steps at most; -1: only when a batch is finished."""
    live_preview_content: Annotated[
        str, Choice(ui="Live preview subject", choices=("Combined", "Prompt", "Negative prompt"), radio=True)
    ] = "Combined"
    """Combined is what the picture becomes; the others are what the model sees by one of the prompts alone."""
    show_progress_grid: Annotated[bool, Toggle(ui="Show previews of all images generated in a batch as a grid")] = True
    """When off, the first picture of a batch is shown."""
    live_previews_image_format: Annotated[
        str, Choice(ui="Live preview file format", choices=("jpeg", "png", "webp"), radio=True)
    ] = "jpeg"
    """PNG has no artifacts but is several times larger."""
    live_preview_allow_lowvram_full: Annotated[
        bool, Toggle(ui="Allow Full live preview method with lowvram/medvram")
    ] = False
    """When off, Approx cheap takes the place of Full where parts of the model wait outside the GPU."""
    live_preview_fast_interrupt: Annotated[
        bool, Toggle(ui="Return image with chosen live preview method on interrupt")
    ] = False
    """An interrupted picture that is kept is decoded like the previews: sooner, but less sharp."""
    js_live_preview_in_modal_lightbox: Annotated[bool, Toggle(ui="Show Live preview in full page image viewer")] = False
    """Can also be switched on in the viewer itself."""
    show_progressbar: Annotated[bool, Toggle(ui="Show progressbar")] = True
    """Shows the bar over the picture."""
    show_progress_in_title: Annotated[bool, Toggle(ui="Show generation progress in window title.")] = True
    """Shows percentage and remaining time in the title of the browser tab."""
    notification_audio: Annotated[bool, Toggle(ui="Play notification sound after image generation")] = True
    """Plays notification.mp3 from the data folder, if there is one."""
    notification_volume: Annotated[
        int, Slider(ui="Notification sound volume", min=0, max=100, step=1, ge=0, le=100)
    ] = 100
    """In percent."""
    prevent_screen_sleep_during_generation: Annotated[bool, Toggle(ui="Prevent screen sleep during generation")] = True
    """Only while the page is visible; browsers allow it on this machine and over https."""
    interrupt_after_current: Annotated[bool, Toggle(ui="Don't Interrupt in the middle")] = True
    """When several pictures were requested, the first click on Interrupt lets the current one finish."""
    return_grid: Annotated[bool, Toggle(ui="Show grid in gallery")] = True
    """Shows the grid before the pictures."""
    do_not_show_images: Annotated[bool, Toggle(ui="Do not show any images in gallery")] = False
    """Pictures are generated and saved, but not shown."""
    gallery_height: Annotated[str, Text(ui="Gallery height", placeholder="600px, 50vh ...")] = ""
    """The height of the picture on the page, as in CSS; empty: as fits the window."""
    open_dir_button_choice: Annotated[
        str,
        Choice(
            ui="What directory the folder button opens",
            choices=("Output Root", "Subdirectory", "Subdirectory (even temp dir)"),
            radio=True,
        ),
    ] = "Subdirectory"
    """Subdirectory is the folder of the selected picture. The last one also opens that of pictures that are not
    saved."""
    js_modal_lightbox: Annotated[bool, Toggle(ui="Full page image viewer: enable")] = True
    """Opens the viewer when a picture is clicked."""
    js_modal_lightbox_initially_zoomed: Annotated[
        bool, Toggle(ui="Full page image viewer: show images zoomed in by default")
    ] = True
    """Small pictures fill the window; when off, they are shown at their size."""
    js_modal_lightbox_gamepad: Annotated[bool, Toggle(ui="Full page image viewer: navigate with gamepad")] = False
    """With the left stick of a gamepad, or a horizontal wheel."""
    js_modal_lightbox_gamepad_repeat: Annotated[
        int, Number(ui="Full page image viewer: gamepad repeat period", ge=50, le=10_000)
    ] = 250
    """In milliseconds, while the stick is held."""
    sd_webui_modal_lightbox_icon_opacity: Annotated[
        float,
        Slider(ui="Full page image viewer: control icon unfocused opacity", min=0, max=1, step=0.01, ge=0, le=1),
    ] = 1.0
    """Of the buttons that the pointer is not on."""
    sd_webui_modal_lightbox_toolbar_opacity: Annotated[
        float,
        Slider(ui="Full page image viewer: tool bar opacity", min=0, max=1, step=0.01, ge=0, le=1),
    ] = 0.9
    """Of the bar with the buttons."""
    send_seed: Annotated[bool, Toggle(ui="Send seed when sending prompt or image to other interface")] = True
    """Sends the seed along with the picture or prompt."""
    send_size: Annotated[bool, Toggle(ui="Send size when sending prompt or image to another interface")] = True
    """Sends the size along with the picture or prompt."""
    control_net_unit_count: Annotated[
        int, Slider(ui="ControlNet: units in the form", min=1, max=10, step=1, ge=1, le=10, restart=True)
    ] = 3
    """The number of tabs on the page. API calls may use more units."""
    control_net_models_path: Annotated[str, Text(folder=True, ui="ControlNet: an additional folder of networks")] = ""
    """Relative to the data folder; besides models/ControlNet and --controlnet-dir."""
    control_net_modules_path: Annotated[
        str, Text(folder=True, ui="ControlNet: an additional folder of the preprocessors' files")
    ] = ""
    """Relative to the data folder; besides models/ControlNetPreprocessor. Image encoders lie in its clip_vision."""
    ad_max_models: Annotated[
        int, Slider(ui="ADetailer: units in the form", min=1, max=10, step=1, ge=1, le=15, restart=True)
    ] = 2
    """The number of tabs on the page. API calls may use more units."""
    hires_fix_show_sampler: Annotated[
        bool, Toggle(ui="Hires fix: show hires checkpoint and sampler selection", restart=True)
    ] = False
    """When off, they still appear when a pasted infotext uses them."""
    hires_fix_show_prompts: Annotated[
        bool, Toggle(ui="Hires fix: show hires prompt and negative prompt", restart=True)
    ] = False
    """When off, they still appear when a pasted infotext uses them."""
    disable_token_counters: Annotated[bool, Toggle(ui="Disable prompt token counters")] = False
    """Hides the counters at the edge of the prompts."""
    include_styles_into_token_counters: Annotated[bool, Toggle(ui="Count tokens of enabled styles")] = True
    """Includes the text of selected styles in the count."""
    while_running: Annotated[
        str,
        Choice(
            ui="Ctrl+Enter while a picture is being generated",
            choices=("Interrupt, and begin anew", "One more job, after those that wait"),
            radio=True,
        ),
    ] = "Interrupt, and begin anew"
    """The effect of Ctrl+Enter during generation. The Generate button always adds a job."""
    disable_weights_auto_swap: Annotated[bool, Toggle(ui="Disregard checkpoint information from pasted infotext")] = (
        True
    )
    """Pasting an infotext never changes the checkpoint."""
    infotext_skip_pasting: Annotated[
        tuple[str, ...], Several(ui="Disregard fields from pasted infotext", source="infotext_labels")
    ] = ()
    """The fields listed here keep their values when an infotext is pasted."""
    auto_backcompat: Annotated[bool, Toggle(ui="Automatic backward compatibility")] = True
    """When an infotext from an old version of A1111 is pasted, the settings that reproduce that version are applied."""
    infotext_styles: Annotated[
        str,
        Choice(
            ui="Infer styles from prompts of pasted infotext",
            radio=True,
            choices=("Ignore", "Apply", "Discard", "Apply if any"),
        ),
    ] = "Apply if any"
    """Recognizes saved styles in a pasted prompt and selects them."""
    paste_templates: Annotated[bool, Toggle(ui="Paste templates of dynamic prompts")] = False
    """When a pasted infotext tells which template its prompt was made of, pastes the template in place of the text.
    With the same seed, it gives the same text again as long as the wildcards are the same."""
    lora_preferred_name: Annotated[
        str,
        Choice(
            ui="When adding to prompt, refer to Lora by",
            radio=True,
            choices=("Alias from file", "Filename"),
        ),
    ] = "Alias from file"
    """The name that a card inserts; if two files share an alias, the file name is used."""
    keyedit_precision_attention: Annotated[
        float, Slider(ui="Precision for (attention:1.1) with Ctrl+up/down", min=0.01, max=0.2, step=0.001, ge=0.001)
    ] = 0.1
    """The change per key press."""
    keyedit_precision_extra: Annotated[
        float,
        Slider(ui="Precision for <extra networks:0.9> with Ctrl+up/down", min=0.01, max=0.2, step=0.001, ge=0.001),
    ] = 0.05
    """The change per key press."""

    keyedit_delimiters: Annotated[
        str, Text(ui="Word delimiters when editing the prompt with Ctrl+up/down", longest=200)
    ] = ".,\\/!?%^*;:{}=`~() "
    """A word ends at these characters."""
    keyedit_delimiters_whitespace: Annotated[
        tuple[str, ...],
        Several(ui="Ctrl+up/down whitespace delimiters", choices=("Tab", "Carriage Return", "Line Feed")),
    ] = ("Tab", "Carriage Return", "Line Feed")
    """A word ends at these as well."""
    keyedit_move: Annotated[bool, Toggle(ui="Alt+left/right moves prompt elements")] = True
    """The part of the prompt between two commas changes places with its neighbour."""
    prompt_completion: Annotated[bool, Toggle(ui="Complete words while typing in a prompt")] = True
    """Suggests tags from the lists in models/tags, words of your own prompts, wildcards, and models, as after <lora:.
    Tab inserts, the arrow keys choose, Esc closes."""
    prompt_completion_underscores: Annotated[bool, Toggle(ui="Keep underscores in completed tags")] = False
    """When off, long_hair is written as long hair."""
    prompt_completion_comma: Annotated[bool, Toggle(ui="Add a comma after completed words")] = True
    """Unless one follows already."""
    remember_form: Annotated[bool, Toggle(ui="Remember what stands in the forms")] = True
    """A reloaded page shows the values, pictures and tabs that were there before. "Reset the form" above Styles brings
    the defaults back."""

    @property
    def live(self) -> dict[str, object]:
        """What the page's scripts go by."""
        blanks = {"Tab": "\t", "Carriage Return": "\r", "Line Feed": "\n"}
        return {
            "delimiters": self.keyedit_delimiters
            + "".join(blanks[name] for name in self.keyedit_delimiters_whitespace if name in blanks),
            "moves": self.keyedit_move,
            "completes": self.prompt_completion,
            "underscores": self.prompt_completion_underscores,
            "completion_comma": self.prompt_completion_comma,
            "scales": self.set_scale_by_when_changing_upscaler,
            "remembers": self.remember_form,
            "counters": not self.disable_token_counters,
            "styles_count": self.include_styles_into_token_counters,
            "precision": self.keyedit_precision_attention,
            "precision_extra": self.keyedit_precision_extra,
            "begins_anew": self.while_running.startswith("Interrupt"),
            "shows_pictures": not self.do_not_show_images,
            "gallery_height": self.gallery_height,
            "lightbox": self.js_modal_lightbox,
            "lightbox_fills": self.js_modal_lightbox_initially_zoomed,
            "lightbox_live": self.js_live_preview_in_modal_lightbox,
            "icon_opacity": self.sd_webui_modal_lightbox_icon_opacity,
            "bar_opacity": self.sd_webui_modal_lightbox_toolbar_opacity,
            "gamepad_ms": self.js_modal_lightbox_gamepad_repeat if self.js_modal_lightbox_gamepad else 0,
            "progress_bar": self.show_progressbar,
            "progress_title": self.show_progress_in_title,
            "volume": self.notification_volume / 100 if self.notification_audio else 0.0,
            "stays_awake": self.prevent_screen_sleep_during_generation,
        }


class CanvasSettings(Declared):
    """Keys on the canvases that pictures, masks and sketches are painted on."""

    canvas_hotkey_zoom: Annotated[
        str, Choice(ui="Zoom canvas", choices=("Shift", "Ctrl", "Alt"), radio=True)
    ] = "Alt"
    """With this key held, the wheel zooms. On a canvas that fills the window, the wheel alone does."""
    canvas_hotkey_adjust: Annotated[
        str, Choice(ui="Adjust brush size", choices=("Shift", "Ctrl", "Alt"), radio=True)
    ] = "Ctrl"
    """With this key held, the wheel changes the size of the brush."""
    canvas_hotkey_shrink_brush: Annotated[str, Text(ui="Shrink the brush size", longest=20)] = "Q"
    """A letter, or the name of a key."""
    canvas_hotkey_grow_brush: Annotated[str, Text(ui="Enlarge the brush size", longest=20)] = "W"
    """A letter, or the name of a key."""
    canvas_hotkey_move: Annotated[str, Text(ui="Moving the canvas", longest=20)] = "F"
    """While it is held, the pointer moves the picture. The space bar does so too."""
    canvas_hotkey_fullscreen: Annotated[str, Text(ui="Canvas over the whole window", longest=20)] = "S"
    """The same key leads back."""
    canvas_hotkey_reset: Annotated[str, Text(ui="Reset zoom and canvas position", longest=20)] = "R"
    """Shows the whole picture."""
    canvas_blur_prompt: Annotated[bool, Toggle(ui="Take the focus off the prompt when working with a canvas")] = False
    """Keys then go to the canvas as soon as the pointer is on it."""
    canvas_disabled_functions: Annotated[
        tuple[str, ...],
        Several(
            ui="Disable functions that you don't use",
            choices=(
                "Zoom",
                "Adjust brush size",
                "Hotkey enlarge brush",
                "Hotkey shrink brush",
                "Moving canvas",
                "Fullscreen",
                "Reset Zoom",
                "Overlap",
            ),
        ),
    ] = ("Overlap",)
    """Their keys do nothing. "Overlap" is A1111's, and has no effect here."""

    @property
    def live(self) -> dict[str, object]:
        """What the page's scripts go by."""
        return {
            "zoom": self.canvas_hotkey_zoom,
            "adjust": self.canvas_hotkey_adjust,
            "shrink": self.canvas_hotkey_shrink_brush,
            "grow": self.canvas_hotkey_grow_brush,
            "move": self.canvas_hotkey_move,
            "fullscreen": self.canvas_hotkey_fullscreen,
            "reset": self.canvas_hotkey_reset,
            "disabled": list(self.canvas_disabled_functions),
            "blurs": self.canvas_blur_prompt,
        }


class CardSettings(Declared):
    """The cards of models under the prompts."""

    extra_networks_show_hidden_directories: Annotated[bool, Toggle(ui="Show hidden directories")] = True
    """Lists folders whose names begin with a dot."""
    extra_networks_dir_button_function: Annotated[
        bool, Toggle(ui="Add a '/' to the beginning of directory buttons")
    ] = False
    """Writes /people instead of people."""
    extra_networks_hidden_models: Annotated[
        str,
        Choice(
            ui="Show cards for models in hidden directories", choices=("Always", "When searched", "Never"), radio=True
        ),
    ] = "When searched"
    """Hidden directories have names that begin with a dot. When searched: once four letters are typed."""
    extra_networks_card_width: Annotated[int, Number(ui="Card width for Extra Networks", ge=0, le=2000)] = 0
    """In pixels; 0: as wide as fits."""
    extra_networks_card_height: Annotated[int, Number(ui="Card height for Extra Networks", ge=0, le=2000)] = 0
    """In pixels; 0: as high as wide."""
    extra_networks_card_text_scale: Annotated[
        float, Slider(ui="Card text scale", min=0, max=2, step=0.01, ge=0, le=10)
    ] = 1.0
    """0 hides the text."""
    extra_networks_card_show_desc: Annotated[bool, Toggle(ui="Show description on card")] = True
    """Below the name."""
    extra_networks_card_order_field: Annotated[
        str,
        Choice(
            ui="Default order field for Extra Networks cards",
            choices=("Path", "Name", "Date Created", "Date Modified"),
        ),
    ] = "Path"
    """What cards are sorted by when the page opens."""
    extra_networks_card_order: Annotated[
        str, Choice(ui="Default order for Extra Networks cards", choices=("Ascending", "Descending"))
    ] = "Ascending"
    """The direction in which they are sorted then."""
    extra_networks_tree_view_style: Annotated[
        str, Choice(ui="Extra Networks directory view style", choices=("Tree", "Dirs"), radio=True)
    ] = "Dirs"
    """Folders as a tree or as buttons, until a browser chooses otherwise."""
    extra_networks_tree_view_default_enabled: Annotated[
        bool, Toggle(ui="Show the Extra Networks directory view by default")
    ] = True
    """When off, the folders come with the button for them."""
    extra_networks_tree_view_default_width: Annotated[
        int, Number(ui="Default width for the Extra Networks directory tree view", ge=50, le=2000)
    ] = 180
    """In pixels."""
    extra_networks_add_text_separator: Annotated[str, Text(ui="Extra networks separator", longest=100)] = " "
    """The text that a card writes before what it adds."""
    ui_extra_networks_tab_reorder: Annotated[str, Text(ui="Extra networks tab order", longest=1000)] = ""
    """Names of pages, separated by commas: they come first."""
    lora_show_all: Annotated[bool, Toggle(ui="Always show all networks on the Lora page")] = False
    """When off, the page begins with those for the base model of the checkpoint in use."""
    lora_hide_unknown_for_versions: Annotated[
        tuple[str, ...],
        Several(ui="Hide networks of unknown versions for model versions", choices=("SD1", "SD2", "SDXL")),
    ] = ()
    """With a checkpoint of these, networks whose base model is not known are left out as well."""

    @property
    def live(self) -> dict[str, object]:
        """What the page's scripts go by."""
        return {
            "sort": self.extra_networks_card_order_field.lower(),
            "descending": self.extra_networks_card_order == "Descending",
            "tree": self.extra_networks_tree_view_style == "Tree",
            "folders": self.extra_networks_tree_view_default_enabled,
            "tree_width": self.extra_networks_tree_view_default_width,
            "width": self.extra_networks_card_width,
            "height": self.extra_networks_card_height,
            "text": self.extra_networks_card_text_scale,
            "described": self.extra_networks_card_show_desc,
            "slash": self.extra_networks_dir_button_function,
            "separator": self.extra_networks_add_text_separator,
            "pages": [name.strip().lower() for name in self.ui_extra_networks_tab_reorder.split(",") if name.strip()],
            "all": self.lora_show_all,
        }


class SystemSettings(Declared):
    """The machine: memory, models kept loaded, jobs."""

    sd_checkpoints_limit: Annotated[
        int, Slider(ui="Maximum number of checkpoints loaded at the same time", min=1, max=10, ge=1)
    ] = 2
    """An upper limit, whatever the memory budget allows."""
    model_memory_budget: Annotated[
        float, Number(ui="Memory for loaded models, GiB (0: half of the free memory)", ge=0)
    ] = 0.0
    """When it is exceeded, the least recently used model is unloaded."""
    memory_profile: Annotated[
        str,
        Choice(
            ui="GPU memory mode",
            choices=("Automatic", *MEMORY_PROFILES),
        ),
    ] = "Automatic"
    """Automatic chooses by free memory, model and picture size. Later choices need less memory but are slower.
    Command-line flags take precedence."""
    cross_attention_optimization: Annotated[
        str, Choice(ui="Cross attention optimization", choices=tuple(ATTENTIONS))
    ] = "Automatic"
    """How attention is computed: by xformers, where it is installed; by torch itself (sdp, None), which is fast; or
    piece by piece (all others), which is slower and needs less memory. Flags count where this is Automatic."""
    auto_launch_browser: Annotated[
        str,
        Choice(ui="Automatically open webui in browser on startup", choices=("Disable", "Local", "Remote"), radio=True),
    ] = "Local"
    """Local: where the launcher was started on a desktop, and the page is for this machine alone. Remote: always. With
    --autolaunch the page is opened whatever is chosen here."""
    list_hidden_files: Annotated[bool, Toggle(ui="Load models/files in hidden directories")] = True
    """When off, files below a folder whose name begins with a dot are in no list."""
    resume_jobs_at_start: Annotated[bool, Toggle(ui="Resume unfinished jobs at startup")] = True
    """Continues jobs that were interrupted by a crash or a restart."""
    unload_after_minutes: Annotated[float, Number(ui="Unload models after this many idle minutes (0: never)", ge=0)] = (
        0.0
    )
    """Frees memory while nothing is being generated; the next picture loads the models again."""
    api_enable_requests: Annotated[bool, Toggle(ui="Allow http:// and https:// addresses for input images in API")] = (
        False
    )
    """Lets the server download pictures from URLs given in API calls."""
    api_forbid_local_requests: Annotated[bool, Toggle(ui="Forbid addresses of local resources")] = True
    """Nothing is downloaded from this machine or its local network."""
    api_useragent: Annotated[str, Text(ui="User agent for requests")] = ""
    """The User-Agent header of these downloads; empty: Gesso."""
    samples_log_stdout: Annotated[bool, Toggle(ui="Always print all generation info to standard output")] = False
    """Prints the infotext of every picture to the console."""

    @property
    def attention(self) -> Attention:
        """The engine's name for the way to compute attention; "" for Automatic."""
        return ATTENTIONS[self.cross_attention_optimization]

    @property
    def offload(self) -> Literal["", "none", "medium", "low", "leaf"]:
        """The engine's name for the memory profile; "" for Automatic."""
        return MEMORY_PROFILES.get(self.memory_profile, "")


class InterrogateSettings(Declared):
    """How pictures are described in words."""

    interrogate_clip_num_beams: Annotated[int, Slider(ui="BLIP: num_beams", min=1, max=16, ge=1, le=64)] = 1
    """The number of beams; more is slower and slightly better."""
    interrogate_clip_min_length: Annotated[
        int, Slider(ui="BLIP: minimum description length", min=1, max=128, ge=1, le=256)
    ] = 24
    """In tokens."""
    interrogate_clip_max_length: Annotated[
        int, Slider(ui="BLIP: maximum description length", min=1, max=256, ge=1, le=256)
    ] = 48
    """In tokens."""
    interrogate_clip_dict_limit: Annotated[
        int, Number(ui="CLIP: maximum number of lines in text file", ge=0, le=20_000)
    ] = 1500
    """Phrases of each list in the folder interrogate that are tried; 0: all. It takes a CLIP model in models/CLIP."""
    interrogate_clip_skip_categories: Annotated[
        tuple[str, ...], Several(ui="CLIP: skip inquire categories", source="interrogate_categories")
    ] = ()
    """Lists that are not used."""
    interrogate_deepbooru_score_threshold: Annotated[
        float, Slider(ui="deepbooru: score threshold", min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.5
    """Tags with a lower score are omitted."""
    interrogate_wd14_model: Annotated[str, Choice(ui="wd14: tagger", source="taggers")] = "Automatic"
    """The tagger behind Interrogate WD14. Automatic: the first one in models/wd14."""
    interrogate_wd14_score_threshold: Annotated[
        float, Slider(ui="wd14: score threshold", min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.35
    """General tags with a lower score are omitted."""
    interrogate_wd14_character_threshold: Annotated[
        float, Slider(ui="wd14: score threshold for characters", min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.85
    """Names of characters with a lower score are omitted."""
    interrogate_wd14_rating: Annotated[bool, Toggle(ui="wd14: begin with the rating")] = False
    """Puts the most likely rating (general, sensitive, questionable or explicit) before the tags."""
    deepbooru_sort_alpha: Annotated[bool, Toggle(ui="deepbooru: sort tags alphabetically")] = True
    """When off, the most likely tags come first. Applies to WD14 taggers, too, as do the next three."""
    deepbooru_use_spaces: Annotated[bool, Toggle(ui="deepbooru: use spaces in tags")] = True
    """Replaces underscores with spaces, but for WD14's faces, such as ^_^."""
    deepbooru_escape: Annotated[bool, Toggle(ui="deepbooru: escape (\\) brackets")] = True
    """Prevents brackets in tags from being read as emphasis."""
    deepbooru_filter_tags: Annotated[str, Text(ui="deepbooru: filter out those tags")] = ""
    """Separated by commas."""
    interrogate_return_ranks: Annotated[bool, Toggle(ui="Include ranks of model tags matches in results.")] = False
    """Writes the score of each tag as emphasis: (tag:0.987)."""


class LimitSettings(Declared):
    """What one job or one upload may ask for at most: so that nobody fills the machine, by mistake or on purpose."""

    most_prompt_characters: Annotated[int, Number(ui="Maximum prompt length, characters", ge=100, le=1_000_000)] = (
        200_000
    )
    """Applies to the prompt and to the negative prompt."""
    most_pictures: Annotated[int, Number(ui="Maximum pictures per job", ge=1, le=1_000_000)] = 10_000
    """Batch size times batch count."""
    most_batch_size: Annotated[int, Number(ui="Maximum batch size", ge=1, le=512)] = 64
    """Pictures that are generated at the same time."""
    most_steps: Annotated[int, Number(ui="Maximum sampling steps", ge=1, le=10_000)] = 1_000
    """Per pass."""
    most_megapixels: Annotated[float, Number(ui="Maximum size of a generated picture, megapixels", ge=0.1, le=1000)] = (
        64.0
    )
    """Width times height, including the hires pass."""
    most_upload_megabytes: Annotated[int, Number(ui="Maximum size of an uploaded file, megabytes", ge=1, le=1024)] = 128
    """Per picture."""
    most_upload_megapixels: Annotated[
        float, Number(ui="Maximum size of an uploaded picture, megapixels", ge=1, le=85)
    ] = 64.0
    """A small file can contain a very large picture."""
    keep_jobs_days: Annotated[int, Number(ui="Delete finished jobs after this many days (0: never)", ge=0)] = 30
    """Their pictures are kept."""
    keep_trash_days: Annotated[
        int, Number(ui="Delete pictures in the trash after this many days (0: never)", ge=0, le=36_500)
    ] = 30
    """Until then they can be restored, in History."""


class Settings(BaseModel):
    """All settings: a frozen value; a change makes a new one."""

    model_config = ConfigDict(frozen=True)

    render: RenderSettings = RenderSettings()
    save: SaveSettings = SaveSettings()
    ui: UiSettings = UiSettings()
    canvas: CanvasSettings = CanvasSettings()
    cards: CardSettings = CardSettings()
    system: SystemSettings = SystemSettings()
    interrogate: InterrogateSettings = InterrogateSettings()
    limits: LimitSettings = LimitSettings()

    @classmethod
    def sections(cls) -> dict[str, type[Declared]]:
        """Section name -> its class, in the order of the Settings tab."""
        return {name: info.annotation for name, info in cls.model_fields.items()}  # type: ignore[misc]

    @classmethod
    def keys(cls) -> dict[str, tuple[str, str]]:
        """Every key that people may use (our name and A1111's) -> (section, field)."""
        found: dict[str, tuple[str, str]] = {}
        for section, declared in cls.sections().items():
            for name, param in declared.params().items():
                found[name] = (section, name)
                if param.alias:
                    found[param.alias] = (section, name)
        return found

    def options(self) -> dict[str, object]:
        """Flat view by A1111's keys: what `/sdapi/v1/options` answers."""
        return {param.alias or name: getattr(getattr(self, section), name) for section, name, param in self.walk()}

    @classmethod
    def without_effect(cls) -> dict[str, str]:
        """Every key (our name and A1111's) of a setting that does nothing now -> why."""
        params = [(name, param, param.without_effect()) for _, name, param in cls.walk()]
        return {key: why for name, param, why in params if why for key in (name, param.alias) if key}

    @classmethod
    def walk(cls) -> Iterator[tuple[str, str, Param]]:
        """(section, field, Param) of every setting."""
        for section, declared in cls.sections().items():
            for name, param in declared.params().items():
                yield section, name, param

    def with_options(self, values: Mapping[str, object], *, strict: bool = True) -> Self:
        """A copy with these options, by our names or A1111's.

        Raises:
            NotFound: `strict`, and a key is no setting.
            UserError: a value does not fit its setting.
        """
        keys = self.keys()
        changes: dict[str, dict[str, object]] = {}
        for key, value in values.items():
            if key not in keys:
                if strict:
                    raise NotFound(f"There is no setting {key!r}.", hint=did_you_mean(key, keys), field=key)
                continue
            section, name = keys[key]
            changes.setdefault(section, {})[name] = parsed(self.sections()[section], name, value)
        sections = {name: getattr(self, name).changed(**changed) for name, changed in changes.items()}
        return self.model_copy(update=sections)

    @classmethod
    def folders(cls) -> frozenset[str]:
        """Keys of the settings that name a folder of the machine."""
        found = [(name, param.alias) for _, name, param in cls.walk() if isinstance(param, Text) and param.folder]
        return frozenset(key for keys in found for key in keys if key)

    def with_overrides(self, values: Mapping[str, object]) -> Self:
        """A copy with what a request overrides. Anybody may send one, so that folders stay those of the settings.

        Raises:
            UserError: a value does not fit its setting.
        """
        folders = self.folders()
        return self.with_options({key: value for key, value in values.items() if key not in folders}, strict=False)

    def changed_options(self) -> dict[str, object]:
        """Only what differs from the default, by A1111's keys: what is saved."""
        plain = type(self)().options()
        return {key: value for key, value in self.options().items() if value != plain[key]}


def setting_title(key: str) -> str:
    """What people see beside the setting `key`."""
    section, name = Settings.keys()[key]
    param = param_of(Settings.sections()[section].model_fields[name])
    if param is None:
        raise UserError(f"There is no setting {key!r}.")
    return param.title
