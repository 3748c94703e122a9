"""Self-attention guidance: away from what the network says to a picture that is blurred where it looks most.

Hong et al. 2022, arXiv:2210.00939.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider


class Params(FeatureParams):
    """The paper's names and values."""

    title: ClassVar[str] = "Self-attention guidance"
    aliases: ClassVar[tuple[str, ...]] = (
        "SelfAttentionGuidance Integrated (SD 1.x, SD 2.x, SDXL)",
        "Self Attention Guidance",
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"network", "guidance"})

    scale: Annotated[float, Slider(label="SAG scale", ui="Scale", place=86, min=-2, max=5, step=0.1)] = 0.5
    """The strength of the guidance; needs one more call of the network per step."""
    blur_sigma: Annotated[
        float, Slider(label="SAG blur sigma", ui="Blur sigma", min=0, max=10, step=0.1, ge=0, absent=2.0)
    ] = 2.0
    """The amount of blur, in latent pixels."""
    threshold: Annotated[
        float, Slider(label="SAG threshold", ui="Blur mask threshold", min=0, max=4, step=0.01, ge=0, absent=1.0)
    ] = 1.0
    """Areas that receive more than this many times the average attention are blurred."""
