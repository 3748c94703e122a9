"""How a subject is cut out of its background: which network finds it, and what is done about its edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias

from webui.request.model_ref import ModelRef
from webui.request.params import Choice, Number, Toggle

PACKAGED = "u2netp"
"""The network that comes with the packages."""
INCLUDED = ModelRef("", PACKAGED)


@dataclass(frozen=True)
class Edge:
    """What of a mask is sure, where the edge is made out hair by hair. Names and defaults are the program rembg's."""

    foreground: int = 240
    """Above this level a pixel is the subject's."""
    background: int = 10
    """Below this one it is not."""
    erode: int = 10
    """Pixels by which what is sure shrinks."""


@dataclass(frozen=True)
class Cutting:
    """What is asked for."""

    network: ModelRef
    """Without a path: the packaged one."""
    edge: Edge | None = None
    """None: edges are as the network's mask has them."""
    instead_of: str = ""
    """The network that was asked for and is not there; "": this one was asked for."""

    @property
    def remark(self) -> str:
        """What a person is to know of it, in a sentence, or ""."""
        if not self.instead_of:
            return ""
        return f"There is no {self.instead_of} here, so {self.network.title} found the subject."


@dataclass(frozen=True)
class SubjectMask:
    """The mask of one picture's subject, for a person to go on from."""

    kind: ClassVar[str] = "Remove background"
    picture: bytes = field(repr=False)
    """A whole file."""
    cutting: Cutting


BackgroundModel: TypeAlias = Annotated[
    str, Choice(label="Background model", ui="Background model", source="cut_out_models", absent=PACKAGED)
]
AlphaMatting: TypeAlias = Annotated[
    bool, Toggle(label="Alpha matting", ui="Refine edges (alpha matting)", absent=False)
]
ForegroundThreshold: TypeAlias = Annotated[
    int,
    Number(
        label="Alpha matting foreground threshold",
        ui="Foreground threshold",
        absent=240,
        ge=0,
        le=255,
    ),
]
BackgroundThreshold: TypeAlias = Annotated[
    int,
    Number(
        label="Alpha matting background threshold",
        ui="Background threshold",
        absent=10,
        ge=0,
        le=255,
    ),
]
ErodeSize: TypeAlias = Annotated[
    int, Number(label="Alpha matting erode size", ui="Erode size", absent=10, ge=0, le=255)
]
