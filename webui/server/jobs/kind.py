"""What the server does around one kind of job: the base class of each kind's `server.Server`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from webui.base.errors import UserError
from webui.catalog.catalog import Catalog
from webui.catalog.pictures import SavedPicture
from webui.catalog.settings_store import SettingsStore
from webui.request.jobs import AsidePlan, JobPlan, JobRequest
from webui.request.messages import Pictured
from webui.request.settings import Settings
from webui.scripts.flow import Made, Next
from webui.server.jobs.job import Job, JobError
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)

R = TypeVar("R", bound=JobRequest)
P = TypeVar("P", bound=JobPlan)


@dataclass(frozen=True)
class Checked:
    """What is known of a request when it is submitted."""

    pictures: int
    """How many will be made."""
    model: str
    """Path of the checkpoint that it begins with, or ""."""
    seed: int = -1
    subseed: int = -1


@dataclass(frozen=True)
class JobServer(Generic[R, P]):
    """One for all jobs of the kind. Called by the queue's thread, but for `checked` and `lay_out`."""

    catalog: Catalog
    settings: SettingsStore
    version: str
    """Of this program."""

    def plan(self, request: R, settings: Settings, /) -> P:
        """What the engine gets.

        Raises:
            NotFound: a name in the request is nothing's.
            UserError: it asks for something that cannot be.
        """
        raise NotImplementedError

    def checked(self, request: R, settings: Settings) -> Checked:
        """Complains at once of what `prepared` would complain of when its turn comes. Raises as `plan`."""
        return Checked(request.picture_count, self.plan(request, settings).model)

    def prepared(self, job: Job, request: R, settings: Settings) -> Work:
        """The job, ready to be handed to engines: its turn has come. Raises as `plan`."""
        return Work(job, settings, self.plan(request, settings), (request,))

    def aside(self, _request: R, _settings: Settings, /) -> AsidePlan:
        """What an engine makes a preview of the request by, beside the job in work.

        Raises:
            NotFound: a name in the request is nothing's.
            UserError: the kind has no previews, or this one cannot be.
        """
        raise UserError("Jobs of this kind have no preview.")

    def follow(self, _job: Job, _request: R, _made: Sequence[Made], /) -> Next | None:
        """Of a flow: what is asked for after all that has been made for this job; of other jobs None, from the first.

        The same things made are followed by the same request, whenever that is asked.
        """
        return None

    def steps(self, _request: R, /) -> int:
        """How many requests a flow will have, for the progress."""
        return 1

    def keep(self, _work: Work, picture: Pictured, /) -> SavedPicture:
        """Save a finished picture, and record it as a result.

        Raises:
            NotSaved: the disk is full or not writable; the picture waits in memory, and its job has the result.
        """
        raise TypeError(f"A picture arrived for the job {picture.job_id}, which makes none.")

    def answered(self, _work: Work, /) -> None:
        """The engine's answer has come."""

    def mended(self, _work: Work, _error: JobError, /) -> bool:
        """An engine has failed over it: whether what it failed over is replaced now, so that it can begin again."""
        return False

    def over(self, _work: Work, /) -> None:
        """The job has ended, whatever came of it."""

    @property
    def lays_out(self) -> bool:
        """Whether `lay_out` does anything."""
        return False

    def lay_out(self, _work: Work, _ended: Job, /) -> None:
        """Beside the queue's thread: what is made of a finished job's pictures before it is called done.

        Raises:
            WebuiError: it cannot be made; the job stands without it.
        """

    def clean_up(self) -> None:
        """At start: remove what jobs of an earlier run have left behind."""
