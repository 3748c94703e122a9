"""Stable Diffusion XL, its refiner and its distilled kin (SSD-1B, Vega): two text towers, and numbers beside the text.

Podell et al. 2023, arXiv:2307.01952. The refiner has the second tower alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from webui.catalog import model_families
from webui.engine.families import ldm
from webui.engine.families.clip_text import ClipText, PreparedClip, clip_view
from webui.engine.families.components import Components
from webui.engine.families.family import Encoded, Family, Placement, Prepared, SizeConditioning, TextOptions
from webui.engine.families.ldm_model import LdmModel, PreparedUnet, load_vae
from webui.engine.families.open_clip import as_clip
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Diffusion, Edm
from webui.prompt.tokens import clip_tokenizer, open_clip_tokenizer
from webui.request import capabilities

FIRST = "conditioner.embedders.0.transformer."
SECOND, REFINERS = model_families.SDXL_TEXT, model_families.REFINER_TEXT
HEAD_WIDTH = 64
SCALE = 0.13025
PLAYGROUND, COSXL = frozenset({"edm_mean", "edm_std"}), frozenset({"edm_vpred.sigma_min", "edm_vpred.sigma_max"})
"""What the files of Playground 2.5 and of CosXL have besides."""
EDM_SCALE = 0.5
PREVIEW = ((0.39, 0.42, 0.49), (-0.26, -0.02, 0.11), (0.05, 0.20, -0.03), (-0.30, -0.25, -0.44))


@dataclass(frozen=True, eq=False)
class SdxlText:
    """Both towers side by side; the second's pooled text and the numbers make the vector."""

    first: ClipText | None
    """None: the refiner."""
    second: ClipText

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        first = {"text": self.first.model} if self.first else {}
        return {**first, "text_2": self.second.model}

    def encode(self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]) -> list[Encoded]:
        """tokens: (77 * chunks, width of both); vector: (pooled width + 6,), of the refiner + 5."""
        told = options.size_conditioning or SizeConditioning()
        # A1111: an empty negative prompt is no text at all, but only where nothing else is in its schedule
        nothing = told.is_negative and not any(texts)
        second = self.second.encode(texts, options, embeddings)
        first = self.first.encode(texts, options, embeddings) if self.first else None
        numbers = torch.tensor(_base(told) if first else _refiner(told), device=second[0].tokens.device)
        both = []
        for index, right in enumerate(second):
            left = first[index] if first else None
            tokens = torch.cat([left.tokens, right.tokens], dim=1) if left else right.tokens
            pooled = _pooled(right)
            if nothing:
                tokens, pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
            # A1111: an embedding counts once for each tower
            names = (*left.embeddings, *right.embeddings) if left else right.embeddings
            both.append(Encoded(tokens, torch.cat([pooled, numbers]), names, right.ends, right.ids))
        return both


def _pooled(encoded: Encoded) -> Tensor:
    if encoded.vector is None:
        raise TypeError("The second tower of SDXL gives a pooled text.")
    return encoded.vector


def _base(told: SizeConditioning) -> list[float]:
    """Original size, crop, target size; height before width."""
    return [told.height, told.width, told.crop_top, told.crop_left, told.height, told.width]


def _refiner(told: SizeConditioning) -> list[float]:
    """Original size, crop, aesthetic score."""
    return [told.height, told.width, told.crop_top, told.crop_left, told.aesthetic_score]


def detect(file: WeightsFile) -> bool:
    """By its names."""
    return model_families.is_sdxl(file.shapes)


def prepare(file: WeightsFile, _components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete."""
    settings = ldm.LdmSettings.read(file.config)
    unet = PreparedUnet.of(file, heads=settings.heads, head_width=settings.head_width or HEAD_WIDTH)
    is_refiner = model_families.is_sdxl_refiner(file.shapes)
    second = PreparedClip.of(as_clip(file, REFINERS if is_refiner else SECOND), activation="gelu", pooled=True)
    first = None if is_refiner else PreparedClip.of(clip_view(file, FIRST))
    numbers = 5 if is_refiner else 6
    told = unet.unet.config.projection_class_embeddings_input_dim
    if told != second.pooled_width + numbers * ldm.NUMBER_WIDTH:
        raise file.error(
            f"its UNet expects {told} numbers, but its text encoder provides {second.pooled_width} of them"
        )

    def load(vae: WeightsFile, placement: Placement) -> LdmModel:
        decoder = load_vae(vae, placement)
        shift, scale, preview, bias = latents_of(file, settings)
        return LdmModel(
            unet=unet.load(placement),
            text=SdxlText(
                ClipText(
                    first.load(placement),
                    clip_tokenizer(),
                    tower="clip_l",
                    left_out=lambda options: options.clip_skip - 1 if options.clip_l_skip else 1,
                    normed=False,
                )
                if first
                else None,
                ClipText(
                    second.load(placement),
                    open_clip_tokenizer(),
                    tower="clip_g",
                    left_out=lambda _options: 1,
                    normed=False,
                    zeros_behind_end=True,
                    pooled=True,
                ),
            ),
            vae=decoder,
            process=process_of(file, settings),
            scale=scale,
            shift=shift,
            preview=preview,
            preview_bias=bias,
            family=REFINER if is_refiner else SDXL,
            placement=placement,
            numbers=numbers,
        )

    return load


def process_of(file: WeightsFile, settings: ldm.LdmSettings) -> Diffusion | Edm:
    """By the keys that the authors of Playground 2.5 (arXiv:2402.17245, section 2.1) and of CosXL put into their files;
    else by the table."""
    if file.shapes.keys() >= PLAYGROUND:
        return Edm()
    if file.shapes.keys() >= COSXL:
        low, high = sorted(float(file.tensor(name).flatten()[0]) for name in COSXL)
        if not 0 < low < high < math.inf:
            raise file.error(f"its noise levels go from {low} to {high}", "Download it again.")
        return Edm(low, high, sigma_data=1.0, prediction="v")
    return Diffusion(ldm.noise_table(file, settings), ldm.prediction_of(file, settings) or "eps")


def latents_of(
    file: WeightsFile, settings: ldm.LdmSettings
) -> tuple[float | Tensor, float | Tensor, tuple[ldm.Row, ...], ldm.Row]:
    """How the latents are shifted and scaled, and how they look. Playground 2.5 has SDXL's, each channel with its own
    mean and spread."""
    if not file.shapes.keys() >= PLAYGROUND:
        return 0.0, settings.scale_factor or SCALE, PREVIEW, (0.0, 0.0, 0.0)
    mean, spread = (file.tensor(name).float().reshape(1, -1, 1, 1).clone() for name in ("edm_mean", "edm_std"))
    colours = torch.tensor(PREVIEW) * SCALE
    seen, bias = colours * spread.reshape(-1, 1) / EDM_SCALE, mean.flatten() @ colours
    return mean, EDM_SCALE / spread, tuple(tuple(row) for row in seen.tolist()), tuple(bias.tolist())


SDXL = Family(capabilities.SDXL, detect, prepare, steps_table="sdxl")
REFINER = replace(SDXL, capabilities=capabilities.SDXL_REFINER)
