"""What a preprocessor is asked beside the device: a map of one picture, for a person or a program to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from webui.request.model_ref import ModelRef
from webui.request.poses import Poses
from webui.request.preprocessors import TABLE, Real

INPAINTS = ("inpaint", "inpaint_only")
"""Whose map is the picture with a hole."""
DESCRIBES = tuple(each.name for each in TABLE if each.describes)
"""Who makes no map, but has the picture described."""
KEEPS = (
    *(*INPAINTS, "reference_only", "reference_adain", "reference_adain+attn", "tile_colorfix", "tile_colorfix+sharp"),
    *DESCRIBES,
)
"""Whose map is the picture itself."""


@dataclass(frozen=True)
class Preprocessing:
    """The map of one picture."""

    kind: ClassVar[str] = "ControlNet"
    picture: bytes = field(repr=False)
    """A whole file."""
    module: str
    """The preprocessor's name, or what lists call it."""
    resolution: int
    """As a unit has it, and so are `a` and `b`: what the preprocessor cannot take is its default."""
    a: Real = -1
    b: Real = -1
    target: tuple[int, int] | None = None
    """(width, height) of the result, where the resolution shall fit that ("Pixel Perfect")."""
    resize_mode: str = "Crop and Resize"
    """How the map would be brought to that size."""
    mask: bytes = field(default=b"", repr=False)
    """A whole file; white where the picture is to be filled. For those of inpainting alone."""
    side: int = 0
    """Pixels of the longer side of the picture that comes back, at most; 0: it is the map as it is."""
    as_given: bool = False
    """It is looked at as A1111's own route looks at it, not as a unit does."""
    annotators: tuple[ModelRef, ...] = ()
    """The preprocessor's files."""


@dataclass(frozen=True)
class Drawing:
    """Poses that a program has, as a map."""

    kind: ClassVar[str] = "ControlNet"
    poses: Poses
