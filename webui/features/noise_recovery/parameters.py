"""The noise of which the model would make the given picture: by which words, and in how many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.fields import Generation
from webui.request.params import Slider, Text, Toggle
from webui.request.plan import Picture, Plan
from webui.request.settings import RenderSettings

SCRIPT = "img2img alternative test"
"""The script that asks for it."""


class Params(FeatureParams):
    called: ClassVar[str] = SCRIPT
    field: ClassVar[str] = "script"
    switch_off: ClassVar[str] = "choose no script"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"latents"})

    original_prompt: Annotated[str, Text(ui="Original prompt", lines=1)] = ""
    """What the given picture shows."""
    original_negative_prompt: Annotated[str, Text(ui="Original negative prompt", lines=1)] = ""
    """What it does not show."""
    st: Annotated[int, Slider(ui="Decode steps", min=1, max=150, step=1, ge=1, le=1000)] = 50
    """In how many steps its noise is found."""
    cfg: Annotated[float, Slider(ui="Decode CFG scale", min=0, max=15, step=0.1, ge=0, le=100)] = 1.0
    """How strongly the original prompt guides these steps; close to 1 the picture comes out best."""
    randomness: Annotated[float, Slider(ui="Randomness", min=0, max=1, step=0.01, ge=0, le=1)] = 0.0
    """The share of drawn noise: 0 is only the picture's own, 1 as img2img does without the script."""
    sigma_adjustment: Annotated[bool, Toggle(ui="Sigma adjustment for finding noise for image")] = False
    """Finds the noise with each step's earlier noise level, and leaves its strength as it is found."""

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if request.script != SCRIPT:
            return None
        own = cls.params()
        return cls.made(**{name: value for name, value in request.script_values.items() if name in own})

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        told = {
            "Decode prompt": self.original_prompt,
            "Decode negative prompt": self.original_negative_prompt,
            "Decode CFG scale": str(self.cfg),
            "Decode steps": str(self.st),
            "Randomness": str(self.randomness),
            "Sigma Adjustment": str(self.sigma_adjustment),
        }
        return {label: text for label, text in told.items() if text}
