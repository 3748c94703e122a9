"""A control network beside the UNet: what it says is added to the UNet's way down, call by call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import cv2
import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from webui.base.errors import UserError, WebuiError
from webui.catalog.image_files import pixels_of
from webui.engine.batch import Loaded, Pass, Services
from webui.engine.control.adapters import ControlAdapter
from webui.engine.control.hints import perfect_resolution, sized
from webui.engine.control.lllite import LLLite
from webui.engine.control.networks import CONTROL, Control, ControlEncoder, ControlPart, fits, like_its_unet
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.preprocessors.picture import Bytes, Options, levels, whole
from webui.engine.sampling.process import Process
from webui.engine.start import encoded_png
from webui.engine.upscalers.resize import fitted
from webui.features.controlnet.parameters import LEAVE_OUT, MODES, RESIZE_MODES, Params, ResizeMode
from webui.registry import resolved
from webui.request.messages import ExtraPicture
from webui.request.preprocessors import preprocessor

SOFT = 0.825
"""How much weaker each output is than the next one inwards, where the prompt is more important."""
OUTPUTS = 13
"""Of SD1's networks; the rules for weights count them for all."""
SOFT_ADAPTER = (0.25, 0.62, 0.825, 1.0)
RECOLOURED: Mapping[str, tuple[int, int, int]] = {
    "recolor_luminance": (cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB, 0),
    "recolor_intensity": (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, 2),
}
"""Preprocessor -> the way into a space of colours, the way back, and the channel there that is the map's."""
NEARLY_EMPTY, NEARLY_FULL = 5, 250
"""A mask all of whose levels are up to the first or from the second on says nothing; any other is what was drawn."""
SOFT_IN_HIRES = ("canny", "mlsd")
"""Preprocessors whose maps are followed less strictly in the second pass, in every mode."""
BALANCED, PROMPT, CONTROL_MODE = MODES


class Controlling(PassFeature):
    """A unit in one pass."""

    def __init__(self, unit: Engine, context: PassContext, seen: Bytes) -> None:
        self.params, self.context, self.seen = unit.params, context, seen
        hint = torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1)[None].float() / 255
        self.hint = hint.to(context.loaded.model.device)
        self.unit = unit
        self.lent: Control | None = None
        self.maps: tuple[Tensor, ...] = ()
        """An adapter's."""
        self.is_on = False
        self.region: Tensor | None = _region(unit.params, context)

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        return self._ready(loaded)

    @contextmanager
    def _ready(self, loaded: Loaded) -> Iterator[None]:
        """Within the block the network is in memory, as it is for this model."""
        residents, network = self.context.services.residents, self.params.network
        assert residents is not None and network is not None
        unet = loaded.model.parts["unet"]
        assert isinstance(unet, UNet2DConditionModel)
        with ExitStack() as held:
            lent: Control | None = held.enter_context(residents.lend(CONTROL, network))
            if isinstance(lent, ControlPart):
                lent = _part_on(self.unit.networks, lent, loaded)
            if isinstance(lent, ControlEncoder):
                like_its_unet(lent.network, unet)
                if not fits(lent, unet):
                    self._not_possible("it is made for models of another kind")
                    lent = None
            elif isinstance(lent, ControlAdapter):
                self.maps = tuple(lent(self.hint.to(lent_dtype(lent))))
            elif isinstance(lent, LLLite) and self.context.this.phase != "hires":
                held.enter_context(lent.before(unet, self.hint, self._lllite_strength))
            self.lent = lent
            try:
                yield
            finally:
                self.lent, self.maps = None, ()

    def _not_possible(self, cause: str) -> None:
        name = self.params.network.title if self.params.network else self.params.model
        said = f"ControlNet: {name} cannot be used with this checkpoint: {cause}."
        if self.params.impossible != LEAVE_OUT:
            raise UserError(said, hint="Choose another network, or switch the unit off.", field="features")
        self.unit.shown = [each for each in self.unit.shown if each is not self.seen]
        self.context.services.watch.remark(f"{said} The unit was left out.")

    # ------------------------------------------------------------ when

    def _is_within(self, call: Call) -> bool:
        """Whether the unit acts in this call. A1111 counts steps when they are over."""
        second = call.number % call.clock.per_step
        step = call.number // call.clock.per_step if second else max(call.step - 1, 0)
        share = step / call.steps
        return self.params.guidance_start <= share <= self.params.guidance_end

    def _lllite_strength(self) -> float:
        return self.params.weight if self.is_on else 0.0

    # ------------------------------------------------------------ what

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.is_on = self._is_within(call)
            try:
                return ask(self._controlled(call) if self.is_on else call)
            finally:
                self.is_on = False

        return asked

    def _controlled(self, call: Call) -> Call:
        told = call.conditioning
        match self.lent:
            case ControlEncoder():
                process: Process = self.context.process
                outputs = self.lent.outputs(
                    process.to_input(call.x, call.sigma), process.timestep(call.sigma), told, self.hint
                )
                outputs = self._weighted(outputs, call, self._encoder_weights(len(outputs)), pools=self.lent.pools)
                return replace(call, conditioning=replace(told, residuals=added(told.residuals, outputs)))
            case ControlAdapter():
                maps = fitted_maps(self.maps, call.x.shape[-2:], self.lent.halvings)
                outputs = self._weighted(maps, call, self._adapter_weights(), pools=False)
                return replace(call, conditioning=replace(told, within=added(told.within, outputs)))
            case _:
                return call

    def _encoder_weights(self, count: int) -> Sequence[float]:
        """One for each output, from the outermost to the middle."""
        own = self.params.layer_weights
        if own is not None:
            return (*own[:count], *[0.0] * (count - len(own)))
        if self._is_soft():
            return [self.params.weight * SOFT ** (OUTPUTS - 1 - number) for number in range(count)]
        return [self.params.weight] * count

    def _adapter_weights(self) -> Sequence[float]:
        own = self.params.layer_weights
        if own is not None:
            return (*own[:4], *[0.0] * (4 - len(own)))
        factors = SOFT_ADAPTER if self._is_soft() else (1.0,) * 4
        return [self.params.weight * factor for factor in factors]

    def _is_soft(self) -> bool:
        is_second = self.context.this.phase == "hires"
        fades = is_second and any(name in self.params.module.lower() for name in SOFT_IN_HIRES)
        return fades or self.params.control_mode != BALANCED

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
            if self.region is not None:
                value = value * interpolate(self.region.to(value.device), value.shape[-2:], mode="bilinear")
            if pools:
                value = value.mean(dim=(2, 3), keepdim=True)
            found.append(value)
        return tuple(found)


