"""Settings in the same vocabulary as parameters. `RenderSettings` alter pixels; nothing else does.

The names are A1111's option keys, so that `config.json`, `override_settings` and `/sdapi/v1/options` speak one
language; `alias` is given where ours reads better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from webui import registry
from webui.base.errors import NotFound, UserError, did_you_mean
from webui.request.params import (
    Choice,
    Codec,
    Colour,
    Declared,
    Number,
    Param,
    Several,
    Slider,
    Text,
    Toggle,
    param_of,
    parsed,
)

MEMORY_PROFILES: Mapping[str, Literal["none", "medium", "low", "leaf"]] = MappingProxyType(
    {
        "Everything on the GPU": "none",
        "Text encoder and VAE out while sampling": "medium",
        "Block by block": "low",
        "Layer by layer": "leaf",
    }
)
"""Choices of the setting of this name, and the engine's names for them."""

NAME_OR_NONE = Codec(write=str, read=lambda text: text.strip().casefold() not in ("", "none", "false"))
"""A switch that infotexts name what it switches on by. A1111: "Face restoration: CodeFormer"."""


def _wants_restorer() -> str:
    return "" if registry.restorers() else "No face restorer is installed."


def _wants_save_button() -> str:
    return "The Save button saves with the browser. Pictures that lie in this folder are shown in the History."


