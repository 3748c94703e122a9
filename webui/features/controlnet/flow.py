"""A control network beside a transformer, call by call: what it says is added behind the transformer's blocks, or it
changes the transformer's layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from webui.engine.batch import Loaded
from webui.engine.control.flow import FlowControl, Said, behind_each, mode_of
from webui.engine.control.flow_lora import FlowLora, LoraInCall
from webui.engine.control.hints import Hint
from webui.engine.control.networks import Control
from webui.engine.denoisers import Ask, Call
from webui.engine.families.flow_model import FlowModel
from webui.engine.feature import PassContext
from webui.engine.vae import encoded
from webui.features.controlnet.borrowing import Borrowing
from webui.features.controlnet.network import CONTROL_MODE, SOFT, acts_in, added, is_soft
from webui.features.controlnet.parameters import Params
from webui.request.control_types import OF_UNION, union_number
from webui.request.preprocessors import preprocessor


class BesideTransformer(Borrowing):
    """A unit's network in one pass."""

    def __init__(self, params: Params, context: PassContext, hint: Hint, region: Tensor | None) -> None:
        """region: (1, 1, h, w), 0 to 1."""
        super().__init__(params, context)
        self.hint, self.region = hint, region
        self.lent: FlowControl | FlowLora | None = None
        self.seen: Tensor | None = None
        """The hint as the network sees it: (1, c, h, w)."""
        self.acting = LoraInCall(self._share)
        """What a control LoRA does in the call in work."""

    @contextmanager
    def beside(self, lent: Control, loaded: Loaded) -> Iterator[None]:
        model, watch = loaded.model, self.context.services.watch
        assert isinstance(lent, FlowControl | FlowLora) and isinstance(model, FlowModel)
        pixels = (self.hint.pixels * 2 - 1).to(model.device)
        seen = encoded(model, pixels, self.context.batch.render, watch)
        self.lent, self.seen = lent, lent.seen(seen, model) if isinstance(lent, FlowControl) else seen
        transformer = model.parts["unet"]
        try:
            with lent.within(transformer, self.acting) if isinstance(lent, FlowLora) else nullcontext():
                yield
        finally:
            self.lent = self.seen = None

    def asking(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            if not acts_in(self.params, call):
                return ask(call)
            if isinstance(self.lent, FlowControl):
                return ask(self._controlled(call, self.lent))
            self._show(call)
            try:
                return ask(call)
            finally:
                self.acting.hint = self.acting.rows = None

        return asked

    def _show(self, call: Call) -> None:
        """Let a control LoRA act in a call."""
        seen, model = self.seen, self.context.loaded.model
        assert seen is not None and isinstance(model, FlowModel)
        self.acting.hint = model.patched(model.even(call.cut(seen)).expand(len(call.x), -1, -1, -1))
        is_one_sided = self.params.control_mode == CONTROL_MODE
        sides = [not is_one_sided or row.side == "positive" for row in call.rows]
        self.acting.rows = torch.tensor(sides, dtype=torch.float32)

    def _share(self, layer: str) -> float:
        """How strongly a control LoRA acts on a layer of the transformer."""
        kind, _, rest = layer.partition(".")
        if not kind.endswith("transformer_blocks"):
            return self.params.weight
        count = sum(1 for _ in self.context.loaded.model.parts["unet"].get_submodule(kind).children())
        return self._weight(int(rest.partition(".")[0]), count)

    def _controlled(self, call: Call, lent: FlowControl) -> Call:
        seen, model, told = self.seen, self.context.loaded.model, call.conditioning
        assert seen is not None and isinstance(model, FlowModel)
        which = kind_for(self.params, lent)
        x, t = self.context.process.to_input(call.x, call.sigma), self.context.process.timestep(call.sigma)
        with self.context.services.watch.stopwatch.running():
            said = behind_each(lent.said(model, x, t, told, call.cut(seen), which), model.parts["unet"])
        region = self._region(call, model)
        made = Said(*(self._weighted(outputs, call, region) for outputs in said))
        behind = added(told.behind, made.behind) if made.behind else told.behind
        single = added(told.behind_single, made.behind_single) if made.behind_single else told.behind_single
        return replace(call, conditioning=replace(told, behind=behind, behind_single=single))

    def _region(self, call: Call, model: FlowModel) -> Tensor | None:
        """Where the unit acts, as the rows of a call see it: (1 or rows, n, 1)."""
        if self.region is None:
            return None
        factor, sides = model.latent.factor, self.hint.pixels.shape[-2:]
        region = interpolate(self.region.to(call.x.device), size=[side // factor for side in sides], mode="bilinear")
        grid = [-(-side // model.patch) for side in call.x.shape[-2:]]
        return interpolate(call.cut(region), size=grid, mode="bilinear").flatten(2).transpose(1, 2)

    def _weighted(self, outputs: Sequence[Tensor], call: Call, region: Tensor | None) -> tuple[Tensor, ...]:
        """(rows, n, width) each, as they are added."""
        sides = torch.tensor([row.side == "positive" for row in call.rows], dtype=torch.float32)
        found = []
        for number, output in enumerate(outputs):
            value = output.float() * self._weight(number, len(outputs))
            if self.params.control_mode == CONTROL_MODE:
                value = value * sides.to(value.device)[:, None, None]
            found.append(value if region is None else value * region)
        return tuple(found)

    def _weight(self, block: int, count: int) -> float:
        """How strongly the unit acts on a block, one of so many of its kind."""
        own = self.params.layer_weights
        if own is not None:
            return own[block] if block < len(own) else 0.0
        return self.params.weight * (SOFT ** (count - 1 - block) if is_soft(self.params, self.context) else 1.0)


def kind_for(params: Params, lent: FlowControl) -> int:
    """The number of the kind of map that the network sees; 0 where it knows one kind.

    Raises:
        UserError: it knows several, and nobody says which this is.
    """
    if not lent.kinds:
        return 0
    number = union_number(params.union_control_type, preprocessor(params.module))
    return mode_of("" if number is None else list(OF_UNION)[number], lent.kinds)
