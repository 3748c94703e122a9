"""What is done to finished pictures: the parameters of the Extras tab, and the plan of such a job.

The names are those of A1111's HTTP API; the labels are those of its infotext.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Protocol, Self

from webui.base.errors import UserError
from webui.request.captions import KEEP, ExistingCaption
from webui.request.cutting import (
    PACKAGED,
    AlphaMatting,
    BackgroundModel,
    BackgroundThreshold,
    Cutting,
    Edge,
    ErodeSize,
    ForegroundThreshold,
)
from webui.request.fields import Img2Img
from webui.request.interrogators import Way
from webui.request.jobs import Demand, JobRequest
from webui.request.model_ref import ModelRef
from webui.request.params import Choice, Image, Slider, Text, Toggle
from webui.request.plan import GIVEN, Plan, UpscalerRef
from webui.request.postprocessing import NONE, OPERATIONS, RESIZE_TO, Operations, in_order, restorers_of
from webui.request.settings import LimitSettings, Settings
from webui.request.tiles import TileSize, tiles_of

MOST_PARTS = 1000
"""One picture becomes at most so many: parts and flipped copies."""


class Extras(Operations, JobRequest):
    """Pictures that are enlarged, cut out, painted anew in places, cropped or mirrored."""

    kind: ClassVar[str] = "extras"

    images: Annotated[tuple[str, ...], Image(ui="Pictures")] = ()
    """The pictures to process."""
    names: tuple[str, ...] = ()
    """Their file names without extensions, if the results are to be named after them."""
    remove_background: Annotated[bool, Toggle(ui="Remove background")] = False
    """Keeps what stands out, and makes everything around it transparent, before the picture is enlarged."""
    background_model: BackgroundModel = PACKAGED
    """The network that finds the subject: the included one, or a file in models/rembg."""
    alpha_matting: AlphaMatting = False
    """Makes out the edges hair by hair, and takes the background's color out of them. Takes longer."""
    alpha_matting_foreground_threshold: ForegroundThreshold = 240
    """Above this level of the mask, a pixel is surely the subject's."""
    alpha_matting_background_threshold: BackgroundThreshold = 10
    """Below this level, it is surely not."""
    alpha_matting_erode_size: ErodeSize = 10
    """By how many pixels what is sure shrinks: the width within which edges are looked for."""
    detail_model: Annotated[str, Choice(label="Postprocess detailer", ui="Detailer", source="detectors_or_none")] = NONE
    """What looks for faces, hands or other things, which the checkpoint paints anew after the picture was enlarged, as
    ADetailer does. None: nothing is painted."""
    detail_prompt: Annotated[
        str,
        Text(
            label="Postprocess detailer prompt",
            ui="Detailer prompt",
            lines=1,
            placeholder="Empty: the prompt that the picture was made with. [PROMPT] stands for it.",
        ),
    ] = ""
    """What shall be painted; empty: the prompt that the picture was made with, as far as it says so."""
    detail_strength: Annotated[
        float,
        Slider(label="Postprocess detailer strength", ui="Detailer strength", min=0, max=1, step=0.01, ge=0, le=1),
    ] = 0.4
    """How much of it may change: 0 is nothing, 1 everything."""
    split_oversized: Annotated[bool, Toggle(ui="Split oversized images")] = False
    """Splits pictures that are longer than the target size into parts of that size."""
    split_threshold: Annotated[float, Slider(ui="Threshold", min=0, max=1, step=0.05, ge=0, le=1)] = 0.5
    """How much the aspect ratio may differ before a picture is split: 0 never splits, 1 splits at any difference."""
    split_overlap: Annotated[float, Slider(ui="Overlap ratio", min=0, max=0.9, step=0.05, ge=0, le=0.9)] = 0.2
    """The overlap of neighboring parts."""
    flip_horizontal: Annotated[bool, Toggle(ui="Flipped copy: horizontal")] = False
    """Adds a copy mirrored horizontally."""
    flip_vertical: Annotated[bool, Toggle(ui="Flipped copy: vertical")] = False
    """Adds a copy mirrored vertically."""
    flip_both: Annotated[bool, Toggle(ui="Flipped copy: both")] = False
    """Adds a copy mirrored in both directions."""
    caption_model: Annotated[str, Choice(ui="Create caption with", source="interrogators_or_none")] = NONE
    """What describes each result in a text file beside it: clip writes a sentence, the others tags. From a directory,
    with nothing else set: only the text files are made, in the output directory, or beside the pictures."""
    existing_caption: ExistingCaption = KEEP
    """What happens to the text file beside a picture from a directory: Ignore makes a new one, Keep takes it over,
    Prepend puts it before the new caption, Append behind it."""
    captions: tuple[str, ...] = ()
    """What the text files beside the pictures say."""

    @property
    def changes_pictures(self) -> bool:
        """Whether anything but their files becomes different."""
        copies = self.flip_horizontal or self.flip_vertical or self.flip_both
        return bool(self.acting) or self.details or self.remove_background or self.split_oversized or copies

    @property
    def describes(self) -> bool:
        """Whether the results get captions."""
        return self.caption_model not in ("", NONE)

    @property
    def details(self) -> bool:
        """Whether things in the pictures are painted anew."""
        return self.detail_model not in ("", NONE)

    def detailing(self, values: Mapping[str, object], side: int) -> Img2Img:
        """How things in a picture are painted anew. values: what the picture says of how it was made. side: pixels that
        the checkpoint was trained with."""
        unit = {
            "ad_model": self.detail_model,
            "ad_prompt": self.detail_prompt,
            "ad_denoising_strength": self.detail_strength,
            "ad_skip_img2img": True,
        }
        picture = {"init_images": (GIVEN,), "width": side, "height": side, "features": {"ADetailer": [unit]}}
        return Img2Img.made(**{**values, **picture})

    @property
    def previewed(self) -> Self:
        """With the first picture alone."""
        return self.changed(images=self.images[:1], names=())

    @property
    def picture_count(self) -> int:
        """How many are asked for: one a picture; parts and copies come on top."""
        return len(self.images)

    @property
    def batch_count(self) -> int:
        return len(self.images)

    @property
    def begins_with(self) -> tuple[str, ...]:
        return self.images

    @property
    def effort(self) -> float:
        return float(self.picture_count)

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        pixels = self.upscaling_resize_w * self.upscaling_resize_h if self.resize_mode == RESIZE_TO else 0
        megapixels = round(pixels / 1e6, 2)
        return (
            Demand(len(self.detail_prompt), limits.most_prompt_characters, "characters in a prompt", "detail_prompt"),
            Demand(self.picture_count, limits.most_pictures, "pictures in one job", "images"),
            Demand(megapixels, limits.most_megapixels, "megapixels in one picture", "upscaling_resize_w"),
        )

    @property
    def title(self) -> str:
        wide, high = self.upscaling_resize_w, self.upscaling_resize_h
        how = f"to {wide}x{high}" if self.resize_mode == RESIZE_TO else f"by {self.upscaling_resize:g}"
        count = len(self.images)
        what = f"{self.upscaler_1} {how}" if self.upscaler_1 != NONE else "Extras"
        return f"{what}, {count} picture{'' if count == 1 else 's'}"


