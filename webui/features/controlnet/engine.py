"""ControlNet: what a unit does in each pass of a batch, and what of it is seen in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import cv2
import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import nn

from webui.base.errors import UserError, WebuiError
from webui.engine.batch import Batch, Loaded
from webui.engine.control.face_prompts import FacePrompt
from webui.engine.control.flow import FlowControl
from webui.engine.control.flow_lora import FlowLora
from webui.engine.control.hints import MASKED, Hint
from webui.engine.control.holding import Beside, Holding, beside_of, coloured, outside
from webui.engine.control.image_prompts import ImagePrompt, ImageTokens
from webui.engine.control.latents import Drawn, Turn, encoded_once
from webui.engine.control.lllite import LLLite
from webui.engine.control.networks import CONTROL, ControlPart, Prompted, UnionEncoder, fits
from webui.engine.control.photo_maker import PhotoMaker
from webui.engine.control.styles import StyleAdapter
from webui.engine.control.vision import Tower
from webui.engine.denoisers import Ask
from webui.engine.families.flow_model import FlowModel
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.preprocessors.picture import Bytes, levels
from webui.engine.start import INPAINTING, encoded_png
from webui.features.controlnet.facing import instant_faces, is_instant
from webui.features.controlnet.flow import BesideTransformer, kind_for
from webui.features.controlnet.network import Made, Networked, is_for, kind_of_map, part_on
from webui.features.controlnet.parameters import LEAVE_OUT, Params
from webui.features.controlnet.photographing import Photographing, check_subjects, photographed
from webui.features.controlnet.picture import hint_of, is_grey, pictures_of, region_of
from webui.features.controlnet.prompting import Prompting, shown_to
from webui.features.controlnet.referring import Referring
from webui.features.controlnet.telling import Revised, noised, pooled_width, seen_by, styled
from webui.request.messages import ExtraPicture
from webui.request.preprocessors import preprocessor

RECOLOURED: Mapping[str, tuple[int, int, int]] = {
    "recolor_luminance": (cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB, 0),
    "recolor_intensity": (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, 2),
}
"""Preprocessor -> the way into a space of colours, the way back, and the channel there that is the map's."""
BOUNDLESS: Mapping[type, str] = {
    LLLite: "ControlNet-LLLite",
    FlowLora: "A control LoRA of Flux",
    PhotoMaker: "PhotoMaker",
}
"""What acts in the whole picture."""
INPAINT, INPAINT_ONLY, SHARP = "inpaint", "inpaint_only", "tile_colorfix+sharp"


class Together(PassFeature):
    """All that a unit does in one pass; the first part lies next to the network."""

    def __init__(self, parts: Sequence[PassFeature]) -> None:
        self.parts = parts

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        return self._patched(loaded)

    @contextmanager
    def _patched(self, loaded: Loaded) -> Iterator[None]:
        with ExitStack() as held:
            for part in self.parts:
                held.enter_context(part.patch(loaded))
            yield

    def predict(self, ask: Ask) -> Ask:
        for part in self.parts:
            ask = part.predict(ask)
        return ask


