"""A reference unit in one pass: in each call the UNet looks at the unit's picture first."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from webui.engine.batch import Loaded
from webui.engine.control.latents import Drawn, whole_step
from webui.engine.control.reference import Memory, remembered
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import PassContext, PassFeature
from webui.engine.start import INPAINTING
from webui.features.controlnet.network import BALANCED, CONTROL_MODE, acts_in
from webui.features.controlnet.parameters import Params
from webui.request.capabilities import Capability

SDXL_POWER = 3
"""A1111: of the fidelity, for SDXL."""


class Referring(PassFeature):
    """latents: of the unit's picture, (1, c, h, w)."""

    def __init__(self, params: Params, context: PassContext, latents: Tensor, drawn: Drawn) -> None:
        self.params, self.context, self.latents, self.drawn = params, context, latents, drawn
        name = params.module
        self.memory = Memory("only" in name or "attn" in name, "adain" in name, params.weight)
        self.entered: Loaded | None = None

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        self.entered = loaded
        if loaded is not self.context.loaded:
            return nullcontext()
        return remembered(loaded.model.parts["unet"], self.memory)

    def predict(self, ask: Ask) -> Ask:
        if self.entered is not self.context.loaded:
            return ask

        def asked(call: Call) -> Tensor:
            if not acts_in(self.params, call):
                return ask(call)
            memory = self.memory
            memory.fidelity = self._fidelity()
            memory.negative = torch.tensor([float(row.side == "negative") for row in call.rows])
            try:
                self._look(call)
                memory.phase = "remembering"
                return ask(call)
            finally:
                memory.phase = "idle"

        return asked

    def _look(self, call: Call) -> None:
        """The network sees the picture under new noise, with the texts of this call."""
        model, process, told = self.context.loaded.model, self.context.process, call.conditioning
        level = whole_step(self.context, call.sigma, call.x)
        latents = call.cut(self.latents).expand(len(call.x), -1, -1, -1)
        noisy = latents + level * self._noise(call, latents)
        beside = told.concat
        if beside is not None and model.input_channels == INPAINTING:
            beside = torch.cat([torch.zeros_like(latents[:, :1]), latents], dim=1)
        told = replace(told, residuals=(), within=(), concat=beside)
        self.memory.phase = "looking"
        with self.context.services.watch.stopwatch.running():
            model.predict(process.to_input(noisy, level.flatten()), process.timestep(call.sigma), told)

    def _noise(self, call: Call, latents: Tensor) -> Tensor:
        """A1111 computes both halves even where CFG scale 1 needs one alone."""
        rows = len(call.x)
        both = self.context.guidance.scale == 1.0 and all(row.side == "positive" for row in call.rows)
        shape = torch.Size((2 * rows if both else rows, *latents.shape[1:]))
        return self.drawn(shape, latents.device)[:rows]

    def _fidelity(self) -> float:
        """How far the negative half stays what it is."""
        mode, own = self.params.control_mode, float(self.params.threshold_a)
        if mode == CONTROL_MODE:
            return 1.0
        if mode != BALANCED or self.context.this.phase == "hires":
            return 0.0
        is_sdxl = self.context.loaded.model.family.bears(Capability.SIZE_CONDITIONING)
        return own**SDXL_POWER if is_sdxl else own
