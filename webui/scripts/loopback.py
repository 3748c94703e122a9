"""Loopback: a picture is made out of the last one, again and again, while the denoising strength changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from webui.jobs.interrogate.request import Interrogate
from webui.request.fields import Generation
from webui.request.interrogators import CLIP, DEEPBOORU
from webui.request.params import Choice, Slider
from webui.scripts.flow import Flow, Made, Next

NO_INTERROGATION = "None"
INTERROGATORS = {"CLIP": CLIP, "DeepBooru": DEEPBOORU}
CURVES: Mapping[str, Callable[[float], float]] = {
    "Aggressive": lambda done: math.sin(done * math.pi / 2),
    "Linear": lambda done: done,
    "Lazy": lambda done: 1 - math.cos(done * math.pi / 2),
}
"""How far the strength has come from the first to the last, when this share of the loops is done."""
ORIGINAL = 1
"""`inpainting_fill`: what lies under the mask begins as it is."""


class Loopback(Flow):
    """Each batch begins with the given picture; of several batches the last picture of each is a result."""

    title: ClassVar[str] = "Loopback"
    kinds: ClassVar[tuple[str, ...]] = ("img2img",)

    loops: Annotated[int, Slider(ui="Loops", min=1, max=32, step=1, ge=1, le=1000)] = 4
    """How many times the picture is generated from the previous result."""
    final_denoising_strength: Annotated[
        float, Slider(ui="Final denoising strength", min=0, max=1, step=0.01, ge=0, le=1)
    ] = 0.5
    """The denoising strength of the last loop; the first loop uses the one in the form."""
    denoising_curve: Annotated[str, Choice(ui="Denoising strength curve", choices=tuple(CURVES))] = "Linear"
    """How the strength changes over the loops: mainly at the beginning, evenly, or mainly at the end."""
    append_interrogation: Annotated[
        str,
        Choice(
            ui="Append interrogated prompt at each iteration", choices=(NO_INTERROGATION, *INTERROGATORS), radio=True
        ),
    ] = NO_INTERROGATION
    """Describes each picture and appends the description to the prompt of the next loop."""

    def picture_count(self, request: Generation) -> int:
        return request.n_iter if request.n_iter > 1 else self.loops

    def steps(self, request: Generation) -> int:
        return request.n_iter * self.loops * (1 if self.append_interrogation == NO_INTERROGATION else 2)

    def follow(self, request: Generation, made: Sequence[Made]) -> Next | None:
        left = iter(made)
        asked = INTERROGATORS.get(self.append_interrogation)
        seed = request.seed
        for _ in range(request.n_iter):
            given = tuple(getattr(request, "init_images", ()))[:1]
            for loop in range(self.loops):
                prompt = request.prompt
                if asked is not None:
                    described = next(left, None)
                    if described is None:
                        return Next(Interrogate(image="".join(given), model=asked))
                    prompt = ", ".join(filter(None, (prompt, described.answer)))
                one = next(left, None)
                if one is None:
                    return self._loop(request.changed(prompt=prompt, seed=seed, init_images=given), loop)
                seed += 1  # A1111: seeds count on through all batches.
                if not one.pictures:
                    break  # Skipped: the next batch begins.
                given = one.pictures[:1]
        return None

    def _loop(self, request: Generation, loop: int) -> Next:
        """The request of one loop, whose prompt, seed and picture are chosen."""
        several = request.n_iter > 1
        changes = {"inpainting_fill": ORIGINAL} if loop else {}
        one = request.changed(
            script="",
            script_values={},
            n_iter=1,
            batch_size=1,
            denoising_strength=self._strength(getattr(request, "denoising_strength", 0.0), loop),
            **changes,
        )
        labels = (
            ("Final denoising strength", str(self.final_denoising_strength)),
            ("Denoising curve", self.denoising_curve),
        )
        return Next(one, is_result=not several or loop == self.loops - 1, labels=labels)

    def _strength(self, first: float, loop: int) -> float:
        if self.loops == 1:
            return first
        return first + (self.final_denoising_strength - first) * CURVES[self.denoising_curve](loop / (self.loops - 1))
