"""Tiled VAE: names, values, their order and limits are those of the extension
multidiffusion-upscaler-for-automatic1111, whose requests mean the same here."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams
from webui.request.capabilities import Capability
from webui.request.params import DependsOn, Param, Slider, Toggle


class Params(FeatureParams):
    """The VAE works on a tile at a time."""

    title: ClassVar[str] = "Tiled VAE"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})

    encoder_tile_size: Annotated[int, Slider(ui="Encoder Tile Size", min=256, max=4096, step=16, ge=16, le=16384)] = 512
    """In pixels of the picture."""
    decoder_tile_size: Annotated[int, Slider(ui="Decoder Tile Size", min=48, max=512, step=16, ge=8, le=2048)] = 64
    """In pixels of the latents: one of them stands for 8 pixels of the picture."""
    vae_to_gpu: Annotated[bool, Param(ui="Move VAE to GPU (if possible)", axis=False)] = True
    """Taken for the sake of other programs: memory is planned for all parts together."""
    fast_decoder: Annotated[bool, Toggle(ui="Fast Decoder")] = True
    """Estimates the statistics of the whole from a small copy, one tile after the other; otherwise all tiles are
    computed side by side, which takes more memory and is closer to the whole."""
    fast_encoder: Annotated[bool, Toggle(ui="Fast Encoder")] = True
    """The same when a given picture is encoded."""
    color_fix: Annotated[bool, Toggle(ui="Fast Encoder Color Fix", depends=(DependsOn("fast_encoder", (True,)),))] = (
        False
    )
    """Estimates the encoder's first level alone, where colours shift with the fast encoder."""
