"""Features as others will write them: one with units, files and a network of its own, one that cuts the picture into
tiles, one that repaints the finished picture by a plan of its own, one that changes prompts."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image as PilImage
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.denoisers import Ask, Call, Window
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.features.feature import FeatureParams, Touched
from webui.registry import FEATURES, FeatureEntry
from webui.request.fields import Img2Img
from webui.request.params import Declared, Image, Param, Slider, Text
from webui.request.plan import Picture, Resolving, UpscalerRef
from webui.request.workload import Workload

# ---------------------------------------------------------------- control: a network beside the network


class Area(Declared):
    """Where a unit acts."""

    mask: Annotated[str, Image(ui="Mask")] = ""
    """White where it does."""


class ControlParams(FeatureParams):
    """A hint for the network."""

    title: ClassVar[str] = "Control"
    aliases: ClassVar[tuple[str, ...]] = ("Controlled",)
    units: ClassVar[int] = 2
    touches: ClassVar[frozenset[Touched]] = frozenset({"call"})

    image: Annotated[str, Image(ui="Hint")] = ""
    """What the picture shall follow."""
    model: Annotated[str, Text(label="Model")] = "None"
    """Which network reads it."""
    weight: Annotated[float, Slider(label="Weight", ui="Control weight", min=0, max=2, step=0.05, ge=0)] = 1.0
    """How strongly."""
    end: Annotated[float, Slider(label="Guidance end", min=0, max=1, step=0.01, ge=0, le=1, absent=1.0)] = 1.0
    """The share of the steps after which it no longer acts."""
    area: Annotated[Area, Param(axis=False)] = Area()
    """Where."""
    ref: UpscalerRef | None = None
    """Its file."""

    def resolve(self, resolving: Resolving) -> Self:
        if not self.image:
            raise UserError("Control: a unit has no picture.", hint="Drop one into it.", field="features")
        return self.changed(ref=resolving.names.upscaler(self.model, "features"))

    def cost(self, work: Workload) -> Workload:
        return replace(work, weights=work.weights + 1000)


class Controlling(PassFeature):
    """The hints of a unit at the size of the pass, and the network that reads them."""

    def __init__(self, params: ControlParams, network: ControlNetModel, hint: Tensor, seen: list[Call]) -> None:
        self.params, self.net, self.hint, self.seen = params, network, hint, seen

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            if call.step >= self.params.end * call.steps:
                return ask(call)
            self.seen.append(call)
            hint = call.cut(self.hint, 8)
            down, mid = self.net(
                call.x,
                torch.full((len(call.x),), 500),
                call.conditioning.tokens,
                hint.expand(len(call.x), -1, -1, -1),
                conditioning_scale=self.params.weight,
                return_dict=False,
            )
            before = call.conditioning.residuals
            added = tuple(new + old for new, old in zip((*down, mid), before, strict=True)) if before else (*down, mid)
            return ask(replace(call, conditioning=replace(call.conditioning, residuals=added)))

        return asked


class ControlEngine(FeatureEngine[ControlParams]):
    heard: ClassVar[list[tuple[int, str]]] = []
    """(unit, name of its file)"""
    seen: ClassVar[list[Call]] = []

    def begin(self, context: PassContext) -> PassFeature:
        assert self.params.ref is not None and context.services.plan is not None
        self.heard.append((self.unit, self.params.ref.name))
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = ControlNetModel.from_unet(context.loaded.model.parts["unet"], conditioning_channels=3)
            zeros = [*network.controlnet_down_blocks, network.controlnet_mid_block]
            for each in (*zeros, network.controlnet_cond_embedding.conv_out):
                torch.nn.init.normal_(each.weight, std=0.1)
        content = context.services.plan.images[self.params.image]
        with PilImage.open(io.BytesIO(content)) as opened:
            pixels = np.array(opened.convert("RGB").resize(context.this.size))
        hint = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        return Controlling(self.params, network.eval(), hint, self.seen)


# ---------------------------------------------------------------- tiles


class TileParams(FeatureParams):
    """The network sees a part of the picture at a time."""

    title: ClassVar[str] = "Tiles"
    after: ClassVar[tuple[str, ...]] = ("Control",)

    width: Annotated[int, Slider(label="Tile width", min=8, max=64, ge=8)] = 8
    """In pixels of the latents."""


class Tiling(PassFeature):
    def __init__(self, width: int) -> None:
        self.width = width

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            height, width = call.x.shape[-2:]
            tiles = [Window(0, left, height, self.width) for left in range(0, width, self.width)]
            return torch.cat([ask(call.through(tile)) for tile in tiles], dim=-1)

        return asked


class TileEngine(FeatureEngine[TileParams]):
    def begin(self, context: PassContext) -> PassFeature:
        return Tiling(self.params.width)


# ---------------------------------------------------------------- repainting


class RepaintParams(FeatureParams):
    """The left half of the finished picture is made anew."""

    title: ClassVar[str] = "Repaint"
    units: ClassVar[int] = 2

    prompt: Annotated[str, Text(label="prompt")] = ""
    """Of the repainting."""
    steps: Annotated[int, Slider(label="steps", min=1, max=150, ge=1)] = 2
    """Of the repainting."""
    place: int = 0
    """In `Plan.inner`."""

    def resolve(self, resolving: Resolving) -> Self:
        how = {"prompt": self.prompt, "steps": self.steps, "denoising_strength": 1.0, "width": 64, "height": 64}
        inner = Img2Img.made(**how, inpaint_full_res=True, inpaint_full_res_padding=0, mask_blur_x=0, mask_blur_y=0)
        return self.changed(place=resolving.plan(inner))


class RepaintEngine(FeatureEngine[RepaintParams]):
    borrows: ClassVar[bool] = True
    loans: ClassVar[Callable[[], int]] = staticmethod(lambda: 0)
    heard: ClassVar[list[int]] = []

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        services = finished.services
        assert services.plan is not None
        self.heard.append(type(self).loans())
        mask = PilImage.new("L", finished.picture.size, 0)
        mask.paste(255, (0, 0, mask.width // 2, mask.height))
        picture = services.made(services.plan.inner[self.params.place], finished.picture, mask, 5 + self.unit)
        return replace(finished, picture=picture)


# ---------------------------------------------------------------- wildcards


class WildcardParams(FeatureParams):
    """__beast__ becomes an animal."""

    title: ClassVar[str] = "Wildcards"

    beasts: Annotated[str, Text(label="Beasts")] = "cat,dog,fox"
    """With commas between."""

    def prepare(self, picture: Picture, stream: Random) -> Picture:
        beast = stream.choice(self.beasts.split(","))
        request = picture.request
        return replace(picture, request=request.changed(prompt=request.prompt.replace("__beast__", beast)))


class WildcardEngine(FeatureEngine[WildcardParams]):
    pass


def entry_of(name: str, params: type[FeatureParams], engine: type[FeatureEngine[Any]]) -> FeatureEntry:
    """A line of the registry whose classes are not in a folder."""
    made: FeatureEntry = type("Entry", (FeatureEntry,), {"params": params, "engine": engine})(name, f"x.{name.lower()}")
    return made


ENTRIES = (
    *FEATURES,
    entry_of("Control", ControlParams, ControlEngine),
    entry_of("Tiles", TileParams, TileEngine),
    entry_of("Repaint", RepaintParams, RepaintEngine),
    entry_of("Wildcards", WildcardParams, WildcardEngine),
)
