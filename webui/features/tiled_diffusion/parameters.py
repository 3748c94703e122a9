"""Tiled diffusion: MultiDiffusion (Bar-Tal et al. 2023, arXiv:2302.08113) and Mixture of Diffusers (Jiménez 2023,
arXiv:2302.02412).

Names, values, their order and limits are those of the extension multidiffusion-upscaler-for-automatic1111, whose
requests and infotexts mean the same here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, NamedTuple, Self

from pydantic import model_validator

from webui import registry
from webui.base.errors import UserError
from webui.features.feature import FeatureParams, Touched
from webui.features.regions import PromptedRegion, regions_in
from webui.request.capabilities import Capability
from webui.request.fields import Generation
from webui.request.params import Choice, DependsOn, Param, Slider, Text, Toggle
from webui.request.plan import Picture, Plan, Resolving
from webui.request.workload import Workload

MULTI, MIXTURE = METHODS = ("MultiDiffusion", "Mixture of Diffusers")
NO_UPSCALER = "None"
FACTOR = 8
"""Pixels along a side of what one latent of most UNets stands for: as the extension counts, before any file is open."""
INVERTED, CONTROLS, DRAWS, REGIONS = 17, 18, 19, 21
"""Among a script's values: behind those of noise inversion; whether regions are on, and whether the tiles are drawn
beside them; where the regions begin."""
REGION = ("enable", "x", "y", "w", "h", "prompt", "neg_prompt", "blend_mode", "feather_ratio", "seed")
"""The values of a region, one after the other."""
CONTROL = "Region control"
FOREGROUND, BACKGROUND = "Foreground", "Background"

ENLARGED = (DependsOn("upscaler", besides=(NO_UPSCALER,)),)
INVERTING = (DependsOn("inversion", (True,)),)
REGIONAL = (DependsOn("regions", besides=("", "{}")),)

LEAST_NEW = 4
"""Of a tile's smaller side, at least so much does not overlap with the next one."""


class Grid(NamedTuple):
    """Where the tiles of a picture lie, row by row, in pixels of the latents."""

    height: int
    """Of a tile."""
    width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def tiles(self) -> int:
        return len(self.tops) * len(self.lefts)


def grid(size: tuple[int, int], tile: tuple[int, int], overlap: int, *, wraps: bool = False) -> Grid:
    """The tiles of latents of a size, both (height, width). overlap: at least so much, as far as tiles allow it. wraps:
    the edges of the picture meet, and there are tiles across them."""
    height, width = (min(each, whole) for each, whole in zip(tile, size, strict=True))
    overlap = max(0, min(overlap, min(height, width) - LEAST_NEW))
    place = _around if wraps and (height, width) != size else _along
    return Grid(height, width, place(size[0], height, overlap), place(size[1], width, overlap))


