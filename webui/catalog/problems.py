"""What is broken among the things that people put into folders, as it was at the last look at each."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from webui.base.fence import Problem

MOST_NOTED = 50


class Problems:
    """Problems by the folder or file that they were found in. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Problem, ...]] = {}

    def found(self, place: str, problems: Iterable[Problem]) -> None:
        """A look at this place has found these, and no others."""
        with self._lock:
            self._known[place] = tuple(dict.fromkeys(problems))

    def noted(self, place: str, problem: Problem) -> None:
        """Found beside what the last look at this place has found; of many the latest are kept."""
        with self._lock:
            known = self._known.get(f"{place}: noted", ())
            self._known[f"{place}: noted"] = (*(each for each in known if each != problem), problem)[-MOST_NOTED:]

    def all(self) -> tuple[Problem, ...]:
        """Every one, by kind and name."""
        with self._lock:
            known = [problem for problems in self._known.values() for problem in problems]
        return tuple(sorted(dict.fromkeys(known), key=lambda problem: (problem.kind, problem.name, problem.reason)))
