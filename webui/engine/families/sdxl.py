"""Stable Diffusion XL, its refiner and its distilled kin (SSD-1B, Vega): two text towers, and numbers beside the text.

Podell et al. 2023, arXiv:2307.01952. The refiner has the second tower alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from webui.engine.families import ldm
from webui.engine.families.clip_text import ClipText, PreparedClip, clip_view
from webui.engine.families.components import Components
from webui.engine.families.family import Encoded, Family, Placement, Prepared, TextOptions, Told
from webui.engine.families.ldm_model import LdmModel, PreparedUnet, load_vae
from webui.engine.families.open_clip import as_clip
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Diffusion
from webui.prompt.tokens import clip_tokenizer, open_clip_tokenizer

FIRST = "conditioner.embedders.0.transformer."
SECOND, REFINERS = "conditioner.embedders.1.model.", "conditioner.embedders.0.model."
HEAD_WIDTH = 64
SCALE = 0.13025
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
        told = options.told or Told()
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
            both.append(Encoded(tokens, torch.cat([pooled, numbers]), names))
        return both


def _pooled(encoded: Encoded) -> Tensor:
    if encoded.vector is None:
        raise TypeError("The second tower of SDXL gives a pooled text.")
    return encoded.vector


def _base(told: Told) -> list[float]:
    """Original size, crop, target size; height before width."""
    return [told.height, told.width, told.crop_top, told.crop_left, told.height, told.width]


def _refiner(told: Told) -> list[float]:
    """Original size, crop, aesthetic score."""
    return [told.height, told.width, told.crop_top, told.crop_left, told.aesthetic_score]


def detect(file: WeightsFile) -> bool:
    """A UNet in LDM's names that is told numbers, beside the second tower."""
    return f"{ldm.UNET}label_emb.0.0.weight" in file.shapes and any(
        f"{prefix}ln_final.weight" in file.shapes for prefix in (SECOND, REFINERS)
    )


def prepare(file: WeightsFile, _components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete."""
    settings = ldm.LdmSettings.read(file.config)
    unet = PreparedUnet.of(file, heads=settings.heads, head_width=settings.head_width or HEAD_WIDTH)
    is_refiner = f"{SECOND}ln_final.weight" not in file.shapes
    second = PreparedClip.of(as_clip(file, REFINERS if is_refiner else SECOND), activation="gelu", pooled=True)
    first = None if is_refiner else PreparedClip.of(clip_view(file, FIRST))
    numbers = 5 if is_refiner else 6
    told = unet.unet.config.projection_class_embeddings_input_dim
    if told != second.pooled_width + numbers * ldm.NUMBER_WIDTH:
        raise file.error(f"its UNet is told {told} numbers, and its text encoder gives {second.pooled_width} of them")

    def load(vae: WeightsFile, placement: Placement) -> LdmModel:
        decoder = load_vae(vae, placement)
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
            process=Diffusion(ldm.noise_table(file, settings), ldm.prediction_of(file, settings) or "eps"),
            scale=settings.scale_factor or SCALE,
            preview=PREVIEW,
            family=REFINER if is_refiner else SDXL,
            placement=placement,
            numbers=numbers,
        )

    return load


SDXL = Family(
    name="SDXL",
    detect=detect,
    prepare=prepare,
    supports=frozenset({"negative", "img2img", "inpaint", "hires", "clip_skip", "embeddings", "tiling", "told"}),
    steps_table="sdxl",
)
REFINER = replace(SDXL, name="SDXL refiner")
