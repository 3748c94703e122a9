"""What jobs keep until they end: a folder each."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from webui.base.errors import NotFound
from webui.base.files import write_atomically
from webui.base.resume_points import ResumePoints
from webui.catalog.image_files import picture_of

log = logging.getLogger(__name__)

_PICTURE = re.compile(r"[0-9a-f]{64}")
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

    def keep_picture(self, job_id: str, width: int, height: int, rgb: bytes, alpha: bytes = b"") -> str:
        """Keep a picture without loss until the job ends -> its name, as requests refer to pictures: its hash.

        Raises:
            StorageError: it cannot be written.
        """
        stream = io.BytesIO()
        picture_of(width, height, rgb, alpha).save(stream, "PNG", compress_level=1)
        name = hashlib.sha256(stream.getvalue()).hexdigest()
        write_atomically(self._pictures(job_id) / name, stream.getvalue())
        return name

    def has_picture(self, job_id: str, name: str) -> bool:
        return bool(_PICTURE.fullmatch(name)) and (self._pictures(job_id) / name).is_file()

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a picture that some job keeps.

        Raises:
            NotFound: none keeps one of this name.
        """
        for job_id in self.all():
            if self.has_picture(job_id, name):
                return (self._pictures(job_id) / name).read_bytes()
        raise NotFound(f"There is no picture {name[:80]!r}.")

    def _pictures(self, job_id: str) -> Path:
        return self.of(job_id) / "pictures"

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
