"""What the server does around such a job: the new file is taken in, what a merge cut off has left is removed."""

from __future__ import annotations

import logging
from pathlib import Path

from webui.base.errors import NotFound, StorageError
from webui.catalog.job_table import ENDED
from webui.jobs.merge.request import PART, Merge, MergePlan, part_of, resolve_merge
from webui.request.settings import Settings
from webui.server.jobs.job import Job
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)


class Server(JobServer[Merge, MergePlan]):
    def plan(self, request: Merge, _settings: Settings, /) -> MergePlan:
        return resolve_merge(request, self.catalog, self.catalog.paths.new_checkpoints)

    def prepared(self, job: Job, request: Merge, settings: Settings) -> Work:
        self._hold_checkpoint()
        return super().prepared(job, request, settings)

    def _hold_checkpoint(self) -> None:
        """Who never chose a checkpoint has the first one; it must not be another one because a new file comes first."""
        if not self.settings.current.render.sd_model_checkpoint:
            try:
                first = self.catalog.checkpoints.find("").title
                self.settings.change(
                    {"sd_model_checkpoint": first}, only_if={"sd_model_checkpoint": ""}, by_program=True
                )
            except StorageError as error:
                log.warning("The current checkpoint could not be saved to the settings: %s", error)

    def answered(self, _work: Work, /) -> None:
        self.catalog.checkpoints.refresh()
        self.catalog.checkpoints.hash_in_background()

    def over(self, work: Work, /) -> None:
        assert isinstance(work.plan, MergePlan)
        _remove_part(Path(work.plan.folder), work.job.id)

    def clean_up(self) -> None:
        """The files of all jobs that ended with the program; another program's are left alone."""
        folder = self.catalog.paths.new_checkpoints
        for part in folder.glob(PART.format("*")):
            job_id = part.name.removeprefix(PART.partition("{")[0]).removesuffix(PART.partition("}")[2])
            try:
                if self.catalog.jobs.get(job_id).state in ENDED:
                    _remove_part(folder, job_id)
            except NotFound:
                continue


def _remove_part(folder: Path, job_id: str) -> None:
    """The file that a job did not complete, if there is one."""
    part = part_of(folder, job_id)
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", part, error)
