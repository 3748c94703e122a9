"""One step of a script with the pictures at hand: what is asked for, and the plan of such a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from webui.request.fields import Img2Img
from webui.request.jobs import JobRequest, UndividedPiece
from webui.request.params import Image


class Compose(JobRequest):
    """Pictures made of pictures by the script of a request (`PictureFlow.composed`)."""

    kind: ClassVar[str] = "compose"

    asked: Img2Img = Field(default_factory=Img2Img)
    """What the script was asked for, with its values."""
    step: str = ""
    """The script's name for what is done."""
    numbers: tuple[int, ...] = ()
    """What the step is told, as the script understands it."""
    pictures: Annotated[tuple[str, ...], Image(ui="Pictures")] = ()
    """What it is done with, in order."""
    count: int = Field(default=1, ge=0, le=100_000)
    """How many pictures come of it."""
    told: Img2Img | None = None
    """Of results: the request that their infotexts tell of."""

    @property
    def picture_count(self) -> int:
        return self.count

    @property
    def begins_with(self) -> tuple[str, ...]:
        return self.pictures

    @property
    def title(self) -> str:
        return f"{self.asked.script or 'Pictures'}: {self.step or 'nothing'}"


@dataclass(frozen=True)
class ComposePlan:
    """Everything that the pictures depend on."""

    kind: ClassVar[str] = "compose"
    asked: Img2Img
    step: str
    numbers: tuple[int, ...]
    pictures: tuple[str, ...]
    """Keys in `images`."""
    batches: tuple[tuple[UndividedPiece, ...], ...]
    """One batch: a step is made as a whole."""
    images: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    background: str = "#ffffff"
    """Stands where a picture is transparent."""

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    @property
    def model(self) -> str:
        return ""

    @property
    def parts(self) -> tuple[ComposePlan, ...]:
        return (self,)

    def only(self, _positions: Iterable[int], /) -> ComposePlan:
        return self

    def moved(self, by: int, /) -> ComposePlan:
        moved = (tuple(replace(piece, position=piece.position + by) for piece in batch) for batch in self.batches)
        return replace(self, batches=tuple(moved))

    def at(self, position: int, /) -> UndividedPiece:
        return next(piece for batch in self.batches for piece in batch if piece.position == position)


class PictureNames(Protocol):
    """What such a plan asks of the catalog."""

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...


def resolve_compose(request: Compose, background: str, names: PictureNames) -> ComposePlan:
    """Find the pictures.

    Raises:
        NotFound: one of them is gone.
    """
    return ComposePlan(
        request.asked,
        request.step,
        request.numbers,
        request.pictures,
        (tuple(UndividedPiece(position) for position in range(request.count)),),
        {name: names.picture(name) for name in dict.fromkeys(request.pictures)},
        background,
    )


Request = Compose
