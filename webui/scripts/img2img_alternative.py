"""img2img alternative test: img2img begins with the noise of which the model would make the given picture."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.noise_recovery.parameters import SCRIPT, Params
from webui.request.fields import Generation
from webui.request.params import Slider, Text, Toggle
from webui.scripts.script import Cell, Script, Seeds, Table, refuse_beyond

EULER = "Euler"


class Img2ImgAlternative(Script):
    """One request, with the form's values overridden as the method needs it."""

    title: ClassVar[str] = SCRIPT
    kinds: ClassVar[tuple[str, ...]] = ("img2img",)
    advice: ClassVar[str] = "Works best with a CFG scale of 2 or lower."
    places: ClassVar[tuple[str, ...]] = (
        "",
        "override_sampler",
        "override_prompt",
        "original_prompt",
        "original_negative_prompt",
        "override_steps",
        "st",
        "override_strength",
        "cfg",
        "randomness",
        "sigma_adjustment",
    )

    override_sampler: Annotated[
        bool, Toggle(ui="Override `Sampling method` to Euler?(this method is built for it)")
    ] = True
    """Samples with Euler, whose steps backwards find the noise."""
    override_prompt: Annotated[
        bool,
        Toggle(ui="Override `prompt` to the same value as `original prompt`?(and `negative prompt`)"),
    ] = True
    """Takes the original prompts as prompts, so that the picture itself comes out."""
    original_prompt: Annotated[str, Text(ui="Original prompt", lines=1)] = ""
    """What the given picture shows."""
    original_negative_prompt: Annotated[str, Text(ui="Original negative prompt", lines=1)] = ""
    """What it does not show."""
    override_steps: Annotated[bool, Toggle(ui="Override `Sampling Steps` to the same value as `Decode steps`?")] = True
    """Samples in as many steps as the noise is found in."""
    st: Annotated[int, Slider(ui="Decode steps", min=1, max=150, step=1, ge=1, le=1000)] = 50
    """In how many steps the noise is found."""
    override_strength: Annotated[bool, Toggle(ui="Override `Denoising strength` to 1?")] = True
    """Samples from noise alone."""
    cfg: Annotated[float, Slider(ui="Decode CFG scale", min=0, max=15, step=0.1, ge=0, le=100)] = 1.0
    """How strongly the original prompt guides the search; close to 1 the picture comes out best."""
    randomness: Annotated[float, Slider(ui="Randomness", min=0, max=1, step=0.01, ge=0, le=1)] = 0.0
    """The share of drawn noise: 0 is only the picture's own, 1 as img2img does without the script."""
    sigma_adjustment: Annotated[bool, Toggle(ui="Sigma adjustment for finding noise for image")] = False
    """Finds the noise with each step's earlier noise level, and leaves its strength as it is found."""

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        refuse_beyond(request.picture_count, most)
        changes: dict[str, object] = {}
        if self.override_sampler:
            changes["sampler_name"] = EULER
        if self.override_prompt:
            changes |= {"prompt": self.original_prompt, "negative_prompt": self.original_negative_prompt}
        if self.override_steps:
            changes["steps"] = self.st
        if self.override_strength:
            changes["denoising_strength"] = 1.0
        values = {name: getattr(self, name) for name in Params.params()}
        asked = seeds.fixed(request).changed(script=self.title, script_values=values, **changes)
        return Table((Cell((0, 0, 0), asked),))