class Engine(FeatureEngine[Params]):
    """A unit for one batch."""

    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.shown: list[Bytes] = []
        """Maps, one a pass."""
        self.last: Hint | None = None
        """The last pass's, which the finished picture follows."""
        self.made: Made = {}
        self.pictured: ImageTokens | None = None
        """What a network that takes pictures for a prompt, or InstantID's, was told of them, for all passes."""
        self.person: torch.Tensor | None = None
        """What PhotoMaker makes of them, likewise."""
        self.is_faceless = False
        """It was to follow a face, and there is none; that was remarked."""

    def begin(self, context: PassContext) -> PassFeature | None:
        wish, services = _fallen_back(self.params, context.batch), context.services
        unet = context.loaded.model.parts.get("unet")
        if unet is None or (wish.network is None and not wish.is_model_free):
            return None
        if wish.network is not None and services.residents is None:
            raise RuntimeError("A picture with ControlNet was asked for where no networks are lent.")
        try:
            region = region_of(wish, context)
            if self._check(wish, context, unet):
                return self._prompted(wish, context, _as_mask(region))
            if wish.revises and isinstance(unet, UNet2DConditionModel):
                return self._revised(context, unet)
            hint = hint_of(wish, context)
            if wish.network is not None and is_instant(wish) and not self._is_told_of_a_face(context):
                return None
        except WebuiError as error:
            if wish.impossible != LEAVE_OUT:
                raise
            services.watch.remark(f"ControlNet {self.unit}: {error.message} The unit was left out.")
            return None  # The infotext names it nevertheless, as the extension's does.
        self.last = hint
        if wish.save_detected_map and not context.batch.render.control_net_no_detectmap:
            self.shown.append(hint.shown)
        if not is_for(wish, context.this):
            return None
        return Together(self._parts(wish, context, hint, region))

    def _prompted(self, wish: Params, context: PassContext, region: torch.Tensor | None) -> PassFeature | None:
        """What the unit does whose network takes its pictures for a prompt; they are of any size.

        Raises:
            UserError: there is no picture, or it cannot be read.
            ModelError: the network's image encoder is missing, or damaged.
        """
        residents, network = context.services.residents, wish.network
        assert residents is not None and network is not None
        if not is_for(wish, context.this):
            return None
        with residents.lend(CONTROL, network) as lent:
            if isinstance(lent, StyleAdapter):
                return styled(lent, wish, pictures_of(wish, context)[0], context)
            if isinstance(lent, PhotoMaker):
                return self._photographed(lent, wish, context)
            assert isinstance(lent, ImagePrompt | FacePrompt)
            if self.pictured is None and not self.is_faceless:
                self.pictured = shown_to(lent, wish, pictures_of(wish, context), context)
                self.is_faceless = self.pictured is None
        if self.pictured is None:
            return None
        return Prompting(wish, context, self.pictured, region)

    def _photographed(self, maker: PhotoMaker, wish: Params, context: PassContext) -> PassFeature | None:
        """
        Raises:
            UserError, ModelError: as `check_subjects` and `photographed`.
        """
        check_subjects(context)
        if self.person is None and not self.is_faceless:
            self.person = photographed(maker, wish, pictures_of(wish, context), context)
            self.is_faceless = self.person is None
        return None if self.person is None else Photographing(wish, context, self.person)

    def _is_told_of_a_face(self, context: PassContext) -> bool:
        """Whether there is one to be told to the unit's ControlNet, which is InstantID's.

        Raises:
            UserError, ModelError: as `instant_faces`.
        """
        if self.pictured is None and not self.is_faceless:
            self.pictured = instant_faces(context)
            self.is_faceless = self.pictured is None
        return self.pictured is not None

    def _revised(self, context: PassContext, unet: UNet2DConditionModel) -> PassFeature | None:
        """What all units do together whose pictures stand for the text: the first of them does it.

        Raises:
            UserError: the checkpoint is none of SDXL, or there is no picture.
            ModelError: the image encoder is missing, or damaged.
        """
        wishes = [(wish.unit, wish.params) for wish in context.batch.pictures[0].wishes]
        units = [(unit, params) for unit, params in wishes if isinstance(params, Params) and params.revises]
        if self.unit != units[0][0]:
            return None
        tower, found = Tower(projection=pooled_width(unet)), list[tuple[Params, torch.Tensor]]()
        for _, params in units:
            if is_for(params, context.this):
                vision = seen_by(params, tower, pictures_of(params, context)[0], context)
                found.append((params, noised(vision.embedded, params.threshold_a, context.stream)))
        return Revised(found, context) if found else None

    def _check(self, wish: Params, context: PassContext, unet: nn.Module) -> bool:
        """Whether the unit's network takes pictures for a prompt.

        Raises:
            UserError: the unit cannot act with this checkpoint, or not with what it says.
            ModelError: its network's file cannot be opened, or is made for another model.
        """
        if wish.effective_region_mask and wish.impossible == LEAVE_OUT and is_grey(wish, context):
            # A1111's extension fails on it, and programs have seen the picture without
            raise UserError("The effective region must be a color picture, not a grayscale one.")
        if wish.refers and wish.effective_region_mask:
            raise UserError(
                "A reference has no effective region.", hint="Remove the mask of the region.", field="features"
            )
        residents = context.services.residents
        if wish.network is None or residents is None:
            return False
        with residents.lend(CONTROL, wish.network) as lent:
            if isinstance(lent, ControlPart) and isinstance(unet, UNet2DConditionModel):
                part_on(self.made, lent, context.loaded)
            elif isinstance(lent, ControlPart) or not fits(lent, unet):
                raise UserError(
                    f"{wish.network.title} cannot be used with this checkpoint: it was made for another kind of model.",
                    hint="Choose another network, or turn the unit off.",
                    field="features",
                )
            elif isinstance(lent, UnionEncoder):
                kind_of_map(wish, lent)
            elif isinstance(lent, FlowControl):
                kind_for(wish, lent)
            elif preprocessor(wish.module).describes and not isinstance(lent, Prompted | StyleAdapter):
                raise UserError(
                    f"The preprocessor {wish.module} is for IP-Adapters and style T2I-Adapters, and "
                    f"{wish.network.title} is neither.",
                    hint="Choose one of those, or another preprocessor.",
                    field="features",
                )
            elif isinstance(lent, LLLite | FlowLora | PhotoMaker) and wish.effective_region_mask:
                named = BOUNDLESS[type(lent)]
                raise UserError(
                    f"{named} has no effective region.",
                    hint="Remove the mask of the region.",
                    field="features",
                )
            return isinstance(lent, Prompted | StyleAdapter)

    def _parts(self, wish: Params, context: PassContext, hint: Hint, region: Bytes | None) -> list[PassFeature]:
        """What the unit does in this pass."""
        turn, parts = _turn(self.unit, context), list[PassFeature]()
        device = context.loaded.model.device
        if isinstance(context.loaded.model, FlowModel):
            return [BesideTransformer(wish, context, hint, _as_mask(region))]
        if wish.network is not None:
            parts.append(Networked(wish, context, hint, _as_mask(region), self.made, self.pictured))
        if wish.refers:
            latents = encoded_once(hint.pixels, context, turn)
            parts.append(Referring(wish, context, latents, Drawn(context, turn, hint.pixels)))
        hole = None if hint.hole is None else hint.hole.to(device)
        if hole is not None and context.loaded.model.input_channels == INPAINTING:
            grey = (hint.pixels - 0.5) * (1 - hole.cpu()) + 0.5
            parts.insert(0, Beside(beside_of(encoded_once(grey, context, turn.last), hole)))
        if preprocessor(wish.module).holds:
            latents = encoded_once(hint.pixels, context, turn)
            if hole is not None:
                change = outside(latents, hole)
            else:
                radius = int(wish.threshold_a) * (2 if context.this.phase == "hires" else 1)
                change = coloured(latents, radius, wish.threshold_b if wish.module == SHARP else None)
            parts.append(Holding(change, wish.weight, context))
        return parts

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        if self.last is not None:
            finished = replace(finished, picture=self._followed(finished.picture, self.last, finished))
        if not self.shown or not finished.is_last:
            return finished
        maps = (
            ExtraPicture(f"control-{self.unit}-{number}", "png", encoded_png(Image.fromarray(each)))
            for number, each in enumerate(reversed(self.shown))
        )
        return replace(finished, extras=(*finished.extras, *maps))

    def _followed(self, picture: Image.Image, hint: Hint, finished: FinishedPicture) -> Image.Image:
        """The finished picture with what the map has to say of it."""
        if (channel := RECOLOURED.get(self.params.module)) is not None:
            return recoloured(picture, hint.picture, *channel)
        if _fallen_back(self.params, finished.batch).module == INPAINT_ONLY:
            return around(picture, hint, finished.batch.render.control_net_inpaint_blur_sigma)
        return picture


