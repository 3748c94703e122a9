"""Stable Diffusion 1: UNet with one CLIP text tower, also with more input channels (inpainting, InstructPix2Pix).

Any widths and depths: everything is read off the tensors' shapes. Rombach et al. 2022, arXiv:2112.10752.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from webui.engine.families import ldm
from webui.engine.families.clip_text import ClipText, build_clip, clip_config, clip_names
from webui.engine.families.family import (
    Conditioning,
    Encoded,
    Family,
    LatentFormat,
    Placement,
    Prepared,
    TextOptions,
    vae_names,
    without_vae,
)
from webui.engine.families.staging import Staging
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Diffusion, sd_alphas_cumprod
from webui.prompt.tokens import clip_tokenizer

TEXT = ("cond_stage_model.transformer.",)
HEADS = 8
SCALE = 0.18215
"""Of the latents: their standard deviation over the training pictures becomes 1."""
PREVIEW = ((0.30, 0.21, 0.21), (0.19, 0.29, 0.17), (-0.16, 0.19, 0.26), (-0.18, -0.27, -0.47))


@dataclass(eq=False)
class Sd1:
    """A loaded SD1 checkpoint; see `families.family.Model`."""

    unet: UNet2DConditionModel
    text: ClipText
    vae: AutoencoderKL
    process: Diffusion
    scale: float
    family: Family
    placement: Placement

    def __post_init__(self) -> None:
        self.staging = Staging(self.parts, self.placement)

    @cached_property
    def latent(self) -> LatentFormat:
        levels = len(self.vae.config.block_out_channels)
        return LatentFormat(channels=self.vae.config.latent_channels, factor=2 ** (levels - 1), rgb=PREVIEW)

    @property
    def input_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"unet": self.unet, "text": self.text.model, "vae": self.vae}

    @property
    def nbytes(self) -> int:
        return ldm.parameter_bytes(*self.parts.values())

    @property
    def vae_nbytes(self) -> int:
        return ldm.parameter_bytes(self.vae)

    def predict(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        self.staging.use("unet")
        if conditioning.concat is not None:
            x = torch.cat([x, conditioning.concat], dim=1)
        dtype = self.placement.dtype
        output: Tensor = self.unet(x.to(dtype), t, conditioning.tokens.to(dtype), return_dict=False)[0]
        return output.float()

    def encode_prompts(
        self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]
    ) -> list[Encoded]:
        self.staging.use("text")
        return self.text.encode(texts, options, embeddings)

    @property
    def vae_bytes_per_pixel(self) -> int:
        width: int = self.vae.config.block_out_channels[0]
        return ldm.VAE_PLANES * width * int(self.vae.dtype.itemsize)

    def encode_image(self, pixels: Tensor, *, scaled: bool = True, tiled: bool = False) -> Tensor:
        self.staging.use("vae")
        ldm.set_tiling(self.vae, tiled)
        mean: Tensor = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mean
        return (mean * self.scale if scaled else mean).float()

    def decode(self, latents: Tensor, *, tiled: bool = False) -> Tensor:
        self.staging.use("vae")
        ldm.set_tiling(self.vae, tiled)
        pixels: Tensor = self.vae.decode((latents / self.scale).to(self.vae.dtype), return_dict=False)[0]
        return pixels.float()

    def widen_vae(self) -> bool:
        if self.vae.dtype == torch.float32:
            return False
        self.vae.to(torch.float32)
        return True

    def with_vae(self, file: WeightsFile) -> Sd1:
        vae = _vae(file, self.placement)
        if vae.config.latent_channels != self.vae.config.latent_channels:
            raise file.error(f"it is a VAE for {vae.config.latent_channels} channels", "It belongs to another family.")
        return replace(self, vae=vae)

    def to(self, device: torch.device) -> None:
        rest = self.placement.rest if device == self.placement.device else device
        for part in self.parts.values():
            part.to(rest)


def detect(file: WeightsFile) -> bool:
    """A UNet in LDM's names beside a CLIP tower in transformers' names."""
    return f"{ldm.UNET}input_blocks.0.0.weight" in file.shapes and bool(file.under(*TEXT))


def prepare(file: WeightsFile) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete."""
    settings = ldm.LdmSettings.read(file.config)
    heads = settings.heads or (None if settings.head_width else HEADS)
    config = ldm.unet_config(file, heads=heads, head_width=settings.head_width)
    unet, unet_names = ldm.build_unet(config), ldm.unet_names(file, config)
    ldm.check_complete(unet, unet_names, file, "UNet")
    text_names = clip_names(file, *TEXT)
    text = build_clip(clip_config(file, text_names))
    ldm.check_complete(text, text_names, file, "text encoder")

    def load(vae: WeightsFile, placement: Placement) -> Sd1:
        rest, dtype = placement.rest, placement.dtype
        decoder = _vae(vae, placement)
        ldm.fill(unet, unet_names, file, rest, dtype)
        ldm.fill(text, text_names, file, rest, dtype)
        return Sd1(
            unet=ldm.for_any_size(ldm.with_attention(unet, placement.attention)),
            text=ClipText(text.to(rest), clip_tokenizer()),
            vae=decoder,
            process=Diffusion(_alphas(file, settings), "v" if settings.prediction == "v" else "eps"),
            scale=settings.scale_factor or SCALE,
            family=SD1,
            placement=placement,
        )

    return load


def _vae(file: WeightsFile, placement: Placement) -> AutoencoderKL:
    names = vae_names(file)
    if not names:
        raise without_vae(file)
    return ldm.load_vae(file, names, placement.rest, placement.vae_dtype)


def _alphas(file: WeightsFile, settings: ldm.LdmSettings) -> Tensor:
    """The noise levels: the checkpoint's own table where it has one, else by the yaml or SD1's numbers. (1000,)."""
    if file.shapes.get("alphas_cumprod") == (1000,):
        own = file.tensor("alphas_cumprod").float().clone()
        if bool((own[:-1] > own[1:]).all()) and float(own[-1]) > 0 and float(own[0]) < 1:
            return own
    return sd_alphas_cumprod(settings.linear_start or 0.00085, settings.linear_end or 0.012)


SD1 = Family(
    name="SD1",
    detect=detect,
    prepare=prepare,
    supports=frozenset({"negative", "img2img", "inpaint", "hires", "clip_skip", "embeddings", "tiling"}),
)