def _along(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Where the tiles begin along a side: from one edge to the other, evenly."""
    count = math.ceil((side - overlap) / (tile - overlap))
    if count <= 1:
        return (0,)
    return tuple(number * (side - tile) // (count - 1) for number in range(count))


def _around(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    """The same where the side begins again behind its end: at least two, so that each has its edges within another."""
    count = max(math.ceil(side / (tile - overlap)), 2)
    return tuple(number * side // count for number in range(count))


class TiledRegion(PromptedRegion):
    """A part of the picture with a prompt of its own, which stands behind the picture's, after a comma."""

    blend_mode: Annotated[str, Choice(ui="Type", choices=(FOREGROUND, BACKGROUND))] = BACKGROUND
    """Background: averaged with what else lies there; Foreground: laid over it."""
    feather_ratio: Annotated[float, Param(ui="Feather", ge=0, le=1)] = 0.2
    """How far the edge of one in the foreground is soft, as a share of half its shorter side."""
    seed: Annotated[int, Param(ui="Seed")] = -1
    """Has no effect, as in the extension."""

    def on(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) in pixels of latents of this size; one that has no place there has no height or
        no width."""
        top, left = int(self.y * height), int(self.x * width)
        return top, left, min(math.ceil(self.h * height), height - top), min(math.ceil(self.w * width), width - left)


def batches(count: int, most: int) -> tuple[range, ...]:
    """The tiles that are seen in one call each, as evenly as may be."""
    size = math.ceil(count / math.ceil(count / most))
    return tuple(range(first, min(first + size, count)) for first in range(0, count, size))


class Params(FeatureParams):
    """The network sees a part of the picture at a time."""

    title: ClassVar[str] = "Tiled Diffusion"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"call"})
    after: ClassVar[tuple[str, ...]] = ("ControlNet", "Regional Prompter")

    method: Annotated[str, Choice(label="Method", choices=METHODS, radio=True, by_fact=True)] = MULTI
    """How overlapping tiles are brought together: MultiDiffusion averages them, Mixture of Diffusers gives the middle
    of each tile more weight."""
    overwrite_size: Annotated[bool, Param(ui="Overwrite image size", axis=False)] = False
    """For programs: in txt2img the picture gets the two sizes that follow, not those of the request."""
    keep_input_size: Annotated[
        bool,
        Toggle(
            label="Keep input size",
            ui="Keep input image size",
            axis=False,
            by_fact=True,
            absent=False,
            kinds=("img2img",),
        ),
    ] = True
    """In img2img: the result gets the given picture's size, times the scale factor if there is an upscaler."""
    image_width: Annotated[int, Param(ui="Image width", axis=False, ge=64, le=16384)] = 1024
    """In pixels, where the size is overwritten."""
    image_height: Annotated[int, Param(ui="Image height", axis=False, ge=64, le=16384)] = 1024
    """The same for the height."""
    tile_width: Annotated[
        int,
        Slider(label="Tile tile width", ui="Latent tile width", by_fact=True, min=16, max=256, step=16, ge=16, le=256),
    ] = 96
    """Width of a tile in pixels of the latents: one of them stands for 8 pixels of the picture."""
    tile_height: Annotated[
        int,
        Slider(
            label="Tile tile height", ui="Latent tile height", by_fact=True, min=16, max=256, step=16, ge=16, le=256
        ),
    ] = 96
    """Height of a tile in pixels of the latents."""
    overlap: Annotated[
        int, Slider(label="Tile Overlap", ui="Latent tile overlap", by_fact=True, min=0, max=256, step=4, ge=0, le=256)
    ] = 48
    """How far tiles overlap at least, in pixels of the latents. More of it hides the seams, and takes longer."""
    batch_size: Annotated[
        int,
        Slider(label="Tile batch size", ui="Latent tile batch size", by_fact=True, min=1, max=8, step=1, ge=1, le=64),
    ] = 4
    """How many tiles the network sees at once: faster on graphics cards, at the price of memory."""
    upscaler: Annotated[
        str,
        Choice(label="Upscaler", source="upscalers", axis=False, by_fact=True, absent=NO_UPSCALER, kinds=("img2img",)),
    ] = NO_UPSCALER
    """In img2img: what enlarges the given picture first."""
    scale_factor: Annotated[
        float,
        Slider(
            label="Upscale factor",
            ui="Scale Factor",
            axis=False,
            by_fact=True,
            absent=2.0,
            kinds=("img2img",),
            min=1,
            max=8,
            step=0.05,
            ge=1,
            le=8,
            depends=ENLARGED,
        ),
    ] = 2.0
    """How many times larger the upscaler makes it along each side."""
    inversion: Annotated[
        bool,
        Toggle(label="NoiseInv", ui="Noise Inversion", axis=False, by_fact=True, absent=False, kinds=("img2img",)),
    ] = False
    """In img2img: begins with the noise of which the model itself would make the given picture, so that an enlarged
    picture stays like it."""
    inversion_steps: Annotated[
        int,
        Slider(
            label="NoiseInv Steps",
            ui="Inversion steps",
            axis=False,
            by_fact=True,
            absent=10,
            kinds=("img2img",),
            min=1,
            max=200,
            step=1,
            ge=1,
            le=1000,
            depends=INVERTING,
        ),
    ] = 10
    """How many steps that noise takes to find, each as long as a step of sampling without negative prompt."""
    retouch: Annotated[
        float,
        Slider(
            label="NoiseInv Retouch",
            ui="Retouch",
            axis=False,
            by_fact=True,
            absent=1.0,
            kinds=("img2img",),
            min=1,
            max=100,
            step=0.1,
            ge=1,
            le=100,
            depends=INVERTING,
        ),
    ] = 1.0
    """Above 1, the model is told less noise than there is: more is changed."""
    renoise_strength: Annotated[
        float,
        Slider(
            label="NoiseInv Renoise strength",
            ui="Renoise strength",
            axis=False,
            by_fact=True,
            absent=1.0,
            kinds=("img2img",),
            min=0,
            max=2,
            step=0.01,
            ge=0,
            le=2,
            depends=INVERTING,
        ),
    ] = 1.0
    """How much noise is drawn as ever where the picture has few details; 0: none."""
    renoise_kernel: Annotated[
        int,
        Slider(
            label="NoiseInv Kernel size",
            ui="Renoise kernel size",
            axis=False,
            by_fact=True,
            absent=64,
            kinds=("img2img",),
            min=2,
            max=512,
            step=1,
            ge=2,
            le=512,
            depends=INVERTING,
        ),
    ] = 64
    """In pixels: what is smaller counts as detail."""
    regions: Annotated[str, Text(label=CONTROL, ui="Regions", axis=False, by_fact=True, absent="", lines=3)] = ""
    """Parts of the picture with prompts of their own, as infotexts have them: {"Region 1": {"x": 0, "y": 0, "w": 0.5,
    "h": 1, "prompt": "a cat"}}."""
    draw_background: Annotated[bool, Toggle(ui="Draw full canvas background", axis=False, depends=REGIONAL)] = False
    """Where there are regions: the tiles are drawn beside them, with the picture's own prompt."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Raises UserError: the regions are none."""
        self.control  # noqa: B018 - raises
        return self

    @property
    def control(self) -> tuple[TiledRegion, ...]:
        """The regions that are on. Raises UserError: they are none."""
        return regions_in(self.regions, TiledRegion, self.title)

    @classmethod
    def of_arguments(cls, given: Sequence[object]) -> object:
        found = super().of_arguments(given[:INVERTED] if len(given) > 1 else given)
        if not isinstance(found, dict) or given[CONTROLS : CONTROLS + 1] != [True]:
            return found
        values = given[REGIONS:]
        numbered = enumerate((values[start : start + len(REGION)] for start in range(0, len(values), len(REGION))), 1)
        regions = {f"Region {no}": dict(zip(REGION, each, strict=False)) for no, each in numbered if each[0] is True}
        if not regions:
            return found
        draws = given[DRAWS : DRAWS + 1] == [True]
        return {**found, "regions": json.dumps(regions, ensure_ascii=False), "draw_background": draws}

    @classmethod
    def labels_in(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        """All of them stand in one JSON object."""
        try:
            told = json.loads(labels.get(cls.title, ""))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(told, Mapping):
            return {}
        plain = {str(label): str(value) for label, value in told.items() if isinstance(value, str | int | float)}
        regions = told.get(CONTROL)
        deep = {CONTROL: json.dumps(regions, ensure_ascii=False)} if isinstance(regions, Mapping) else {}
        return {**plain, **deep}

    def grid(self, size: tuple[int, int], *, wraps: bool = False) -> Grid:
        """The tiles of latents of this (height, width)."""
        return grid(size, (self.tile_height, self.tile_width), self.overlap, wraps=wraps)

    def sized(self, picture: Picture, size_of: Callable[[str], tuple[int, int]]) -> Picture:
        request, size = picture.request, self._size(picture, size_of)
        if size is not None:
            width, height = (max(int(side) // FACTOR * FACTOR, FACTOR) for side in size)
            picture = replace(picture, request=request.changed(width=width, height=height))
        if self.method == MULTI and request.sampler_name == "UniPC" and self._is_tiled(picture.request):
            raise UserError(
                "MultiDiffusion cannot be used with the sampler UniPC.",
                hint=f"Choose {MIXTURE}, or another sampler.",
                field="features",
            )
        if self.method == MULTI and self.control and registry.sampler(request.sampler_name).timesteps:
            raise UserError(
                f"MultiDiffusion with regions cannot be used with the sampler {request.sampler_name}.",
                hint=f"Choose {MIXTURE}, or another sampler.",
                field="features",
            )
        return picture

    def _size(self, picture: Picture, size_of: Callable[[str], tuple[int, int]]) -> tuple[float, float] | None:
        """(width, height) where it is not the request's."""
        request = picture.request
        given = request.from_picture
        if given is None:
            return (self.image_width, self.image_height) if self.overwrite_size else None
        if given.mask and given.inpaint_full_res:
            return None
        factor = self.scale_factor if self.upscaler != NO_UPSCALER else 1.0
        width, height = size_of(picture.init_image) if self.keep_input_size else (request.width, request.height)
        return width * factor, height * factor

    def inverts(self, request: Generation) -> bool:
        """Whether the noise of the given picture is looked for."""
        return self.inversion and request.is_img2img

    def _is_tiled(self, request: Generation) -> bool:
        return self.grid((request.height // FACTOR, request.width // FACTOR)).tiles > 1

    def resolve(self, resolving: Resolving) -> Self:
        if self.upscaler != NO_UPSCALER:
            resolving.upscaler(self.upscaler)
        for region in self.control:
            resolving.prompt(region.prompt)
        return self

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        """As the extension writes them: nothing of the tiles where there is one alone."""
        request, found = picture.request, dict[str, str]()
        told: dict[str, object] = {
            "Method": self.method,
            "Tile tile width": self.tile_width,
            "Tile tile height": self.tile_height,
            "Tile Overlap": self.overlap,
            "Tile batch size": self.batch_size,
        }
        if request.is_img2img and self.upscaler != NO_UPSCALER:
            factor = int(self.scale_factor) if self.scale_factor.is_integer() else self.scale_factor
            found |= {"Tiled Diffusion upscaler": self.upscaler, "Tiled Diffusion scale factor": str(factor)}
            told |= {"Upscaler": self.upscaler, "Upscale factor": factor}
        if request.is_img2img and self.keep_input_size:
            told["Keep input size"] = True
        if self.control:
            told[CONTROL] = json.loads(self.regions)
        if self.inverts(request):
            told |= {
                "NoiseInv": True,
                "NoiseInv Steps": self.inversion_steps,
                "NoiseInv Retouch": self.retouch,
                "NoiseInv Renoise strength": self.renoise_strength,
                "NoiseInv Kernel size": self.renoise_kernel,
            }
        acts = bool(self.control) or self._is_tiled(request) or self.inverts(request)
        return {**found, self.title: json.dumps(told, ensure_ascii=False)} if acts else found

    def cost(self, work: Workload) -> Workload:
        return replace(work, seen=self.tile_height * self.tile_width * self.batch_size)