def _fallen_back(wish: Params, batch: Batch) -> Params:
    """Where img2img has a mask of its own, `inpaint_only` is `inpaint`: what lies outside is kept already."""
    given = batch.request.from_picture
    if wish.module != INPAINT_ONLY or given is None or not given.mask:
        return wish
    return wish.model_copy(update={"module": INPAINT})


def _turn(unit: int, context: PassContext) -> Turn:
    """Where a unit stands among those that draw."""
    units = [(wish.unit, wish.params) for wish in context.batch.pictures[0].wishes if isinstance(wish.params, Params)]
    units = [(number, _fallen_back(params, context.batch)) for number, params in units]
    drawing = [number for number, params in units if params.refers]
    encoding = [number for number, params in units if params.refers or preprocessor(params.module).holds]
    return Turn(
        sum(number < unit for number in encoding),
        len(encoding),
        sum(number < unit for number in drawing),
        max(len(drawing), 1),
    )


def _as_mask(region: Bytes | None) -> torch.Tensor | None:
    """(1, 1, h, w) from 0 to 1."""
    return None if region is None else torch.from_numpy(region).float()[None, None] / 255


def recoloured(picture: Image.Image, bright: Bytes, there: int, back: int, channel: int) -> Image.Image:
    """The picture with the brightness of a map of its size; at another size as it is."""
    space = levels(cv2.cvtColor(np.array(picture.convert("RGB")), there))
    if space.shape != bright.shape:
        return picture
    space[..., channel] = bright[..., 0]
    return Image.fromarray(levels(cv2.cvtColor(space, back)))


def around(picture: Image.Image, hint: Hint, reach: int) -> Image.Image:
    """The picture in the hole of its hint, and the hint's own around it; at another size as it is.

    reach: pixels along a side of the square by which the hole is made larger, and then its edge soft.
    """
    made = np.array(picture.convert("RGB"))
    if hint.mask is None or made.shape != hint.picture.shape:
        return picture
    square = (reach, reach)
    sharp = np.asarray(hint.mask > MASKED, np.float32)
    hole = np.asarray(cv2.blur(cv2.dilate(sharp, np.ones(square, np.uint8)), square), np.float32)[..., None]
    mixed = hole * made + (1 - hole) * (hint.picture if hint.exact is None else hint.exact)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
