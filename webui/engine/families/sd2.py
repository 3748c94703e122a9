"""Stable Diffusion 2: a UNet with OpenCLIP's text tower, predicting noise or velocity.

The last layer but one of the tower is taken. Files of SD Turbo, which name the tower as SDXL does, are of this kind.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

from webui.catalog import model_families
from webui.engine.families import ldm
from webui.engine.families.clip_text import ClipText, PreparedClip
from webui.engine.families.components import Components
from webui.engine.families.depth import DepthNetwork
from webui.engine.families.family import Family, Placement, Prepared
from webui.engine.families.ldm_model import LdmModel, PreparedUnet, load_vae
from webui.engine.families.open_clip import as_clip
from webui.engine.families.sd1 import PREVIEW, SCALE
from webui.engine.families.weights import WeightsFile
from webui.engine.sampling.process import Diffusion, Prediction
from webui.prompt.tokens import open_clip_tokenizer
from webui.request import capabilities

TEXT = model_families.SD2_TEXT
HEAD_WIDTH = 64
DEPTH = 5
"""Input channels of the depth checkpoint."""


def detect(file: WeightsFile) -> bool:
    """By its names."""
    return model_families.is_sd2(file.shapes)


def prepare(file: WeightsFile, components: Components) -> Prepared:
    """The networks of the file, still without weights. Raises ModelError: a part is not complete."""
    settings = ldm.LdmSettings.read(file.config)
    unet = PreparedUnet.of(file, heads=settings.heads, head_width=settings.head_width or HEAD_WIDTH)
    tower = PreparedClip.of(as_clip(file, *TEXT), activation="gelu")
    beside = components.depth() if unet.unet.config.in_channels == DEPTH else None

    def load(vae: WeightsFile, placement: Placement) -> LdmModel:
        decoder, network = load_vae(vae, placement), unet.load(placement)
        prediction = ldm.prediction_of(file, settings) or _tried_out(network, placement)
        return LdmModel(
            unet=network,
            text=ClipText(
                tower.load(placement), open_clip_tokenizer(), left_out=lambda _options: 1, zeros_behind_end=True
            ),
            vae=decoder,
            process=Diffusion(ldm.noise_table(file, settings), prediction),
            scale=settings.scale_factor or SCALE,
            preview=PREVIEW,
            family=SD2,
            placement=placement,
            depth_network=DepthNetwork(beside) if beside else None,
        )

    return load


def _tried_out(unet: UNet2DConditionModel, placement: Placement) -> Prediction:
    """What the network predicts, as it answers to the last timestep: noise is like x there, velocity like minus x0."""
    if unet.config.in_channels != unet.config.out_channels:
        return "eps"  # A1111: inpainting and depth checkpoints predict noise
    if placement.rest != placement.device:
        unet = unet.to(placement.device)
    # A1111: these numbers, and this threshold
    x = torch.full((1, unet.config.in_channels, 8, 8), 0.5, device=placement.device, dtype=placement.dtype)
    tokens = torch.full((1, 2, unet.config.cross_attention_dim), 0.5, device=placement.device, dtype=placement.dtype)
    with torch.inference_mode():
        output = unet(x, torch.tensor([999], device=placement.device), tokens, return_dict=False)[0]
    return "v" if float((output - x).mean()) < -1 else "eps"


SD2 = Family(capabilities.SD2, detect, prepare)
