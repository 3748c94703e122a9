"""A control network beside the UNet: what it says is added to the UNet's way down, call by call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import interpolate

from webui.base.errors import UserError
from webui.engine.batch import Loaded, Pass
from webui.engine.control.adapters import ControlAdapter
from webui.engine.control.hints import PER_LATENT, Hint
from webui.engine.control.image_prompts import ImageTokens
from webui.engine.control.lllite import LLLite
from webui.engine.control.networks import (
    Control,
    ControlEncoder,
    ControlPart,
    UnionEncoder,
    like_its_unet,
)
from webui.engine.denoisers import Ask, Call, Window
from webui.engine.families.family import Conditioning
from webui.engine.feature import PassContext
from webui.engine.sampling.process import Process
from webui.features.controlnet.borrowing import Borrowing
from webui.features.controlnet.parameters import MODES, Params
from webui.request.control_types import OF_UNION, union_number
from webui.request.preprocessors import preprocessor

SOFT = 0.825
"""How much weaker each output is than the next one inwards, where the prompt is more important."""
OUTPUTS = 13
"""Of SD1's networks; the rules for weights count them for all."""
SOFT_ADAPTER = (0.25, 0.62, 0.825, 1.0)
SOFT_IN_HIRES = ("canny", "mlsd")
"""Preprocessors whose maps are followed less strictly in the second pass, in every mode."""
BALANCED, PROMPT, CONTROL_MODE = MODES
Made = dict[object, ControlEncoder]
"""Networks made of a model's own UNet, by the model's key."""


def acts_in(params: Params, call: Call) -> bool:
    """Whether a unit acts in this call."""
    return params.guidance_start <= call.clock.told(call.number) / call.steps <= params.guidance_end


def is_for(params: Params, this: Pass) -> bool:
    """Whether a unit acts in a pass of this kind."""
    return params.hr_option == "Both" or (params.hr_option == "High res only") == (this.phase == "hires")


def is_soft(params: Params, context: PassContext) -> bool:
    """Whether what a network says counts the less the farther out it is added."""
    is_second = context.this.phase == "hires"
    fades = is_second and any(name in params.module.lower() for name in SOFT_IN_HIRES)
    return fades or params.control_mode != BALANCED


