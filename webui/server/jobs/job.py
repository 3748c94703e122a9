"""A job as everybody sees it: a frozen record, and the message that the page gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from webui.base.owners import ANONYMOUS
from webui.catalog.grid import is_sheet
from webui.catalog.job_table import ENDED, State
from webui.request import infotext
from webui.request.jobs import JobRequest
from webui.request.messages import MemoryUse

PHASES = {
    "waiting": "Waiting",
    "loading": "Loading the model",
    "encoding": "Reading the prompt",
    "sampling": "Sampling",
    "hires": "Hires. fix",
    "decoding": "Decoding",
    "upscaling": "Upscaling",
    "merging": "Merging",
    "describing": "Describing",
    "working": "Working",
}
"""What the engine is doing, in words for people."""


def user_name(owner: str) -> str:
    """The login name of an owner, or "" for an anonymous one."""
    return "" if owner.startswith(ANONYMOUS) else owner


@dataclass(frozen=True)
class JobPicture:
    """A finished picture of a job."""

    id: str
    position: int
    width: int
    height: int
    seed: int
    subseed: int
    infotext: str
    saved: bool = True
    """Not while it waits in memory, since it could not be written."""
    extras: tuple[str, ...] = ()
    """Names of the pictures that come with it: "0-mask.png"."""
    replaces: str = ""
    """The id of the picture that it takes the place of, when it is that one made larger; or ""."""
    gone: bool = False
    """Its file has been deleted."""

    @property
    def message(self) -> dict[str, object]:
        return {
            "id": self.id,
            "position": self.position,
            "width": self.width,
            "height": self.height,
            "seed": self.seed,
            "infotext": self.infotext,
            "marks": infotext.marks(self.infotext),
            "saved": self.saved,
            "url": f"internal/pictures/{self.id}",
            "thumb_url": f"internal/pictures/{self.id}/thumbnail",
            "replaces": self.replaces,
            "gone": self.gone,
            "extras": [
                {"name": name, "url": f"internal/pictures/{self.id}/extra/{name}", "sheet": is_sheet(name)}
                for name in self.extras
            ],
        }


@dataclass(frozen=True)
class JobError:
    """Why a job failed, in a sentence, and what to do."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True)
class Progressed:
    """How far a running job is."""

    fraction: float = 0.0
    """Of the whole job, 0 to 1."""
    text: str = ""
    step: int = 0
    steps: int = 0
    batch: int = 0
    batches: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True)
class Job:
    """A job at one moment."""

    id: str
    kind: str
    """ "txt2img", "img2img", "extras", ... """
    owner: str
    state: State
    request: JobRequest
    count: int
    """How many pictures were asked for."""
    pictures: tuple[JobPicture, ...] = ()
    error: JobError | None = None
    comments: tuple[str, ...] = ()
    answer: str = ""
    """What came of a job without pictures: a description, the name of a merged checkpoint."""
    position: int = 0
    """Place among the waiting jobs, from 1; 0: does not wait."""
    progress: Progressed = Progressed()
    seed: int = -1
    subseed: int = -1
    called: bool = False
    """An API call waits for its pictures."""
    created: float = 0.0
    """Seconds since 1970, like the other times."""
    started: float | None = None
    finished: float | None = None
    memory: MemoryUse | None = None
    """What it took of a device's memory, where that is known."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def message(self, *, mine: bool) -> dict[str, object]:
        """What the event stream says of the job; of somebody else's only that it is there."""
        shown = {
            "id": self.id,
            "kind": self.kind,
            "tab": self.kind,
            "state": self.state,
            "position": self.position,
            "progress": 1.0 if self.state == "done" else round(self.progress.fraction, 4),
            "text": self.progress.text,
            "step": self.progress.step,
            "steps": self.progress.steps,
            "batch": self.progress.batch,
            "batches": self.progress.batches,
            "eta_seconds": self.progress.eta_seconds,
            "count": self.count,
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
            "mine": mine,
            "pictures": [],
            "comments": [],
            "answer": "",
            "error": None,
        }
        if not mine:
            return shown
        error = (
            {"code": self.error.code, "message": self.error.message, "hint": self.error.hint} if self.error else None
        )
        return shown | {
            "prompt": self.request.title,
            "masked": bool(getattr(self.request, "mask", "")),
            "seed": self.seed,
            "pictures": [picture.message for picture in self.pictures],
            "comments": list(self.comments),
            "answer": self.answer,
            "error": error,
            "memory": None if self.memory is None else asdict(self.memory),
        }
