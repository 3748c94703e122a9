"""What merges that were cut off have left on the disk."""

from __future__ import annotations

import logging
from pathlib import Path

from webui.base.errors import NotFound
from webui.catalog.job_table import ENDED, JobTable
from webui.request.merge import PART, part_of

log = logging.getLogger(__name__)


def remove_part(folder: str | Path, job_id: str) -> None:
    """Of a job that is over: the file that it did not complete, if there is one."""
    part = part_of(folder, job_id)
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", part, error)


def remove_parts(folder: Path, table: JobTable) -> None:
    """Of all jobs that ended with the program; another program's are left alone."""
    for part in folder.glob(PART.format("*")):
        job_id = part.name.removeprefix(PART.partition("{")[0]).removesuffix(PART.partition("}")[2])
        try:
            if table.get(job_id).state in ENDED:
                remove_part(folder, job_id)
        except NotFound:
            continue
