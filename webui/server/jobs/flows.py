"""Jobs whose next request needs what has come of the last one: what they remember, and how they go on."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from webui.base.errors import UserError
from webui.base.files import write_atomically
from webui.base.json_values import Json, as_list, as_object
from webui.catalog.job_folders import JobFolders
from webui.request.foreign_values import as_number
from webui.request.jobs import JobRequest
from webui.request.messages import Pictured
from webui.request.settings import Settings
from webui.scripts.flow import Made, Next
from webui.server.jobs.job import Job
from webui.server.jobs.servers import JobServers
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)

RECORD = "flow.json"


@dataclass
class FlowState:
    """Where the flow of a job in work is."""

    made: list[Made]
    """Of the requests that are done."""
    results: list[int]
    """How many results each of them has given."""
    now: Next
    """What is being made."""
    stage: Work
    """It as a job of its kind."""
    settings: Settings
    """Of the whole job."""
    steps: int
    kept: dict[int, str] = field(default_factory=dict)
    """Names of its pictures so far, by position."""
    answer: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """What the engine said of the first of them."""

    @property
    def positions(self) -> frozenset[int]:
        """Of the pictures of the request in work that are there."""
        return frozenset(self.kept)

    def fraction(self, of_this: float) -> float:
        """How far the whole is, 0 to 1."""
        return min((len(self.made) + of_this) / max(self.steps, 1), 1.0)


class Flows:
    """Belongs to the queue's thread, but for `check`."""

    def __init__(self, servers: JobServers, folders: JobFolders) -> None:
        self._servers = servers
        self._folders = folders

    def check(self, job: Job, request: JobRequest, settings: Settings) -> None:
        """Complains at once of what the first request would fail over, where it is of another kind than the job.

        Raises:
            NotFound, UserError: as `JobServer.plan`.
        """
        first = self._servers.of(request.kind).follow(job, request, ())
        if first is not None and first.request.kind != request.kind:
            self._servers.of(first.request.kind).checked(first.request, settings)

    def begun(self, job: Job, request: JobRequest, settings: Settings) -> Work | None:
        """The job where its flow stands, ready to be handed to an engine; None: it is no flow.

        Raises:
            NotFound, UserError: as `check`; or it says another thing each time that it is asked.
        """
        server = self._servers.of(job.kind)
        if server.follow(job, request, ()) is None:
            return None
        made, results = self._recorded(job.id)
        now = server.follow(job, request, made)
        while now is None:  # All is there but the job's end: the last one is made once more.
            if not made:
                raise UserError(
                    f"This job ({job.kind}) cannot be continued: when its script was asked twice for the next step, "
                    "it gave two different answers.",
                    hint="Run it again. If this happens again, update the script.",
                )
            made.pop(), results.pop()
            now = server.follow(job, request, made)
        stage = self._stage(job, now, settings, sum(results))
        work = Work(job, stage.settings, stage.plan, (request,), comments=[*now.remarks, *stage.comments])
        work.flow = FlowState(made, results, now, stage, settings, server.steps(request))
        return work

    def keep(self, work: Work, picture: Pictured) -> Pictured | None:
        """A picture of the request in work -> it with what the flow says of it, where it is a result. Raises
        StorageError: it cannot be kept."""
        flow = work.flow
        assert flow is not None
        flow.kept[picture.position] = self._folders.keep_picture(
            work.job.id, picture.width, picture.height, picture.rgb, picture.alpha
        )
        flow.facts = flow.facts or picture.facts
        if not flow.now.is_result:
            return None
        return replace(picture, facts=(*picture.facts, *flow.now.labels))

    def go_on(self, work: Work) -> bool:
        """The request in work is through: lay out the next one -> whether there is one.

        Raises:
            StorageError: it cannot be written down how far the job is.
            NotFound, UserError: the next one cannot be made.
        """
        flow, job = work.flow, work.job
        assert flow is not None
        pictures = tuple(flow.kept[each] for each in sorted(flow.kept))
        flow.made.append(Made(pictures, flow.answer, flow.facts))
        flow.results.append(len(flow.kept) if flow.now.is_result else 0)
        record = [{**asdict(one), "results": count} for one, count in zip(flow.made, flow.results, strict=True)]
        write_atomically(self._record(job.id), json.dumps(record).encode())
        following = self._servers.of(job.kind).follow(job, job.request, flow.made)
        if following is None:
            return False
        flow.now, flow.kept, flow.answer, flow.facts = following, {}, "", ()
        flow.stage = self._stage(job, following, flow.settings, sum(flow.results))
        work.plan, work.settings = flow.stage.plan, flow.stage.settings
        work.comments += [each for each in (*following.remarks, *flow.stage.comments) if each not in work.comments]
        work.divide(1)
        return True

    def _stage(self, job: Job, now: Next, settings: Settings, results: int) -> Work:
        """The request as a job of its kind, whose pictures' positions go on behind those that are there."""
        server = self._servers.of(now.request.kind)
        checked = server.checked(now.request, settings)
        as_job = replace(job, kind=now.request.kind, request=now.request, seed=checked.seed, subseed=checked.subseed)
        stage = server.prepared(as_job, now.request, settings)
        stage.plan = stage.plan.moved(results)
        return stage

    def _record(self, job_id: str) -> Path:
        return self._folders.of(job_id) / RECORD

    def _recorded(self, job_id: str) -> tuple[list[Made], list[int]]:
        """What is written down and still there: of each request, what has come of it and how many results it gave."""
        made: list[Made] = []
        results: list[int] = []
        try:
            content: Json = json.loads(self._record(job_id).read_bytes())
            for one in map(as_object, as_list(content)):
                pictures = tuple(map(str, as_list(one["pictures"])))
                count = as_number(one["results"])
                if count is None:
                    raise ValueError(f"{one['results']!r} is no number of results")
                if not all(self._folders.has_picture(job_id, name) for name in pictures):
                    break
                facts = tuple((str(label), str(text)) for label, text in map(as_list, as_list(one["facts"])))
                made.append(Made(pictures, str(one["answer"]), facts))
                results.append(int(count))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("How far the job %s is cannot be read; it goes on at %d: %s", job_id, len(made), error)
        return made, results