def lent_dtype(module: torch.nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


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


class Engine(FeatureEngine[Params]):
    """A unit for one batch."""

    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.shown: list[Bytes] = []
        """Maps, one a pass."""
        self.recoloured: Bytes | None = None
        """The last pass's map, whose brightness the picture takes."""
        self.networks: dict[object, ControlEncoder] = {}
        """Made of a model's own UNet, by the model's key."""

    def begin(self, context: PassContext) -> PassFeature | None:
        wish, this, services = self.params, context.this, context.services
        if wish.network is None or context.loaded.model.parts.get("unet") is None:
            return None
        if services.residents is None:
            raise RuntimeError("A picture with ControlNet was asked for where no networks are lent.")
        try:
            picture, mode = self._picture(context)
            found = self._map(picture, mode, this, context)
        except WebuiError as error:
            if wish.impossible != LEAVE_OUT:
                raise
            services.watch.remark(f"ControlNet {self.unit}: {error.message} The unit was left out.")
            return None
        self.recoloured = found
        if wish.save_detected_map and not context.batch.render.control_net_no_detectmap:
            self.shown.append(found)
        return Controlling(self, context, found) if self._is_for(this) else None

    def _is_for(self, this: Pass) -> bool:
        """Whether the unit acts in a pass of this kind."""
        if self.params.hr_option == "Both":
            return True
        return (self.params.hr_option == "High res only") == (this.phase == "hires")

    def _picture(self, context: PassContext) -> tuple[Bytes, ResizeMode]:
        """(RGB, how it is brought to the result's size): the unit's own, or the one that img2img begins with.

        Raises:
            UserError: there is none.
        """
        wish, request, images = self.params, context.batch.request, _images(context.services)
        name, mode = wish.image, wish.resize_mode
        given = request.from_picture
        if not name and given is not None:
            name = context.batch.pictures[0].init_image
            mode = RESIZE_MODES[given.resize_mode] if given.resize_mode < len(RESIZE_MODES) else RESIZE_MODES[0]
        if name not in images:
            raise UserError("There is no picture to follow.", hint="Give the unit one.", field="features")
        picture = on_white(pixels_of(images[name]))
        if wish.mask in images and not context.batch.render.controlnet_ignore_noninpaint_mask:
            drawn = np.array(pixels_of(images[wish.mask]).convert("RGB"))[..., :1]
            if drawn.max() > NEARLY_EMPTY and drawn.min() < NEARLY_FULL:
                picture = np.repeat(drawn, 3, axis=2)
        return self._cropped(picture, mode, context), mode

    def _cropped(self, picture: Bytes, mode: ResizeMode, context: PassContext) -> Bytes:
        """ "Only masked": the part of the picture that lies over the part that is made anew."""
        start, size = context.this.start, context.this.size
        given = start.givens[0] if start is not None and start.givens else None
        if given is None or given.box is None or given.whole is None or not self.params.inpaint_crop_input_image:
            return picture
        number = RESIZE_MODES.index(mode)
        placed = fitted(Image.fromarray(picture), *given.whole.size, number)
        return np.array(fitted(placed.crop(given.box), *size, number))

    def _map(self, picture: Bytes, mode: ResizeMode, this: Pass, context: PassContext) -> Bytes:
        """What the network sees: (h, w, 3), of the pass's size."""
        wish = self.params
        known = preprocessor(wish.module)
        size = (this.size[0] // 8 * 8, this.size[1] // 8 * 8)
        resolution = wish.processor_res
        if wish.pixel_perfect:
            resolution = perfect_resolution((picture.shape[1], picture.shape[0]), size, mode)
        options = Options(resolution, wish.threshold_a, wish.threshold_b, self._seed(context))
        seen = whole(resolved(known.code)(picture, options))
        return sized(seen, size, mode)

    def _seed(self, context: PassContext) -> int:
        """For preprocessors that draw: the sum of the job's first seeds; without variation the seed counts twice."""
        plan = context.services.plan
        first = plan.batches[0][0] if plan is not None else context.batch.pictures[0]
        return (first.seed + (first.subseed if first.request.subseed_strength else first.seed)) & 0xFFFFFFFF

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        if self.recoloured is not None and (channel := RECOLOURED.get(self.params.module)) is not None:
            finished = replace(finished, picture=recoloured(finished.picture, self.recoloured, *channel))
        plan = finished.services.plan
        if not self.shown or plan is None or not _is_last(finished, plan.batches):
            return finished
        maps = (
            ExtraPicture(f"control-{self.unit}-{number}", "png", encoded_png(Image.fromarray(each)))
            for number, each in enumerate(reversed(self.shown))
        )
        return replace(finished, extras=(*finished.extras, *maps))


def _region(params: Params, context: PassContext) -> Tensor | None:
    """Where the network acts: (1, 1, h, w) from 0 to 1."""
    name, images = params.effective_region_mask, _images(context.services)
    if not name or name not in images:
        return None
    drawn = np.array(pixels_of(images[name]).convert("RGB"))[..., 0]
    return torch.from_numpy(drawn).float()[None, None] / 255


def _part_on(made: dict[object, ControlEncoder], part: ControlPart, loaded: Loaded) -> ControlEncoder:
    """The network that this part makes of the model's own UNet, once a batch."""
    if loaded.key not in made:
        unet = loaded.model.parts["unet"]
        weights = dict(unet.state_dict())
        like = next(unet.parameters())
        made[loaded.key] = part.on(weights, like.device, like.dtype)
    return made[loaded.key]


def recoloured(picture: Image.Image, bright: Bytes, there: int, back: int, channel: int) -> Image.Image:
    """The picture with the brightness of a map of its size; at another size as it is."""
    space = levels(cv2.cvtColor(np.array(picture.convert("RGB")), there))
    if space.shape != bright.shape:
        return picture
    space[..., channel] = bright[..., 0]
    return Image.fromarray(levels(cv2.cvtColor(space, back)))


def _is_last(finished: FinishedPicture, batches: Sequence[Sequence[object]]) -> bool:
    """Whether no picture of the job comes after it."""
    batch = finished.batch.pictures
    return batch is batches[-1] and finished.index == len(batch) - 1


def _images(services: Services) -> dict[str, bytes]:
    return dict(services.plan.images) if services.plan is not None else {}


def on_white(picture: Image.Image) -> Bytes:
    """RGB: what is transparent shows white paper."""
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return np.array(picture.convert("RGB"))
    levels = np.array(picture.convert("RGBA")).astype(np.float32)
    alpha = levels[..., 3:] / 255
    return (levels[..., :3] * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)