# --- the plan -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Retouch:
    """One picture to work on."""

    request: Extras
    position: int
    """Of its first result within the job; further ones follow."""
    image: str
    """Key in `ExtrasPlan.images`."""
    name: str = ""
    """What the results' files are called, without ending; "": a number."""
    seed: int = -1
    subseed: int = -1
    caption: str = ""
    """What the text file beside it says."""


@dataclass(frozen=True)
class ExtrasPlan:
    """A job for the engine, like `Plan`."""

    kind: ClassVar[str] = "extras"
    batches: tuple[tuple[Retouch, ...], ...]
    images: Mapping[str, bytes] = field(default_factory=dict)
    upscalers: Mapping[str, UpscalerRef] = field(default_factory=dict)
    """By the names in the request."""
    restorers: Mapping[str, ModelRef] = field(default_factory=dict)
    """Of faces, by A1111's names; without a path where an installed package adds it."""
    tiles: Mapping[str, TileSize] = field(default_factory=dict)
    """In which a model sees a picture, by kinds of networks."""
    most_pixels: int = 64_000_000
    """A result may have no more."""
    details: Mapping[str, Plan] = field(default_factory=dict)
    """How things in a picture are painted anew, by the picture's key."""
    captioning: Way | None = None
    """How the results are described; None: they are not."""
    cutting: Cutting | None = None
    """How the background is removed; None: it stays."""
    order: tuple[str, ...] = OPERATIONS
    """Of the operations."""

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    @property
    def model(self) -> str:
        """Path of the checkpoint that paints; "": none is needed."""
        return next((plan.model for plan in self.details.values()), "")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What could not be as it was asked for."""
        swaps = [ref.remark for ref in self.upscalers.values() if ref.remark]
        swaps += [self.cutting.remark] if self.cutting and self.cutting.remark else []
        return tuple(dict.fromkeys((*swaps, *(remark for plan in self.details.values() for remark in plan.remarks))))

    @property
    def parts(self) -> tuple[ExtrasPlan, ...]:
        return (self,)

    def only(self, positions: Iterable[int], /) -> ExtrasPlan:
        """The part of the plan with the pictures at these positions."""
        wanted = frozenset(positions)
        kept = (tuple(one for one in batch if one.position in wanted) for batch in self.batches)
        return replace(self, batches=tuple(batch for batch in kept if batch))

    def moved(self, by: int, /) -> ExtrasPlan:
        """The plan with its pictures counted from there on."""
        batches = tuple(
            tuple(replace(one, position=one.position + by * MOST_PARTS) for one in batch) for batch in self.batches
        )
        return replace(self, batches=batches)

    def at(self, position: int, /) -> Retouch:
        """The picture of which the result at this position comes."""
        first = position - position % MOST_PARTS
        return next(one for batch in self.batches for one in batch if one.position == first)


@dataclass(frozen=True)
class ExtrasPreview:
    """What would be made of one picture, to be seen beside the device."""

    kind: ClassVar[str] = "extras"
    request: Extras
    picture: bytes
    """A small copy of it, as a file."""
    size: tuple[int, int]
    """(width, height) of the picture itself, in pixels."""
    names: Mapping[str, str]
    """Of the upscalers, by those in the request."""
    most_pixels: int
    comments: tuple[str, ...] = ()
    cutting: Cutting | None = None
    order: tuple[str, ...] = OPERATIONS
    """Of the operations."""


class ExtrasNames(Protocol):
    """What such a plan asks of the catalog."""

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        """The upscaler of this name. Raises NotFound."""
        ...

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        """By the network for backgrounds of this name. Raises NotFound."""
        ...

    def restorer(self, name: str, field: str = "") -> ModelRef:
        """The face restorer of this name. Raises NotFound."""
        ...


def resolve_extras(
    request: Extras,
    settings: Settings,
    names: ExtrasNames,
    details: Mapping[str, Plan] | None = None,
    captioning: Way | None = None,
) -> ExtrasPlan:
    """Find the files that the request names. details, captioning: see `ExtrasPlan`.

    Raises:
        NotFound: there is no such picture, upscaler or face restorer.
        UserError: there is no picture.
    """
    if not request.images:
        raise UserError("There is no picture to process.", hint="Add one on the Extras tab.", field="images")
    return ExtrasPlan(
        batches=tuple(
            (Retouch(request, number * MOST_PARTS, image, name, caption=caption),)
            for number, (image, name, caption) in enumerate(
                zip(request.images, _each(request, request.names), _each(request, request.captions), strict=True)
            )
        ),
        images={name: names.picture(name) for name in request.images},
        upscalers=upscalers_of(request, names),
        restorers={name: names.restorer(name, f"{name.lower()}_visibility") for name in restorers_of(request)},
        tiles=tiles_of(settings.render),
        most_pixels=int(settings.limits.most_megapixels * 1e6),
        details=details or {},
        captioning=captioning,
        cutting=cutting_of(request, names),
        order=tuple(in_order(settings.render.postprocessing_operation_order)),
    )


def cutting_of(request: Extras, names: ExtrasNames) -> Cutting | None:
    """How the background is removed; None: it stays. Raises NotFound: there is no such network."""
    if not request.remove_background:
        return None
    edge = Edge(
        request.alpha_matting_foreground_threshold,
        request.alpha_matting_background_threshold,
        request.alpha_matting_erode_size,
    )
    return names.cutting(request.background_model, edge if request.alpha_matting else None, "background_model")


def upscalers_of(request: Extras, names: ExtrasNames) -> dict[str, UpscalerRef]:
    """The upscalers by the names in the request. Raises NotFound."""
    return {name: names.upscaler(name, field) for name, field in request.upscalers.items()}


def _each(request: Extras, given: tuple[str, ...]) -> tuple[str, ...]:
    """One a picture; "" where none is given."""
    return (*given, *("" for _ in request.images))[: len(request.images)]


Request = Extras
