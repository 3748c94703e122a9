"""A1111's names for jobs: the client's `force_task_id`, or `task(...)`."""

from __future__ import annotations

import threading
from collections import OrderedDict

REMEMBERED = 1000


class Tasks:
    """Task name -> job id, of the latest calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, str] = OrderedDict()
        self.skipped: tuple[str, int] = ("", 0)
        """The job of which a batch was given up last, and that batch, from 0."""

    def add(self, task: str, job_id: str) -> None:
        with self._lock:
            self._jobs[task[:200]] = job_id
            self._jobs.move_to_end(task[:200])
            while len(self._jobs) > REMEMBERED:
                self._jobs.popitem(last=False)

    def job_of(self, task: str) -> str | None:
        """The job of a task; None for one that is unknown, or was long ago."""
        with self._lock:
            return self._jobs.get(task)

    def name_of(self, job_id: str) -> str:
        """The task of a job."""
        with self._lock:
            return next((task for task, known in self._jobs.items() if known == job_id), f"task({job_id})")
