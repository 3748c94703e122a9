"""Kohya's HRFix (Deep Shrink): a large picture is composed in a network that sees it small.

Described by Kohya Ss in 2023 (gist "Deep Shrink"); the parameters are those of ComfyUI's node and Forge's script.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Choice, Slider, Toggle

BISLERP = "bislerp"
METHODS = ("bicubic", "nearest-exact", "bilinear", "area", BISLERP)


class Params(FeatureParams):
    """From one block of the UNet's encoder on, the features are small; the decoder enlarges them again."""

    title: ClassVar[str] = "Kohya HRFix"
    aliases: ClassVar[tuple[str, ...]] = ("Kohya HRFix Integrated", "Deep Shrink", "PatchModelAddDownscale")
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    block_number: Annotated[
        int, Slider(label="HRFix block number", ui="Block number", place=86, min=1, max=32, step=1, ge=1, le=32)
    ] = 3
    """The encoder block after which features are downscaled, counted from 1; SD 1.5 has 11 blocks, SDXL 8."""
    downscale_factor: Annotated[
        float,
        Slider(label="HRFix downscale factor", ui="Downscale factor", min=0.1, max=9, step=0.001, ge=0.1, le=9),
    ] = 2.0
    """How many times smaller they get along each side: near the picture's size divided by what the model was trained
    on."""
    start_percent: Annotated[
        float,
        Slider(label="HRFix start percent", ui="Start", min=0, max=1, step=0.001, ge=0, le=1, absent=0.0),
    ] = 0.0
    """The fraction of the sampling after which it takes effect."""
    end_percent: Annotated[
        float, Slider(label="HRFix end percent", ui="End", min=0, max=1, step=0.001, ge=0, le=1, absent=0.35)
    ] = 0.35
    """The fraction of the sampling after which it no longer takes effect, so that details are generated at full
    size."""
    downscale_after_skip: Annotated[
        bool, Toggle(label="HRFix downscale after skip", ui="Downscale after skip", absent=True)
    ] = True
    """Downscales only after the skip connection, so that the decoder still receives the block's features at full
    size."""
    downscale_method: Annotated[
        str, Choice(label="HRFix downscale method", ui="Downscale method", choices=METHODS, absent=METHODS[0])
    ] = METHODS[0]
    """The method used to downscale features."""
    upscale_method: Annotated[
        str, Choice(label="HRFix upscale method", ui="Upscale method", choices=METHODS, absent=METHODS[0])
    ] = METHODS[0]
    """The method used to upscale them again."""
