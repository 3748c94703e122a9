"""Stable Diffusion 1: UNet with one CLIP text tower, also with more input channels (inpainting, InstructPix2Pix).

Any widths and depths: everything is read off the tensors' shapes. Rombach et al. 2022, arXiv:2112.10752.
"""

from __future__ import annotations

from webui.catalog import model_families
from webui.engine.families import ldm
from webui.engine.families.clip_text import ClipText, PreparedClip, clip_view
from webui.engine.families.components import Components
from webui.engine.families.family import Family, Placement, Prepared
from webui.engine.families.ldm_model import LdmModel, PreparedUnet, load_vae
from webui.engine.families.weights import WeightsFile
from webui.engine.sampling.process import Diffusion
from webui.prompt.tokens import clip_tokenizer
from webui.request import capabilities

TEXT = model_families.SD1_TEXT
HEADS = 8
SCALE = 0.18215
PREVIEW = ((0.30, 0.21, 0.21), (0.19, 0.29, 0.17), (-0.16, 0.19, 0.26), (-0.18, -0.27, -0.47))


def detect(file: WeightsFile) -> bool:
    """By its names."""
    return model_families.is_sd1(file.shapes)


def prepare(file: WeightsFile, _components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete."""
    settings = ldm.LdmSettings.read(file.config)
    heads = settings.heads or (None if settings.head_width else HEADS)
    unet = PreparedUnet.of(file, heads=heads, head_width=settings.head_width)
    tower = PreparedClip.of(clip_view(file, *TEXT))

    def load(vae: WeightsFile, placement: Placement) -> LdmModel:
        decoder = load_vae(vae, placement)
        preview, bias = ldm.preview_of(vae, PREVIEW, decoder.config.latent_channels)
        return LdmModel(
            unet=unet.load(placement),
            text=ClipText(tower.load(placement), clip_tokenizer()),
            vae=decoder,
            process=Diffusion(ldm.noise_table(file, settings), ldm.prediction_of(file, settings) or "eps"),
            scale=settings.scale_factor or SCALE,
            preview=preview,
            preview_bias=bias,
            family=SD1,
            placement=placement,
        )

    return load


SD1 = Family(capabilities.SD1, detect, prepare)
