"""A job in work: what of it is made, what an engine is making, what waits for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from webui.request.jobs import JobPlan, JobRequest, Piece
from webui.request.settings import Settings
from webui.scripts.script import Table
from webui.server.jobs.job import Job, JobError

if TYPE_CHECKING:
    from webui.server.jobs.flows import FlowState


@dataclass
class Chunk:
    """The part of a job that one engine makes at a time."""

    batches: tuple[tuple[Piece, ...], ...]
    crashes: int = 0
    """Engines that ended over it since its last finished picture, or resume point."""
    lean: bool = False
    """One of them for want of memory."""
    fraction: float = 0.0
    """How far it is, 0 to 1."""
    begun_at: int = 0
    """How far its resume points had come when an engine took it up (`ResumePoints.reached`)."""

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    @property
    def positions(self) -> frozenset[int]:
        """Of its pictures within the job."""
        return frozenset(picture.position for batch in self.batches for picture in batch)

    def without(self, done: Iterable[int]) -> Chunk:
        """What is left to do. A batch that is partly there is made again as a whole, since a picture's last bits may
        depend on its neighbours."""
        there = set(done)
        left = tuple(batch for batch in self.batches if any(picture.position not in there for picture in batch))
        return Chunk(left, self.crashes, self.lean, begun_at=self.begun_at)


@dataclass
class Work:
    """Belongs to the queue's thread, but for `job`, which is replaced as a whole, and the two wishes."""

    job: Job
    settings: Settings
    plan: JobPlan
    requests: tuple[JobRequest, ...]
    """What was asked for: of a job with a script, in each of its cells."""
    table: Table | None = None
    """Of a job with a script whose requests are known from the first."""
    flow: FlowState | None = None
    """Of a job whose next request needs what has come of the last: `plan` is that of the request in work."""
    waiting: deque[Chunk] = field(default_factory=deque)
    settled: int = 0
    """Pictures that no engine needs to be asked for any more."""
    sampling_since: float | None = None
    resumed: bool = False
    """Begun by an earlier engine: its pace says nothing."""
    interrupts: int = 0
    cancelled: bool = False
    stopped: bool = False
    """An engine has given up its part because of a wish."""
    comments: list[str] = field(default_factory=list)
    failure: JobError | None = None
    """Why a cell of its table could not be made."""

    @property
    def done(self) -> frozenset[int]:
        """Positions of the pictures that are there."""
        if self.flow is not None:
            return self.flow.positions
        return frozenset(picture.position for picture in self.job.pictures)

    def divide(self, engines: int) -> None:
        """Lay out what is missing: part by part for one engine, picture by picture for several, who each take the next
        one when they are ready for it."""
        rest = Chunk(self.plan.batches).without(self.done)
        if engines > 1:
            rest = Chunk(tuple((p,) for batch in rest.batches for p in batch if p.position not in self.done))
            self.waiting = deque(Chunk((batch,)) for batch in rest.batches)
        else:
            parts = (Chunk(part.batches).without(self.done) for part in self.plan.parts)
            self.waiting = deque(part for part in parts if part.batches)
        self.settled = self.plan.count - rest.count
        self.resumed = self.settled > 0

    @property
    def size(self) -> float:
        """How much there is to do, as the estimate counts it."""
        once = sum(request.effort for request in self.requests)
        return once * self.flow.steps if self.flow is not None else once

    def fraction(self, chunks: Iterable[Chunk]) -> float:
        """How far the job is, 0 to 1, while engines make these chunks of it."""
        made = self.settled + sum(chunk.count * chunk.fraction for chunk in chunks)
        fraction = min(max(made / max(self.plan.count, 1), 0.0), 1.0)
        return self.flow.fraction(fraction) if self.flow is not None else fraction
