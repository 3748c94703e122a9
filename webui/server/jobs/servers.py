"""What the server does around jobs, by their kinds. Those of installed packages are behind a fence: whatever goes wrong
there is the package's failure, and so is what it gives that is of another type than meant."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

from webui import registry
from webui.base.errors import ExtensionError, UserError, WebuiError
from webui.base.fence import exited, fenced, told_of
from webui.catalog.catalog import Catalog
from webui.catalog.pictures import SavedPicture
from webui.catalog.settings_store import SettingsStore
from webui.entry_points import KIND, expected, problem_with
from webui.registry import JobKind
from webui.request.jobs import AsidePlan, JobPlan, JobRequest
from webui.request.messages import Pictured
from webui.request.settings import Settings
from webui.scripts.flow import Made, Next, following
from webui.server.jobs.job import Job, JobError
from webui.server.jobs.kind import Checked, JobServer
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)

KindServer = JobServer[JobRequest, JobPlan]


@dataclass(frozen=True)
class FencedServer(KindServer):
    """The server of a package's kind, behind the fence. Called as `JobServer`; besides what that raises, each method
    raises ExtensionError."""

    kind: JobKind
    inner: KindServer

    def __post_init__(self) -> None:
        """
        Raises:
            UserError: it is no server of jobs, or lacks what each must have.
        """
        if not isinstance(self.inner, JobServer):
            raise UserError(f"Its Server is a {type(self.inner).__name__}, not a webui.server.jobs.kind.JobServer.")
        if self._lacks("plan"):
            raise UserError("Its Server has no method `plan`.")

    def plan(self, request: JobRequest, settings: Settings, /) -> JobPlan:
        with self._theirs():
            return expected(self.inner.plan(request, settings), JobPlan, self.kind, "plan")

    def checked(self, request: JobRequest, settings: Settings) -> Checked:
        with self._theirs():
            return expected(self.inner.checked(request, settings), Checked, self.kind, "checked")

    def prepared(self, job: Job, request: JobRequest, settings: Settings) -> Work:
        with self._theirs():
            work = expected(self.inner.prepared(job, request, settings), Work, self.kind, "prepared")
            expected(work.plan, JobPlan, self.kind, "prepared, as its plan,")
            return work

    def aside(self, request: JobRequest, settings: Settings, /) -> AsidePlan:
        with self._theirs():
            return expected(self.inner.aside(request, settings), AsidePlan, self.kind, "aside")

    def follow(self, job: Job, request: JobRequest, made: Sequence[Made], /) -> Next | None:
        with self._theirs():
            return following(self.inner.follow(job, request, made), self.kind)

    def steps(self, request: JobRequest, /) -> int:
        with self._theirs():
            return expected(self.inner.steps(request), int, self.kind, "steps")

    def keep(self, work: Work, picture: Pictured, /) -> SavedPicture:
        if self._lacks("keep"):
            raise ExtensionError(self.kind.origin, "Its work makes pictures, but its Server has no method `keep`.")
        with self._theirs():
            return expected(self.inner.keep(work, picture), SavedPicture, self.kind, "keep")

    def answered(self, work: Work, /) -> None:
        with self._theirs():
            self.inner.answered(work)

    def mended(self, work: Work, error: JobError, /) -> bool:
        with self._theirs():
            return bool(self.inner.mended(work, error))

    def over(self, work: Work, /) -> None:
        with self._theirs():
            self.inner.over(work)

    @property
    def lays_out(self) -> bool:
        with fenced(lambda error: log.error("%s of %s: %s", self.kind.name, self.kind.origin, told_of(error))):
            return bool(self.inner.lays_out)
        return False

    def lay_out(self, work: Work, ended: Job, /) -> None:
        with self._theirs():
            self.inner.lay_out(work, ended)

    def clean_up(self) -> None:
        with self._theirs():
            self.inner.clean_up()

    def _lacks(self, method: str) -> bool:
        return getattr(type(self.inner), method) is getattr(JobServer, method)

    @contextmanager
    def _theirs(self) -> Iterator[None]:
        try:
            yield
        except WebuiError:
            raise
        except (Exception, SystemExit) as error:
            log.warning("The jobs %s of the package %s failed.", self.kind.name, self.kind.origin, exc_info=error)
            said = exited(error) if isinstance(error, SystemExit) else error
            raise ExtensionError(self.kind.origin, told_of(said)) from error


@dataclass(frozen=True)
class JobServers:
    """The servers of all kinds; each is made when it is asked for first."""

    catalog: Catalog
    settings: SettingsStore
    version: str

    @cached_property
    def _all(self) -> dict[str, KindServer]:
        found: dict[str, KindServer] = {}
        for kind in registry.job_kinds():
            if not kind.origin:
                found[kind.name] = self._made(kind)
                continue
            with fenced(partial(self._note, kind)):
                found[kind.name] = self._made(kind)
        return found

    def _made(self, kind: JobKind) -> KindServer:
        made: KindServer = registry.resolved(kind.server)(self.catalog, self.settings, self.version)
        return FencedServer(self.catalog, self.settings, self.version, kind, made) if kind.origin else made

    def _note(self, kind: JobKind, error: Exception) -> None:
        """A package's kind cannot be used."""
        log.warning("The jobs %s of the package %s cannot be used.", kind.name, kind.origin, exc_info=error)
        self.catalog.problems.noted(KIND, problem_with(kind.origin, f"jobs {kind.name}", error))

    def of(self, kind: str) -> KindServer:
        """That of the kind of this name.

        Raises:
            ExtensionError: its package is broken.
        """
        found = self._all.get(kind)
        if found is None:
            raise ExtensionError(registry.job_kind(kind).origin, f"its jobs {kind!r} cannot be used.")
        return found

    def clean_up(self) -> None:
        """At start: remove what jobs of an earlier run have left behind."""
        for name, server in self._all.items():
            kind = registry.job_kind(name)
            if not kind.origin:
                server.clean_up()
                continue
            with fenced(partial(self._note, kind)):
                server.clean_up()
