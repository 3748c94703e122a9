"""FreeU: the network's decoder weighs what it has made against what skips to it. Si et al. 2023, arXiv:2309.11497."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Slider

PLACE = 86


class Params(FeatureParams):
    """The paper's names. Its values for SD 1.5: 1.5, 1.6, 0.9, 0.2; for SDXL: 1.3, 1.4, 0.9, 0.2."""

    title: ClassVar[str] = "FreeU"
    aliases: ClassVar[tuple[str, ...]] = ("FreeU Integrated (SD 1.x, SD 2.x, SDXL)", "FreeU Integrated")
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    b1: Annotated[float, Slider(label="FreeU b1", ui="b1", place=PLACE, min=0, max=2, step=0.01, ge=0)] = 1.01
    """Scales the backbone features of the first decoder stage: above 1 gives less noise and smoother pictures."""
    b2: Annotated[float, Slider(label="FreeU b2", ui="b2", min=0, max=2, step=0.01, ge=0)] = 1.02
    """The same for the second decoder stage."""
    s1: Annotated[float, Slider(label="FreeU s1", ui="s1", min=0, max=4, step=0.01, ge=0)] = 0.99
    """Scales the low frequencies of the first stage's skip connection: below 1 counteracts oversmoothing."""
    s2: Annotated[float, Slider(label="FreeU s2", ui="s2", min=0, max=4, step=0.01, ge=0)] = 0.95
    """The same for the second decoder stage."""
    start: Annotated[
        float, Slider(label="FreeU start", ui="Start at step share", min=0, max=1, step=0.01, ge=0, le=1, absent=0.0)
    ] = 0.0
    """The fraction of the sampling after which it takes effect."""
    end: Annotated[
        float, Slider(label="FreeU end", ui="End at step share", min=0, max=1, step=0.01, ge=0, le=1, absent=1.0)
    ] = 1.0
    """The fraction of the sampling after which it no longer takes effect."""