class RenderSettings(Declared):
    """Whatever changes the picture but is rarely changed from one picture to the next."""

    sd_model_checkpoint: Annotated[str, Choice(ui="Stable Diffusion checkpoint", source="checkpoints", cost=1.0)] = ""
    """The model that makes the pictures: a file in models/Stable-diffusion."""
    sd_vae: Annotated[str, Choice(ui="SD VAE", source="vaes", cost=0.7)] = "Automatic"
    """Turns latents into pixels. Automatic: a file named like the checkpoint, else the checkpoint's own."""
    sd_vae_overrides_per_model_preferences: Annotated[
        bool, Toggle(ui="Selected VAE overrides per-model preferences")
    ] = True
    """Whether a VAE chosen here wins over one that a checkpoint's card names."""
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
    """For inpainting checkpoints: 1 shows the model the mask fully, 0 hides it."""
    clip_skip: Annotated[
        int, Slider(label="Clip skip", alias="CLIP_stop_at_last_layers", min=1, max=12, ge=1, le=12, absent=1)
    ] = 1
    """Takes the text from this layer of the text encoder, counted from the end."""
    eta_noise_seed_delta: Annotated[int, Number(label="ENSD", by_fact=True, ui="Eta noise seed delta", absent=0)] = 0
    """Added to the seed of the noise after the first; 31337 matches an old service."""
    token_merging_ratio: Annotated[
        float, Slider(label="Token merging ratio", by_fact=True, min=0, max=0.9, step=0.1, ge=0, le=0.9, absent=0.0)
    ] = 0.0
    """Merges like tokens of self-attention for speed; 0 is off."""
    token_merging_ratio_img2img: Annotated[
        float, Slider(ui="Token merging ratio for img2img", min=0, max=0.9, step=0.1, ge=0, le=0.9)
    ] = 0.0
    """For img2img, where not 0."""
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
    """For the hires pass, where not 0."""
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
    """Whose random numbers: GPU and NV are NVIDIA's generator, on any device, so a seed is the same everywhere."""
    tiling: Annotated[bool, Toggle(label="Tiling", absent=False)] = False
    """Makes the picture's edges meet, for patterns."""
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
    """In which pass of a hires picture the refiner takes over."""
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
    """Counts the refiner's share in steps instead of noise levels."""
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
    """Scales the noise that img2img starts with."""
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
    """More noise on top, for more detail."""
    img2img_color_correction: Annotated[bool, Toggle(ui="Apply color correction to img2img results")] = False
    """Matches the result's colours to those of the given picture."""
    img2img_fix_steps: Annotated[
        bool, Toggle(ui="With img2img, do exactly the amount of steps the slider specifies.")
    ] = False
    """Without it, steps are in proportion to the denoising strength."""
    img2img_background_color: Annotated[str, Colour(ui="With img2img, fill transparent parts with this color")] = (
        "#ffffff"
    )
    """What shows through transparent parts of a given picture."""
    overlay_inpaint: Annotated[bool, Toggle(ui="Overlay original for inpaint")] = True
    """Puts the untouched part of the given picture back over the result."""
    return_mask: Annotated[bool, Toggle(ui="For inpainting, include the greyscale mask in results for web")] = False
    """The mask comes with the picture."""
    return_mask_composite: Annotated[bool, Toggle(ui="For inpainting, include masked composite in results for web")] = (
        False
    )
    """The part that was made anew, cut out along the mask, comes with the picture."""
    save_mask: Annotated[bool, Toggle(ui="For inpainting, save a copy of the greyscale mask")] = False
    """A file beside the picture's: NAME-mask.png."""
    save_mask_composite: Annotated[bool, Toggle(ui="For inpainting, save a masked composite")] = False
    """A file beside the picture's: NAME-mask-composite.png."""
    save_images_before_color_correction: Annotated[
        bool, Toggle(ui="Save a copy of image before applying color correction to img2img results")
    ] = False
    """A file beside the picture's: NAME-before-color-correction.png."""
    save_images_before_highres_fix: Annotated[bool, Toggle(ui="Save a copy of image before applying highres fix.")] = (
        False
    )
    """A file beside the picture's: NAME-before-highres-fix.png."""
    save_images_before_face_restoration: Annotated[
        bool, Toggle(ui="Save a copy of image before doing face restoration.", without_effect=_wants_restorer)
    ] = False
    """A file beside the picture's: NAME-before-face-restoration.png."""
    sd_vae_encode_method: Annotated[
        str, Choice(label="VAE Encoder", ui="VAE type for encode", choices=("Full", "TAESD"), radio=True, absent="Full")
    ] = "Full"
    """What turns given pictures into latents."""
    sd_vae_decode_method: Annotated[
        str, Choice(label="VAE Decoder", ui="VAE type for decode", choices=("Full", "TAESD"), radio=True, absent="Full")
    ] = "Full"
    """What turns latents into pictures."""

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
    """How much fresh noise ancestral and SDE samplers add."""
    eta_ddim: Annotated[
        float,
        Slider(label="Eta DDIM", by_fact=True, ui="Eta for DDIM", min=0, max=1, step=0.01, ge=0, le=10, absent=0.0),
    ] = 0.0
    """How much fresh noise DDIM adds."""
    s_churn: Annotated[
        float, Slider(label="Sigma churn", ui="sigma churn", min=0, max=100, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """Noise put back at each step, of samplers that know it."""
    s_tmin: Annotated[
        float, Slider(label="Sigma tmin", ui="sigma tmin", min=0, max=10, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """Lowest noise level at which it is put back."""
    s_tmax: Annotated[
        float, Slider(label="Sigma tmax", ui="sigma tmax", min=0, max=999, step=0.01, ge=0, absent=0.0, by_fact=True)
    ] = 0.0
    """Highest noise level at which it is put back; 0 is no limit."""
    s_noise: Annotated[
        float, Slider(label="Sigma noise", ui="sigma noise", min=0, max=1.1, step=0.001, ge=0, absent=1.0, by_fact=True)
    ] = 1.0
    """Scales the fresh noise of samplers that know it."""
    sigma_min: Annotated[float, Number(label="Schedule min sigma", by_fact=True, ui="sigma min", ge=0, absent=0.0)] = (
        0.0
    )
    """Lowest noise level of the schedule; 0 is the model's."""
    sigma_max: Annotated[float, Number(label="Schedule max sigma", by_fact=True, ui="sigma max", ge=0, absent=0.0)] = (
        0.0
    )
    """Highest noise level of the schedule; 0 is the model's."""
    rho: Annotated[float, Number(label="Schedule rho", by_fact=True, ui="rho", ge=0, absent=0.0)] = 0.0
    """Bend of the Karras schedule; 0 is its default."""
    always_discard_next_to_last_sigma: Annotated[
        bool,
        Toggle(label="Discard penultimate sigma", ui="Always discard next-to-last sigma", absent=False, by_fact=True),
    ] = False
    """Leaves out the last but one noise level."""
    sgm_noise_multiplier: Annotated[bool, Toggle(label="SGM noise multiplier", by_fact=True, absent=False)] = False
    """Scales the first noise as SDXL's original code does."""
    uni_pc_variant: Annotated[
        str, Choice(label="UniPC variant", by_fact=True, choices=("bh1", "bh2", "vary_coeff"), radio=True, absent="bh1")
    ] = "bh1"
    """UniPC's corrector."""
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
    """UniPC's spacing of times."""
    uni_pc_order: Annotated[
        int, Slider(label="UniPC order", by_fact=True, cost=0.5, min=1, max=50, ge=1, le=50, absent=3)
    ] = 3
    """UniPC's order; must be below the number of steps."""
    uni_pc_lower_order_final: Annotated[bool, Toggle(label="UniPC lower order final", by_fact=True, absent=True)] = True
    """UniPC ends with lower order, for few steps."""
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
    """Zero Terminal SNR lets models trained for it make fully dark and bright pictures."""
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
    """Below this noise level every other step skips the negative prompt, for speed."""
    s_min_uncond_all: Annotated[
        bool, Toggle(label="NGMS all steps", by_fact=True, ui="Negative Guidance minimum sigma all steps", absent=False)
    ] = False
    """Skips it at every step below that level."""
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
    """Skips the negative prompt during this share of the first steps."""
    pad_cond_uncond: Annotated[
        bool, Toggle(label="Pad conds", ui="Pad prompt/negative prompt", absent=False, by_fact=True)
    ] = False
    """Lengthens the shorter prompt, so that both fit in one batch."""
    pad_cond_uncond_v0: Annotated[
        bool, Toggle(label="Pad conds v0", ui="Pad prompt/negative prompt (v0)", absent=False, by_fact=True)
    ] = False
    """The older way of padding."""
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
    """How (word:1.2) acts on the text."""
    use_old_scheduling: Annotated[
        bool,
        Toggle(
            label="Old prompt editing timelines", by_fact=True, ui="Use old prompt editing timelines.", absent=False
        ),
    ] = False
    """[from:to:when] as before version 1.6 of A1111."""
    use_downcasted_alpha_bar: Annotated[
        bool,
        Toggle(
            label="Downcast alphas_cumprod", absent=False, ui="Downcast model alphas_cumprod to fp16 before sampling."
        ),
    ] = False
    """Rounds the noise levels as A1111 before 1.7 did, for old seeds."""
    use_old_emphasis_implementation: Annotated[bool, Toggle(ui="Use old emphasis implementation.")] = False
    """For seeds of 2022."""
    use_old_karras_scheduler_sigmas: Annotated[bool, Toggle(ui="Use old karras scheduler sigmas (0.1 to 10).")] = False
    """For seeds of 2022."""
    use_old_hires_fix_width_height: Annotated[
        bool, Toggle(ui="For hires fix, use width/height sliders to set final resolution rather than first pass")
    ] = False
    """Hires fix as before A1111 1.0."""
    hires_fix_use_firstpass_conds: Annotated[
        bool, Toggle(ui="For hires fix, calculate conds of second pass using extra networks of first pass.")
    ] = False
    """The second pass keeps the first one's networks."""
    no_dpmpp_sde_batch_determinism: Annotated[
        bool, Toggle(ui="Do not make DPM++ SDE deterministic across different batch sizes.")
    ] = False
    """One noise for a whole batch, for old seeds."""
    enable_quantization: Annotated[
        bool, Toggle(ui="Enable quantization in K samplers for sharper and cleaner results.")
    ] = False
    """Rounds noise levels to those that the model was trained on."""
    comma_padding_backtrack: Annotated[int, Slider(ui="Prompt word wrap length limit", min=0, max=74, ge=0, le=74)] = 20
    """A phrase that would be cut after 75 tokens moves on from its last comma, if that is so near."""
    enable_prompt_comments: Annotated[bool, Toggle(ui="Enable comments")] = True
    """Leaves out what follows a # in the prompt."""
    sdxl_clip_l_skip: Annotated[bool, Toggle(ui="Clip skip SDXL")] = False
    """Lets Clip skip act on SDXL's first text encoder."""
    sdxl_crop_top: Annotated[int, Number(ui="SDXL crop top coordinate")] = 0
    """What SDXL is told of the picture's crop."""
    sdxl_crop_left: Annotated[int, Number(ui="SDXL crop left coordinate")] = 0
    """What SDXL is told of the picture's crop."""
    sdxl_refiner_low_aesthetic_score: Annotated[float, Number(ui="SDXL low aesthetic score")] = 2.5
    """What the SDXL refiner is told of the negative prompt."""
    sdxl_refiner_high_aesthetic_score: Annotated[float, Number(ui="SDXL high aesthetic score")] = 6.0
    """What the SDXL refiner is told of the prompt."""
    distilled_cfg_scale: Annotated[
        float, Slider(label="Distilled CFG Scale", by_fact=True, min=1, max=30, step=0.1, ge=0, absent=3.5)
    ] = 3.5
    """How strongly Flux dev follows the prompt; its CFG scale proper stays at 1."""
    batch_cond_uncond: Annotated[bool, Toggle(ui="Batch cond/uncond")] = True
    """Prompt and negative prompt in one call of the model: faster, for more memory."""
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
    """Keeps the network's weights in 8 bits: half the memory, slightly other pictures."""
    cache_fp16_weight: Annotated[bool, Toggle(label="Cache FP16 weight for LoRA", by_fact=True, absent=False)] = False
    """With 8 bits: keeps the weights as they were in the host's memory too, so that LoRAs are merged into these."""
    auto_vae_precision: Annotated[bool, Toggle(ui="Automatically revert VAE to 32-bit floats")] = True
    """Goes on in full precision when a half-precision VAE gives nothing but black."""
    auto_vae_precision_bfloat16: Annotated[bool, Toggle(ui="Automatically convert VAE to bfloat16")] = False
    """In such a case takes bfloat16 first: its numbers reach as far as those of full precision, in half the memory."""
    upscaler_tile: Annotated[
        int, Slider(ui="Tile size for upscalers", alias="ESRGAN_tile", min=0, max=512, step=16, ge=0, le=4096)
    ] = 192
    """An upscaler model sees so many pixels at once, along each side; 0: the whole picture."""
    upscaler_tile_overlap: Annotated[
        int,
        Slider(ui="Tile overlap for upscalers", alias="ESRGAN_tile_overlap", min=0, max=48, step=1, ge=0, le=512),
    ] = 8
    """So many pixels neighbouring tiles have in common; too few show as seams."""
    face_restoration: Annotated[
        bool,
        Toggle(
            label="Face restoration",
            ui="Restore faces",
            by_fact=True,
            codec=NAME_OR_NONE,
            without_effect=_wants_restorer,
        ),
    ] = False
    """Mends faces afterwards, with what is chosen below."""
    face_restoration_model: Annotated[
        str, Choice(ui="Face restoration model", source="face_restorers", without_effect=_wants_restorer)
    ] = ""
    """What mends faces; empty: the first that is installed."""
    sd_lora: Annotated[str, Choice(ui="Add network to prompt", source="loras_or_none")] = "None"
    """A LoRA that acts on every picture whose prompt has no tag of its own for it."""
    sd_hypernetwork: Annotated[str, Choice(ui="Add hypernetwork to prompt", source="hypernetworks_or_none")] = "None"
    """A hypernetwork that acts on every picture whose prompt has no tag of its own for it."""
    extra_networks_default_multiplier: Annotated[
        float, Slider(ui="Default multiplier for extra networks", min=0, max=2, step=0.01)
    ] = 1.0
    """How strongly a network acts that is added by a card or by the settings above."""


class SaveSettings(Declared):
    """Where pictures go and what is written beside them."""

    samples_save: Annotated[bool, Toggle(ui="Always save all generated images")] = True
    """Without it pictures are kept only while the page shows them."""
    save_incomplete_images: Annotated[bool, Toggle(ui="Save interrupted images")] = False
    """Pictures that are stopped halfway are shown and saved as they are then. API calls get them in any case."""
    samples_format: Annotated[
        str, Choice(ui="File format for images", choices=("png", "jpg", "webp", "avif"), radio=True)
    ] = "png"
    """PNG keeps every pixel."""
    samples_filename_pattern: Annotated[str, Text(ui="Images filename pattern", placeholder="[seed]")] = ""
    """Empty: [seed]. Any parameter in square brackets: [seed], [steps], [cfg], [prompt_words], [date] ..."""
    save_images_add_number: Annotated[bool, Toggle(ui="Add number to filename when saving")] = True
    """Counts the pictures of a folder: 00000-seed.png."""
    save_to_dirs: Annotated[bool, Toggle(ui="Save images to a subdirectory")] = True
    """One folder a day."""
    directories_filename_pattern: Annotated[str, Text(ui="Directory name pattern")] = "[date]"
    """The subfolder's name."""
    directories_max_prompt_words: Annotated[
        int, Slider(ui="Max prompt words for [prompt_words] pattern", min=1, max=20, ge=1)
    ] = 8
    """How many words [prompt_words] takes."""
    outdir_samples: Annotated[str, Text(folder=True, ui="Output directory for images")] = ""
    """Empty: the folders below."""
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
    outdir_save: Annotated[
        str,
        Text(folder=True, ui="Directory for saving images using the Save button", without_effect=_wants_save_button),
    ] = "log/images"
    """Relative to the data folder."""
    outdir_init_images: Annotated[str, Text(folder=True, ui="Directory for saving init images when using img2img")] = (
        "outputs/init-images"
    )
    """Relative to the data folder."""
    save_init_img: Annotated[bool, Toggle(ui="Save init images when using img2img")] = False
    """Keeps each picture that img2img started from, named by its hash, which the infotext then says."""
    use_original_name_batch: Annotated[
        bool, Toggle(ui="Use original name for output filename during batch process in extras tab")
    ] = True
    """A result is called like the picture that it was made of; a namesake gets a number."""
    grid_save: Annotated[bool, Toggle(ui="Always save all generated image grids")] = True
    """A sheet of all pictures of one run."""
    grid_format: Annotated[str, Choice(ui="File format for grids", choices=("png", "jpg", "webp", "avif"))] = "png"
    """Of the sheets."""
    grid_save_to_dirs: Annotated[bool, Toggle(ui="Save grids to a subdirectory")] = True
    """Named as those of pictures."""
    grid_extended_filename: Annotated[
        bool, Toggle(ui="Add extended info (seed, prompt) to filename when saving grid")
    ] = False
    """Behind the sheet's number."""
    grid_prevent_empty_spots: Annotated[bool, Toggle(ui="Prevent empty spots in grid (when set to autodetect)")] = False
    """Only row counts that leave no spot empty."""
    grid_background_color: Annotated[str, Colour(ui="Background color for image grids")] = "#ffffff"
    """Shows in empty spots."""
    grid_only_if_multiple: Annotated[bool, Toggle(ui="Do not save grids consisting of one picture")] = True
    """A sheet of one is no sheet."""
    n_rows: Annotated[
        int, Slider(ui="Grid row count; -1: automatic, 0: like the batch size", min=-1, max=16, ge=-1)
    ] = -1
    """Rows of the sheet."""
    jpeg_quality: Annotated[int, Slider(ui="Quality for saved jpeg and avif images", min=1, max=100, ge=1, le=100)] = 80
    """100 is best and largest."""
    webp_lossless: Annotated[bool, Toggle(ui="Use lossless compression for webp images")] = False
    """Keeps every pixel, for larger files."""
    enable_pnginfo: Annotated[bool, Toggle(ui="Write infotext to metadata of the generated image")] = True
    """So that a picture can be made again from its file."""
    save_txt: Annotated[bool, Toggle(ui="Create a text file with infotext next to every generated image")] = False
    """The same text as a file."""
    add_model_name_to_info: Annotated[bool, Toggle(ui="Add model name to infotext")] = True
    """Which checkpoint."""
    add_model_hash_to_info: Annotated[bool, Toggle(ui="Add model hash to infotext")] = True
    """Which checkpoint, beyond doubt."""
    add_vae_name_to_info: Annotated[bool, Toggle(ui="Add VAE name to infotext")] = True
    """Which VAE."""
    add_vae_hash_to_info: Annotated[bool, Toggle(ui="Add VAE hash to infotext")] = True
    """Which VAE, beyond doubt."""
    lora_add_hashes_to_infotext: Annotated[bool, Toggle(ui="Add Lora hashes to infotext")] = True
    """Which LoRAs, beyond doubt."""
    textual_inversion_add_hashes_to_infotext: Annotated[bool, Toggle(ui="Add Textual Inversion hashes to infotext")] = (
        True
    )
    """Which embeddings, beyond doubt."""
    add_version_to_infotext: Annotated[bool, Toggle(ui="Add program version to infotext")] = True
    """Which version of this program."""
    add_user_name_to_info: Annotated[bool, Toggle(ui="Add user name to infotext when authenticated")] = False
    """Who asked for the picture."""


class UiSettings(Declared):
    """How the page looks and behaves."""

    quicksettings_list: Annotated[
        tuple[str, ...], Several(ui="Quicksettings list", source="settings", restart=True)
    ] = ("sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers")
    """The settings in the bar at the top."""
    live_previews_enable: Annotated[bool, Toggle(ui="Show live previews of the created image")] = True
    """Shows the picture while it is made."""
    live_preview_refresh_period: Annotated[
        float, Number(ui="Progressbar and preview update period, milliseconds", ge=50)
    ] = 1000.0
    """At most one preview in this time."""
    show_progress_type: Annotated[
        str, Choice(ui="Live preview method", choices=("Approx cheap", "TAESD", "Full"), radio=True)
    ] = "Approx cheap"
    """Approx cheap costs nothing; TAESD is sharper, when its file is in models/VAE-approx; Full is slow."""
    interrupt_after_current: Annotated[bool, Toggle(ui="Don't Interrupt in the middle")] = True
    """The first Interrupt lets the picture in work be finished, when more than one was asked for."""
    return_grid: Annotated[bool, Toggle(ui="Show grid in gallery")] = True
    """The sheet of all pictures comes first."""
    send_seed: Annotated[bool, Toggle(ui="Send seed when sending prompt or image to other interface")] = True
    """Send to img2img takes the seed along."""
    send_size: Annotated[bool, Toggle(ui="Send size when sending prompt or image to another interface")] = True
    """Send to img2img takes the size along."""
    hires_fix_show_sampler: Annotated[
        bool, Toggle(ui="Hires fix: show hires checkpoint and sampler selection", restart=True)
    ] = False
    """Without it they come up when an infotext that is read wants them."""
    hires_fix_show_prompts: Annotated[
        bool, Toggle(ui="Hires fix: show hires prompt and negative prompt", restart=True)
    ] = False
    """Without it they come up when an infotext that is read has them."""
    disable_token_counters: Annotated[bool, Toggle(ui="Disable prompt token counters")] = False
    """No numbers at the prompt's edge."""
    include_styles_into_token_counters: Annotated[bool, Toggle(ui="Count tokens of enabled styles")] = True
    """What the chosen styles add counts, too."""
    while_running: Annotated[
        str,
        Choice(
            ui="Ctrl+Enter while a picture is made",
            choices=("Interrupt, and begin anew", "One more job, after those that wait"),
            radio=True,
        ),
    ] = "Interrupt, and begin anew"
    """What Ctrl+Enter does then. The button Generate always adds a job."""
    disable_weights_auto_swap: Annotated[bool, Toggle(ui="Disregard checkpoint information from pasted infotext")] = (
        True
    )
    """Pasting never changes the checkpoint."""
    infotext_skip_pasting: Annotated[
        tuple[str, ...], Several(ui="Disregard fields from pasted infotext", source="infotext_labels")
    ] = ()
    """What is named here stays as it is in the form."""
    auto_backcompat: Annotated[bool, Toggle(ui="Automatic backward compatibility")] = True
    """A pasted infotext of an old version of A1111 brings the settings along that do what that version did."""
    infotext_styles: Annotated[
        str,
        Choice(
            ui="Infer styles from prompts of pasted infotext",
            radio=True,
            choices=("Ignore", "Apply", "Discard", "Apply if any"),
        ),
    ] = "Apply if any"
    """Whether pieces of a pasted prompt that are saved as styles become styles again."""
    lora_preferred_name: Annotated[
        str,
        Choice(
            ui="When adding to prompt, refer to Lora by",
            radio=True,
            choices=("Alias from file", "Filename"),
        ),
    ] = "Alias from file"
    """The name that a card writes; a file's name stands where two files have the same alias."""
    keyedit_precision_attention: Annotated[
        float, Slider(ui="Precision for (attention:1.1) with Ctrl+up/down", min=0.01, max=0.2, step=0.001, ge=0.001)
    ] = 0.1
    """How much one press changes."""
    keyedit_precision_extra: Annotated[
        float,
        Slider(ui="Precision for <extra networks:0.9> with Ctrl+up/down", min=0.01, max=0.2, step=0.001, ge=0.001),
    ] = 0.05
    """How much one press changes."""

    @property
    def live(self) -> dict[str, Any]:
        """What the page's scripts go by, from the moment on at which it is changed."""
        return {
            "counters": not self.disable_token_counters,
            "styles_count": self.include_styles_into_token_counters,
            "precision": self.keyedit_precision_attention,
            "precision_extra": self.keyedit_precision_extra,
            "begins_anew": self.while_running.startswith("Interrupt"),
        }


class SystemSettings(Declared):
    """The machine: memory, models kept loaded, jobs."""

    sd_checkpoints_limit: Annotated[
        int, Slider(ui="Maximum number of checkpoints loaded at the same time", min=1, max=10, ge=1)
    ] = 2
    """Whatever the memory budget allows."""
    model_memory_budget: Annotated[
        float, Number(ui="Memory for loaded models, GiB (0: half of what is free)", ge=0)
    ] = 0.0
    """The least recently used model is put away when more would be needed."""
    memory_profile: Annotated[
        str,
        Choice(
            ui="How models lie in the GPU's memory",
            choices=("Automatic", *MEMORY_PROFILES),
        ),
    ] = "Automatic"
    """Automatic: by free memory, model and picture. The later, the less memory and the slower; flags win over it."""
    resume_jobs_at_start: Annotated[bool, Toggle(ui="Go on with unfinished jobs at start")] = True
    """Jobs that a crash or a restart cut off."""
    unload_after_minutes: Annotated[float, Number(ui="Put models away after so many idle minutes (0: never)", ge=0)] = (
        0.0
    )
    """Gives their memory back while nobody makes pictures; the next picture loads them again."""
    api_enable_requests: Annotated[bool, Toggle(ui="Allow http:// and https:// addresses for input images in API")] = (
        False
    )
    """Then the server fetches pictures from addresses that callers name."""
    api_forbid_local_requests: Annotated[bool, Toggle(ui="Forbid addresses of local resources")] = True
    """Nothing is fetched from this machine or its network."""
    api_useragent: Annotated[str, Text(ui="User agent for requests")] = ""
    """What the server calls itself when it fetches pictures; empty: Gesso."""
    samples_log_stdout: Annotated[bool, Toggle(ui="Always print all generation info to standard output")] = False
    """For those who watch the console."""

    @property
    def offload(self) -> Literal["", "none", "medium", "low", "leaf"]:
        """The engine's name for the memory profile; "" for Automatic."""
        return MEMORY_PROFILES.get(self.memory_profile, "")


class InterrogateSettings(Declared):
    """How pictures are described in words."""

    interrogate_clip_num_beams: Annotated[int, Slider(ui="BLIP: num_beams", min=1, max=16, ge=1, le=64)] = 1
    """How many sentences are followed at once; more is slower and a little better."""
    interrogate_clip_min_length: Annotated[
        int, Slider(ui="BLIP: minimum description length", min=1, max=128, ge=1, le=256)
    ] = 24
    """In tokens."""
    interrogate_clip_max_length: Annotated[
        int, Slider(ui="BLIP: maximum description length", min=1, max=256, ge=1, le=256)
    ] = 48
    """In tokens."""
    interrogate_deepbooru_score_threshold: Annotated[
        float, Slider(ui="deepbooru: score threshold", min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.5
    """Tags that are less likely are left out."""
    deepbooru_sort_alpha: Annotated[bool, Toggle(ui="deepbooru: sort tags alphabetically")] = True
    """Off: the likeliest first."""
    deepbooru_use_spaces: Annotated[bool, Toggle(ui="deepbooru: use spaces in tags")] = True
    """Instead of underscores."""
    deepbooru_escape: Annotated[bool, Toggle(ui="deepbooru: escape (\\) brackets")] = True
    """So that they are not read as emphasis."""
    deepbooru_filter_tags: Annotated[str, Text(ui="deepbooru: filter out those tags")] = ""
    """Separated by commas."""
    interrogate_return_ranks: Annotated[bool, Toggle(ui="Include ranks of model tags matches in results.")] = False
    """(tag:0.987): how likely it is, as emphasis."""


class LimitSettings(Declared):
    """What one job or one upload may ask for at most: so that nobody fills the machine, by mistake or on purpose."""

    most_prompt_characters: Annotated[int, Number(ui="Longest prompt, characters", ge=100, le=1_000_000)] = 200_000
    """Of the prompt, and of the negative prompt."""
    most_pictures: Annotated[int, Number(ui="Most pictures of one job", ge=1, le=1_000_000)] = 10_000
    """Batch size times batch count."""
    most_batch_size: Annotated[int, Number(ui="Largest batch size", ge=1, le=512)] = 64
    """Pictures that are made at once."""
    most_steps: Annotated[int, Number(ui="Most sampling steps", ge=1, le=10_000)] = 1_000
    """Of a pass."""
    most_megapixels: Annotated[float, Number(ui="Largest picture that is made, megapixels", ge=0.1, le=1000)] = 64.0
    """Width times height, after the hires pass."""
    most_upload_megabytes: Annotated[int, Number(ui="Largest uploaded file, megabytes", ge=1, le=1024)] = 128
    """Of a single picture."""
    most_upload_megapixels: Annotated[float, Number(ui="Largest uploaded picture, megapixels", ge=1, le=85)] = 64.0
    """A small file can hold a very large picture."""
    keep_jobs_days: Annotated[int, Number(ui="Days after which ended jobs are forgotten (0: never)", ge=0)] = 30
    """Their pictures stay."""


class Settings(BaseModel):
    """All settings: a frozen value; a change makes a new one."""

    model_config = ConfigDict(frozen=True)

    render: RenderSettings = RenderSettings()
    save: SaveSettings = SaveSettings()
    ui: UiSettings = UiSettings()
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

    def options(self) -> dict[str, Any]:
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

    def with_options(self, values: Mapping[str, Any], *, strict: bool = True) -> Self:
        """A copy with these options, by our names or A1111's.

        Raises:
            NotFound: `strict`, and a key is no setting.
            UserError: a value does not fit its setting.
        """
        keys = self.keys()
        changes: dict[str, dict[str, Any]] = {}
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

    def with_overrides(self, values: Mapping[str, Any]) -> Self:
        """A copy with what a request overrides. Anybody may send one, so that folders stay those of the settings.

        Raises:
            UserError: a value does not fit its setting.
        """
        folders = self.folders()
        return self.with_options({key: value for key, value in values.items() if key not in folders}, strict=False)

    def changed_options(self) -> dict[str, Any]:
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
