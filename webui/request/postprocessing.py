"""What can be done to a finished picture so that it stays one: the operations of the Extras tab that both that tab and
the forms of new pictures can ask for, and the order of all operations.

The names of the parameters are those of A1111's HTTP API, those of the operations and the labels A1111's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from webui.request.params import Choice, Declared, DependsOn, Number, Slider, Toggle

RESIZE_BY, RESIZE_TO = 0, 1
SIZES = ("Scale by", "Scale to")
OBJECTIVES = ("Maximize area", "Minimize error")
NONE = "None"
"""No upscaler: the picture keeps its size."""
BY_FACTOR, TO_SIZE = ((DependsOn("resize_mode", among=(mode,)),) for mode in (RESIZE_BY, RESIZE_TO))
"""What counts with one of the two alone."""
SCALED_TO, SIZED, CROPPED = "Postprocess upscale to", "Postprocess resize mode", "Postprocess crop to fit"

BACKGROUND, UPSCALE, GFPGAN, CODEFORMER, DETAIL = "Remove background", "Upscale", "GFPGAN", "CodeFormer", "Detail"
SPLIT, FOCAL, AUTOSIZED = "Split oversized images", "Auto focal point crop", "Auto-sized crop"
FLIPS, CAPTION = "Create flipped copies", "Caption"
OPERATIONS = (BACKGROUND, UPSCALE, GFPGAN, CODEFORMER, DETAIL, SPLIT, FOCAL, AUTOSIZED, FLIPS, CAPTION)
"""In the usual order."""
OF_ONE_PICTURE = (UPSCALE, GFPGAN, CODEFORMER, FOCAL, AUTOSIZED)
"""Those that `Operations` declares."""


def in_order(wanted: Iterable[str]) -> list[str]:
    """All operations: those that are wanted first, in that order, then the others in the usual order."""
    first = dict.fromkeys(name for name in wanted if name in OPERATIONS)
    return [*first, *(name for name in OPERATIONS if name not in first)]


class Operations(Declared):
    """Enlarged, with other faces, or cut."""

    resize_mode: Annotated[
        int, Choice(label=SIZED, ui="Size", by_fact=True, choices=SIZES, radio=True, by_index=True, ge=0, le=1)
    ] = RESIZE_BY
    """By a factor, or to a size in pixels."""
    upscaling_resize: Annotated[
        float,
        Slider(
            label="Postprocess upscale by",
            depends=BY_FACTOR,
            by_fact=True,
            ui="Resize",
            min=1,
            max=8,
            step=0.05,
            ge=0.01,
            le=64,
            api_default=2.0,
        ),
    ] = 4.0
    """The factor by which each side is enlarged."""
    max_side_length: Annotated[
        int, Number(label="Max side length", depends=BY_FACTOR, by_fact=True, ge=0, le=65535)
    ] = 0
    """The maximum length of the longer side, in pixels; 0: no limit."""
    upscaling_resize_w: Annotated[
        int,
        Slider(
            label=f"{SCALED_TO}-1", ui="Width", depends=TO_SIZE, by_fact=True, min=64, max=8192, step=8, ge=1, le=65535
        ),
    ] = 512
    """Width to scale to, in pixels."""
    upscaling_resize_h: Annotated[
        int,
        Slider(
            label=f"{SCALED_TO}-2", ui="Height", depends=TO_SIZE, by_fact=True, min=64, max=8192, step=8, ge=1, le=65535
        ),
    ] = 512
    """Height to scale to, in pixels."""
    upscaling_crop: Annotated[bool, Toggle(label=CROPPED, ui="Crop to fit", depends=TO_SIZE, by_fact=True)] = True
    """Crops the picture to exactly this size; when off, the result is just large enough to cover it."""
    upscaler_1: Annotated[
        str, Choice(label="Postprocess upscaler", by_fact=True, ui="Upscaler 1", source="upscalers")
    ] = NONE
    """What enlarges: Lanczos, Nearest, or a model file in models/ESRGAN, RealESRGAN, SwinIR, DAT, ... None keeps the
    size."""
    upscaler_2: Annotated[
        str, Choice(label="Postprocess upscaler 2", by_fact=True, ui="Upscaler 2", source="upscalers")
    ] = NONE
    """A second upscaler whose result is blended in."""
    extras_upscaler_2_visibility: Annotated[
        float,
        Slider(
            label="Postprocess upscaler 2 visibility",
            ui="Upscaler 2 visibility",
            by_fact=True,
            min=0,
            max=1,
            step=0.001,
            ge=0,
            le=1,
        ),
    ] = 0.0
    """The visibility of the second upscaler's result: 0 is none, 1 is only that result."""
    gfpgan_visibility: Annotated[
        float, Slider(label="GFPGAN visibility", by_fact=True, min=0, max=1, step=0.001, ge=0, le=1)
    ] = 0.0
    """Restores faces with GFPGAN: 0 leaves them as they are, 1 shows the new faces alone."""
    codeformer_visibility: Annotated[
        float, Slider(label="CodeFormer visibility", by_fact=True, min=0, max=1, step=0.001, ge=0, le=1)
    ] = 0.0
    """Restores faces with CodeFormer: 0 leaves them as they are, 1 shows the new faces alone."""
    codeformer_weight: Annotated[
        float, Slider(label="CodeFormer weight", by_fact=True, min=0, max=1, step=0.001, ge=0, le=1)
    ] = 0.0
    """How closely CodeFormer follows the picture: 0 is the strongest effect, 1 the weakest."""
    focal_crop: Annotated[bool, Toggle(label="Auto focal point crop", by_fact=True)] = False
    """Crops each picture to the target size around what it is about."""
    focal_face_weight: Annotated[
        float, Slider(label="Focal point face weight", by_fact=True, min=0, max=1, step=0.05, ge=0, le=1)
    ] = 0.9
    """How much faces count."""
    focal_entropy_weight: Annotated[
        float, Slider(label="Focal point entropy weight", by_fact=True, min=0, max=1, step=0.05, ge=0, le=1)
    ] = 0.15
    """How much the part with the most different levels counts."""
    focal_edges_weight: Annotated[
        float, Slider(label="Focal point edges weight", by_fact=True, min=0, max=1, step=0.05, ge=0, le=1)
    ] = 0.5
    """How much corners count."""
    autosized_crop: Annotated[bool, Toggle(label="Auto-sized crop", by_fact=True)] = False
    """Crops each picture to the best size within the bounds, in steps of 64 pixels."""
    crop_min_side: Annotated[
        int,
        Slider(
            label="Auto-sized crop dimension lower bound",
            ui="Dimension lower bound",
            by_fact=True,
            min=64,
            max=2048,
            step=8,
            ge=64,
            le=8192,
        ),
    ] = 384
    """Shortest side, in pixels."""
    crop_max_side: Annotated[
        int,
        Slider(
            label="Auto-sized crop dimension upper bound",
            ui="Dimension upper bound",
            by_fact=True,
            min=64,
            max=2048,
            step=8,
            ge=64,
            le=8192,
        ),
    ] = 768
    """Longest side, in pixels."""
    crop_min_area: Annotated[
        int,
        Slider(
            label="Auto-sized crop area lower bound", ui="Area lower bound", by_fact=True, min=4096, max=4194304, ge=1
        ),
    ] = 4096
    """In pixels."""
    crop_max_area: Annotated[
        int,
        Slider(
            label="Auto-sized crop area upper bound", ui="Area upper bound", by_fact=True, min=4096, max=4194304, ge=1
        ),
    ] = 409600
    """In pixels."""
    crop_objective: Annotated[
        str,
        Choice(
            label="Auto-sized crop resizing objective",
            ui="Resizing objective",
            by_fact=True,
            choices=OBJECTIVES,
            radio=True,
        ),
    ] = OBJECTIVES[0]
    """Whether the largest size is chosen, or the one with the closest aspect ratio."""
    crop_threshold: Annotated[
        float,
        Slider(
            label="Auto-sized crop error threshold",
            ui="Error threshold",
            by_fact=True,
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
        ),
    ] = 0.1
    """Sizes whose aspect ratio differs by more than this are not considered."""

    @property
    def acting(self) -> tuple[str, ...]:
        """The operations that do something, in the usual order."""
        on = {
            UPSCALE: self.upscaler_1 not in ("", NONE),
            GFPGAN: self.gfpgan_visibility > 0,
            CODEFORMER: self.codeformer_visibility > 0,
            FOCAL: self.focal_crop,
            AUTOSIZED: self.autosized_crop,
        }
        return tuple(name for name in OF_ONE_PICTURE if on[name])

    @property
    def upscalers(self) -> dict[str, str]:
        """Upscaler -> the first of the fields that name it."""
        fields = ("upscaler_1", "upscaler_2")
        return {getattr(self, name): name for name in reversed(fields) if getattr(self, name) not in ("", NONE)}

    @property
    def blends(self) -> bool:
        """Whether a second upscaler's picture is mixed in."""
        return self.upscaler_2 not in ("", NONE) and self.extras_upscaler_2_visibility > 0


def restorers_of(request: Operations) -> dict[str, float]:
    """Face restorer -> how much of its faces is seen."""
    seen = {GFPGAN: request.gfpgan_visibility, CODEFORMER: request.codeformer_visibility}
    return {name: visibility for name, visibility in seen.items() if visibility > 0}
