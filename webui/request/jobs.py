"""What all kinds of jobs have in common: a request, and the plan that comes of it. The kinds are the lines of
`registry.JOB_KINDS`; each has a folder in `webui/jobs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol, Self, runtime_checkable

from webui import registry
from webui.base.errors import NotFound
from webui.request.params import Declared, with_pictures
from webui.request.settings import LimitSettings


@dataclass(frozen=True)
class Demand:
    """How much of something a request asks for."""

    asked: float
    most: float
    """The settings allow so much."""
    what: str
    """In the plural: "steps"."""
    field: str
    """Of the request, where it may be asked for less."""


class JobRequest(Declared):
    """What can be submitted as a job: the class `Request` of its kind's folder."""

    kind: ClassVar[str]
    """The name of its line in the registry, which tabs, routes and folders have too."""

    @classmethod
    def restored(cls, values: Mapping[str, object]) -> Self:
        """A request of an earlier day, for people to look at. Raises UserError: it does not fit any more."""
        return cls.made(**values)

    def with_pictures(self, keep: Callable[[str, str], str]) -> Self:
        """The request with every picture in it, at any depth, put through `keep(picture, field)` -> its name."""
        return with_pictures(self, keep)

    @property
    def previewed(self) -> Self:
        """What its preview looks at, where that is less than the whole."""
        return self

    @property
    def begins_with(self) -> tuple[str, ...]:
        """The names of the pictures that it is given."""
        return ()

    @property
    def masked_by(self) -> str:
        """The name of the mask that says where the given pictures may change; "": everywhere."""
        return ""

    @property
    def picture_count(self) -> int:
        """How many pictures are asked for; 0: a text comes of it, or a file."""
        return 0

    @property
    def batch_count(self) -> int:
        """How many batches, as the progress counts them."""
        return 1

    @property
    def title(self) -> str:
        """What the job does, for lists of jobs."""
        raise NotImplementedError

    @property
    def effort(self) -> float:
        """How long it takes, beside other requests of its kind."""
        return 1.0

    def demands(self, _limits: LimitSettings, /) -> Iterable[Demand]:
        """What the settings limit."""
        return ()


class Piece(Protocol):
    """One picture of a plan, or one piece of other work."""

    @property
    def position(self) -> int:
        """Rank within the job, from 0."""
        ...

    @property
    def seed(self) -> int: ...

    @property
    def subseed(self) -> int: ...


@runtime_checkable
class JobPlan(Protocol):
    """A request with every choice fixed, as the engine gets it: plain data."""

    @property
    def kind(self) -> str:
        """The name of the kind whose `work` carries it out."""
        ...

    @property
    def batches(self) -> tuple[tuple[Piece, ...], ...]:
        """What is made together."""
        ...

    @property
    def count(self) -> int:
        """Pieces in all."""
        ...

    @property
    def model(self) -> str:
        """Path of the checkpoint that it begins with; "" where none is needed."""
        ...

    @property
    def parts(self) -> tuple[JobPlan, ...]:
        """What can be handed to an engine by itself: the cells of a table; of other plans the plan."""
        ...

    def only(self, positions: Iterable[int], /) -> JobPlan:
        """The part with the pieces at these positions, which are of one of `parts`."""
        ...

    def moved(self, by: int, /) -> JobPlan:
        """The plan with its pieces counted from there on."""
        ...

    def at(self, position: int, /) -> Piece:
        """The piece that a result at this position comes of. Raises StopIteration: there is none."""
        ...


@runtime_checkable
class AsidePlan(Protocol):
    """What an engine does beside the device, at once or never: plain data."""

    @property
    def kind(self) -> str:
        """The name of the kind of job, or of the feature, whose `aside` carries it out."""
        ...


@dataclass(frozen=True)
class UndividedPiece:
    """The one piece of a plan that is not divided."""

    position: int = 0
    seed: int = -1
    subseed: int = -1


@dataclass(frozen=True, kw_only=True)
class UndividedPlan:
    """A plan of which no pictures come but a text: a model was merged, a picture was described."""

    kind: ClassVar[str]
    batches: tuple[tuple[UndividedPiece, ...], ...] = ((UndividedPiece(),),)

    @property
    def count(self) -> int:
        return 1

    @property
    def model(self) -> str:
        return ""

    @property
    def parts(self) -> tuple[Self, ...]:
        return (self,)

    def only(self, _positions: Iterable[int], /) -> Self:
        return self

    def moved(self, _by: int, /) -> Self:
        return self

    def at(self, _position: int, /) -> UndividedPiece:
        return self.batches[0][0]


class Gone(JobRequest):
    """What is left of a request of a kind that is not here any more: the package that added it is gone, or broken."""

    kind: ClassVar[str] = ""

    @property
    def title(self) -> str:
        return "A job of a kind that is not here any more"


def request_class(kind: str) -> type[JobRequest]:
    """The class of requests of the kind of this name.

    Raises:
        NotFound: no kind has this name, or its package cannot be used.
    """
    found = request_classes().get(kind)
    if found is None:
        raise NotFound(
            f"There is no kind of job {kind!r} here.",
            hint="The package that adds it is not installed, or broken: /api/v1/problems says which.",
        )
    return found


@cache
def request_classes() -> Mapping[str, type[JobRequest]]:
    """The class of requests of each kind, by the kind's name."""
    return {kind.name: registry.resolved(kind.request) for kind in registry.job_kinds()}
