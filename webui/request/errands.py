"""What a job's plan is when no picture comes of it but a text: a model was merged, a picture was described."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Errand:
    """The one piece of work in it."""

    position: int = 0
    seed: int = -1
    subseed: int = -1


@dataclass(frozen=True, kw_only=True)
class ErrandPlan:
    """A job for the engine, like `Plan`."""

    batches: tuple[tuple[Errand, ...], ...] = ((Errand(),),)

    @property
    def count(self) -> int:
        """Pieces of work."""
        return 1

    @property
    def model(self) -> str:
        """No checkpoint is needed to make pictures with."""
        return ""

    def only(self, _positions: Iterable[int]) -> Self:
        """It is not divided."""
        return self

    def at(self, _position: int) -> Errand:
        return self.batches[0][0]
