"""A folder's pictures described one after the other. What has been written stays, whatever comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from webui.base.errors import ModelError, OutOfMemory, StorageError, UserError
from webui.base.files import write_atomically
from webui.catalog.batch_pictures import caption_in, content_of
from webui.catalog.image_files import pixels_of, size_of
from webui.engine.describers.described import described
from webui.engine.house import House
from webui.jobs.caption.request import Captioned, CaptionPlan
from webui.request.captions import KEEP, joined
from webui.request.messages import Answered, Saved

NAMED = 5
"""So many pictures that could not be described are named."""


@dataclass(frozen=True)
class Tally:
    """What has come of the pictures so far."""

    written: int = 0
    kept: int = 0
    failed: int = 0
    faults: tuple[str, ...] = field(default_factory=tuple)
    """Of the first of those: which, and why."""

    @property
    def done(self) -> int:
        return self.written + self.kept + self.failed

    @property
    def words(self) -> str:
        """For people."""
        parts = [f"{self.written} caption{'' if self.written == 1 else 's'} written"]
        parts += [f"{self.kept} kept"] if self.kept else []
        parts += [f"{self.failed} failed"] if self.failed else []
        more = " ..." if self.failed > len(self.faults) else ""
        return "; ".join((", ".join(parts), *self.faults)) + more

    def with_fault(self, name: str, reason: str) -> Tally:
        faults = (*self.faults, f"{name}: {reason}")[:NAMED]
        return replace(self, failed=self.failed + 1, faults=faults)


def work(plan: CaptionPlan, house: House) -> Iterator[Saved | Answered]:
    """How many captions were written, after the last one.

    Raises:
        Interrupted: the user stopped it; what was written stays.
        ModelError: the model's files are broken.
        StorageError: a text file cannot be written.
    """
    tally = _tally(house.state.newest)
    house.watch.batches = len(plan.pictures)
    for one in plan.pictures[tally.done :]:
        house.watch.begin_batch(tally.done)
        house.watch.check()
        tally = _captioned(one, plan, house, tally)
        content = json.dumps(asdict(tally))
        yield house.saved(lambda path, content=content: path.write_text(content))  # type: ignore[misc]
    yield Answered(house.watch.job_id, tally.words)


def _captioned(one: Captioned, plan: CaptionPlan, house: House, tally: Tally) -> Tally:
    text = Path(one.text)
    if plan.existing == KEEP and text.exists():
        return replace(tally, kept=tally.kept + 1)
    existing = caption_in(text)
    try:
        content = content_of(Path(one.picture))
        wide, high = size_of(content)
        if wide * high > plan.most_pixels:
            return tally.with_fault(one.name, f"It has {wide}x{high} pixels, which is too large.")
        picture = pixels_of(content)
        words = described(picture, plan.way, house.residents, house.watch)
    except (ModelError, OutOfMemory):
        raise
    except (UserError, StorageError) as error:
        return tally.with_fault(one.name, error.message)
    write_atomically(text, joined(existing, words, plan.existing).encode())
    return replace(tally, written=tally.written + 1)


def _tally(point: Path | None) -> Tally:
    """What had come of them when the job was taken up before."""
    if point is None:
        return Tally()
    told = json.loads(point.read_text("utf-8"))
    return Tally(told["written"], told["kept"], told["failed"], tuple(told["faults"]))
