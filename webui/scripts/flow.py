"""A flow: a script whose next request needs what has come of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType

from webui.entry_points import expected
from webui.request.fields import Generation
from webui.request.jobs import JobRequest
from webui.scripts.script import Script


@dataclass(frozen=True)
class Made:
    """What has come of one request."""

    pictures: tuple[str, ...] = ()
    """Names by which requests refer to them. They are kept without loss until the job ends. None: it was skipped."""
    answer: str = ""
    """Of a request for words."""


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


class Flow(Script):
    """A pure function of what was asked for and of all that has come of it: after whatever ended the program, the same
    request follows."""

    def picture_count(self, request: Generation, /) -> int:
        """How many results the job is to have."""
        raise NotImplementedError

    def steps(self, request: Generation, /) -> int:
        """How many requests there will be, for the progress."""
        raise NotImplementedError

    def follow(self, request: Generation, made: Sequence[Made], /) -> Next | None:
        """The request after these; None: it is done. The seeds of `request` are chosen."""
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
