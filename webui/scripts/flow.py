"""A flow: a script whose next request needs what has come of the last one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import ClassVar, Literal, Protocol, runtime_checkable

from PIL import Image

from webui.entry_points import expected
from webui.request.fields import Generation, Img2Img
from webui.request.jobs import Demand, JobRequest
from webui.request.settings import LimitSettings
from webui.scripts.script import Script


@dataclass(frozen=True)
class Made:
    """What has come of one request."""

    pictures: tuple[str, ...] = ()
    """Names by which requests refer to them. They are kept without loss until the job ends. None: it was skipped."""
    answer: str = ""
    """Of a request for words."""
    facts: tuple[tuple[str, str], ...] = ()
    """(infotext label, text): what the engine said of the first picture, beyond the request."""


@dataclass(frozen=True)
class Next:
    """What is asked for next."""

    request: JobRequest
    """Of any kind; its seeds are chosen."""
    is_result: bool = False
    """Its pictures are results of the job. Of others nothing is left when the job ends."""
    labels: tuple[tuple[str, str], ...] = ()
    """What the infotext says beyond the request."""
    remarks: tuple[str, ...] = ()
    """Sentences for the person."""


class FlowNames(Protocol):
    """What a flow may ask before it begins. The catalog answers."""

    def picture_size(self, name: str) -> tuple[int, int]:
        """(width, height) of a stored picture in pixels, upright. Raises NotFound, UserError."""
        ...

    def choices(self, source: str) -> list[str]:
        """The names in a list, as `Choice.source` calls it."""
        ...


@runtime_checkable
class Course(Protocol):
    """What a flow asks for, one request after the other: a pure function of what was asked for and of all that has come
    of it. After whatever ended the program, the same request follows."""

    def picture_count(self, request: Generation, /) -> int:
        """How many results the job is to have."""
        ...

    def steps(self, request: Generation, /) -> int:
        """How many requests there will be, for the progress."""
        ...

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        """What the settings limit, beyond the request."""
        ...

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        """The request after these; None: it is done. The seeds of `request` are chosen."""
        ...


class Flow(Script):
    """A script whose next request needs what has come of the last one. It is its own `Course`, or has one for each
    request (`course`)."""

    sheet: ClassVar[Literal["row", "grid", "none"]] = "row"
    """How several results are laid out on a sheet: in a row; in rows as the settings say, where they want sheets; not
    at all."""

    def course(self, request: Generation, names: FlowNames, /, *, is_fixed: bool) -> Course:  # noqa: ARG002
        """What it asks for where that depends on the pictures that it begins with. is_fixed: the seed was chosen by the
        person.

        Raises:
            NotFound, UserError: it cannot be done with these pictures.
        """
        return self

    def picture_count(self, request: Generation, /) -> int:
        """See `Course`."""
        raise NotImplementedError

    def steps(self, request: Generation, /) -> int:
        """See `Course`."""
        raise NotImplementedError

    def demands(self, _limits: LimitSettings, /) -> Iterable[Demand]:
        """See `Course`."""
        return ()

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        """See `Course`."""
        raise NotImplementedError


class PictureFlow(Flow):
    """A flow that cuts, joins and fills pictures between its requests: each of these steps is a `Compose`."""

    kinds: ClassVar[tuple[str, ...]] = ("img2img",)

    def composed(
        self, step: str, numbers: tuple[int, ...], pictures: Sequence[Image.Image], request: Img2Img, /
    ) -> Iterable[Image.Image]:
        """What comes of a step, in the engine; the same each time. pictures: RGB. request: what was asked for.

        Raises:
            UserError: it cannot be done with these pictures.
        """
        raise NotImplementedError


def following(found: Next | None, giver: object) -> Next | None:
    """What `follow` has given, where it is what was meant; giver: whose it is.

    Raises:
        ExtensionError: it is something else, and a package's.
    """
    expected(found, (Next, NoneType), giver, "follow")
    if found is not None:
        expected(found.request, JobRequest, giver, "follow, as the next request,")
    return found