class Networked(Borrowing):
    """A unit's network in one pass."""

    def __init__(
        self,
        params: Params,
        context: PassContext,
        hint: Hint,
        region: Tensor | None,
        made: Made,
        faces: ImageTokens | None = None,
    ) -> None:
        """faces: what the network is told in the place of the text."""
        super().__init__(params, context)
        self.region, self.made, self.faces = region, made, faces
        self.hint = _as_networks_see(hint, context.loaded.model.latent.factor).to(context.loaded.model.device)
        """(1, 3, h, w): `PER_LATENT` times the latents' sides."""
        self.lent: Control | None = None
        self.part: ControlPart | None = None
        """What the network was made of, while the UNet had no LoRAs yet."""
        self.seen: dict[Window | None, tuple[Tensor, ...]] = {}
        """What the network makes of the hint, or of what a window shows of it, once a pass; (1, c, h, w) each."""
        self.windows: tuple[Window, ...] = ()
        """Of the call in work."""
        self.is_on = False

    @contextmanager
    def beside(self, lent: Control, loaded: Loaded) -> Iterator[None]:
        unet = loaded.model.parts["unet"]
        assert isinstance(unet, UNet2DConditionModel)
        with ExitStack() as held:
            if isinstance(lent, ControlPart):
                self.part = lent if self.context.this.networks else None
                lent = part_on(self.made, lent, loaded)
            if isinstance(lent, UnionEncoder):
                lent = lent.of(kind_of_map(self.params, lent))
            if isinstance(lent, ControlEncoder):
                like_its_unet(lent.network, unet)
            elif isinstance(lent, LLLite) and self.context.this.phase != "hires":
                held.enter_context(lent.before(unet, self.hint, self._lllite_strength, lambda: self.windows))
            self.lent = lent
            try:
                yield
            finally:
                self.lent = self.part = None
                self.seen.clear()

    def _lllite_strength(self) -> float:
        return self.params.weight if self.is_on else 0.0

    def asking(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.is_on, self.windows = acts_in(self.params, call), call.windows
            if self.is_on and call.number:
                self._dress()
            try:
                return ask(self._controlled(call) if self.is_on else call)
            finally:
                self.is_on = False

        return asked

    def _dress(self) -> None:
        """A1111: at the first call, the UNet has no LoRAs yet from which a low-rank network takes its weights."""
        part, self.part = self.part, None
        if part is not None and self.entered is not None:
            self.made.pop(self.entered.key, None)
            self.lent = part_on(self.made, part, self.entered, is_dressed=True)
            unet = self.entered.model.parts["unet"]
            assert isinstance(unet, UNet2DConditionModel)
            like_its_unet(self.lent.network, unet)

    def _controlled(self, call: Call) -> Call:
        told = call.conditioning
        match self.lent:
            case ControlEncoder():
                process: Process = self.context.process
                (seen,) = self._shown(call, self.lent.seen)
                x, t = process.to_input(call.x, call.sigma), process.timestep(call.sigma)
                with self.context.services.watch.stopwatch.running():
                    outputs = self.lent.outputs(x, t, self._said(call), seen)
                outputs = self._weighted(outputs, call, self._encoder_weights(len(outputs)), pools=self.lent.pools)
                return replace(call, conditioning=replace(told, residuals=added(told.residuals, outputs)))
            case ControlAdapter():
                maps = fitted_maps(self._shown(call, self.lent.seen), call.x.shape[-2:], self.lent.halvings)
                maps = [each.expand(len(call.x), -1, -1, -1) for each in maps]
                outputs = self._weighted(maps, call, self._adapter_weights(), pools=False)
                return replace(call, conditioning=replace(told, within=added(told.within, outputs)))
            case _:
                return call

    def _said(self, call: Call) -> Conditioning:
        """What the network is told beside the map."""
        told = call.conditioning
        if self.faces is None:
            return told
        sides = torch.tensor([int(row.side == "positive") for row in call.rows])
        return replace(told, tokens=self.faces.of(sides).to(told.tokens))

    def _shown(self, call: Call, look: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Tensor]:
        """What the rows of a call are shown of the hint, as the network sees it: (1 or rows, c, h, w) each."""
        windows = call.windows or (None,)
        for window in windows:
            if window not in self.seen:
                with self.context.services.watch.stopwatch.running():
                    self.seen[window] = look(self.hint if window is None else window.of(self.hint, PER_LATENT))
        return [call.spread(parts) for parts in zip(*(self.seen[window] for window in windows), strict=True)]

    def _region(self, call: Call, size: Sequence[int]) -> Tensor | None:
        """Where the unit acts, as the rows of a call see it, at this (height, width)."""
        if self.region is None:
            return None
        region = self.region.to(call.x.device)
        if call.windows:
            region = call.cut(interpolate(region, size=self.hint.shape[-2:], mode="bilinear"), PER_LATENT)
        return interpolate(region, size=tuple(size), mode="bilinear")

    def _encoder_weights(self, count: int) -> Sequence[float]:
        """One for each output, from the outermost to the middle."""
        own = self.params.layer_weights
        if own is not None:
            return (*own[:count], *[0.0] * (count - len(own)))
        if is_soft(self.params, self.context):
            return [self.params.weight * SOFT ** (OUTPUTS - 1 - number) for number in range(count)]
        return [self.params.weight] * count

    def _adapter_weights(self) -> Sequence[float]:
        own = self.params.layer_weights
        if own is not None:
            return (*own[:4], *[0.0] * (4 - len(own)))
        factors = SOFT_ADAPTER if is_soft(self.params, self.context) else (1.0,) * 4
        return [self.params.weight * factor for factor in factors]

    def _weighted(
        self, outputs: Sequence[Tensor], call: Call, weights: Sequence[float], *, pools: bool
    ) -> tuple[Tensor, ...]:
        """The outputs as they are added: (rows, c, h, w) each."""
        sides = None
        if pools or self.params.control_mode == CONTROL_MODE:
            sides = torch.tensor([row.side == "positive" for row in call.rows], dtype=torch.float32)
        found = []
        for output, weight in zip(outputs, weights, strict=False):
            value = output.float() * weight
            if sides is not None:
                value = value * sides.to(value.device)[:, None, None, None]
            if (region := self._region(call, value.shape[-2:])) is not None:
                value = value * region
            if pools:
                value = value.mean(dim=(2, 3), keepdim=True)
            found.append(value)
        return tuple(found)


def _as_networks_see(hint: Hint, factor: int) -> Tensor:
    """(1, 3, h, w). factor: pixels along a side of what one latent stands for in the picture."""
    seen = hint.seen
    return seen if factor == PER_LATENT else interpolate(seen, scale_factor=PER_LATENT / factor, mode="area")


def fitted_maps(maps: Sequence[Tensor], size: Sequence[int], halvings: Sequence[int]) -> list[Tensor]:
    """An adapter's maps at the sizes of a UNet's levels, which round up where they halve; the nearest values are taken.

    size: (height, width) of the latents.
    """
    found = []
    for each, times in zip(maps, halvings, strict=True):
        wanted = tuple(-(-side // 2**times) for side in size)
        found.append(each if each.shape[-2:] == wanted else interpolate(each, size=wanted, mode="nearest"))
    return found


def added(before: Sequence[Tensor], more: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Those of several units together."""
    return tuple(more) if not before else tuple(one + other for one, other in zip(before, more, strict=True))


def kind_of_map(params: Params, network: UnionEncoder) -> int:
    """The number of the kind of map that a network of several kinds sees.

    Raises:
        UserError: nobody says which, or it does not know that one.
    """
    number = union_number(params.union_control_type, preprocessor(params.module))
    if number is None:
        raise UserError(
            "ControlNet Union must be told what kind of map it sees.",
            hint="Choose the preprocessor that makes such maps, or the kind of map.",
            field="union_control_type",
        )
    if number >= network.kinds:
        known = ", ".join(list(OF_UNION)[: network.kinds])
        raise UserError(
            f"This ControlNet Union does not know maps of the kind {list(OF_UNION)[number]}.",
            hint=f"It knows: {known}. The ProMax release knows more.",
            field="union_control_type",
        )
    return number


def part_on(made: Made, part: ControlPart, loaded: Loaded, *, is_dressed: bool = False) -> ControlEncoder:
    """The network that this part makes of the model's own UNet, unless it is made already: of the checkpoint's weights,
    or, `is_dressed`, of those with its LoRAs."""
    if loaded.key not in made:
        unet = loaded.model.parts["unet"]
        weights = {**unet.state_dict(), **({} if is_dressed else loaded.patches.unpatched("unet"))}
        like = next(unet.parameters())
        made[loaded.key] = part.on(weights, like.device, like.dtype)
    return made[loaded.key]
