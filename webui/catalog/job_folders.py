"""What jobs keep until they end: a folder each."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from webui.base.resume_points import ResumePoints

log = logging.getLogger(__name__)

CLOCK_GRAIN = 0.01
"""Seconds by which a file may seem older than it is: file systems' clocks tick more slowly than the program's."""


class JobFolders:
    """Any thread may call any method."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, job_id: str) -> Path:
        """Where this job keeps things; who writes there makes it."""
        return self._root / job_id

    def points(self, job_id: str) -> ResumePoints:
        """Where its work in the engine can go on."""
        return ResumePoints(self.of(job_id) / "points")

    def has_changed_since(self, job_id: str, moment: float) -> bool:
        """Whether anything was kept for this job after this time, in seconds since 1970."""
        for folder, _, names in os.walk(self.of(job_id)):
            for name in names:
                try:
                    if (Path(folder) / name).stat().st_mtime >= moment - CLOCK_GRAIN:
                        return True
                except OSError:
                    continue  # It has just gone.
        return False

    def forget(self, job_id: str) -> None:
        """The job is over: what it kept goes."""
        try:
            shutil.rmtree(self.of(job_id))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.of(job_id), error)

    def all(self) -> Iterator[str]:
        """Ids of the jobs that keep something."""
        try:
            yield from [folder.name for folder in self._root.iterdir()]
        except OSError:
            return
