"""The whole protocol between the server and an engine process: plain frozen data in both directions.

Nothing here may assume a pipe, a shared disk or a process number, so that an engine may one day run elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from webui.request.engine_options import Attention
from webui.request.jobs import AsidePlan, JobPlan
from webui.request.plan import CheckpointRef
from webui.request.poses import Poses

# --- commands to the engine ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """Make these pictures."""

    job_id: str
    plan: JobPlan
    lean: bool = False
    """In the way that needs the least memory: an engine ran out of it over them and was ended."""
    half_done: bool = False
    """Pictures that are stopped halfway are given as they are then."""
    state: str = ""
    """The folder in which the job's resume points lie."""


@dataclass(frozen=True)
class Interrupt:
    """Stop the job: at the next call of the network, or (`after_current`) when the pictures in work are finished."""

    job_id: str
    after_current: bool = False


@dataclass(frozen=True)
class Skip:
    """Give up the batch in work and go on with the next one of the same job."""

    job_id: str


@dataclass(frozen=True)
class Others:
    """Whether shorter jobs wait: a long one gives them the device at its next resume point."""

    waiting: bool


PreviewFormat = Literal["jpeg", "png", "webp"]
PreviewSubject = Literal["Combined", "Prompt", "Negative prompt"]


@dataclass(frozen=True)
class LivePreviews:
    """Whether anybody looks: previews are made only then, at most one in `period` seconds."""

    watched: bool = False
    period: float = 1.0
    method: str = "Approx cheap"
    every: int = 1
    """At most one in so many steps; -1: when the batch has been sampled."""
    subject: PreviewSubject = "Combined"
    """What is shown: the guided prediction, or that by one of the prompts."""
    format: PreviewFormat = "jpeg"
    whole_batch: bool = True
    """All pictures of the batch on a sheet, not the first alone."""
    full_anyway: bool = False
    """The method "Full" also where parts of the model wait outside the device."""
    fast_interrupt: bool = False
    """What is stopped halfway and given out is decoded by `method`."""


@dataclass(frozen=True)
class Preload:
    """Load this checkpoint now, so that the first picture does not wait."""

    checkpoint: CheckpointRef
    vae: CheckpointRef | None = None


@dataclass(frozen=True)
class Prefetch:
    """This file will be wanted next: read it into the system's cache meanwhile."""

    path: str


@dataclass(frozen=True)
class Unload:
    """Put models away and give the memory back."""

    part: str = ""
    """What is put away, as the memory panel calls it, such as "tagger"; "": everything."""


MemoryWish = Literal["", "none", "medium", "low", "leaf"]


@dataclass(frozen=True)
class Configure:
    """How many models may stay resident, in how many bytes (0: half of what is free)."""

    resident_limit: int
    budget_bytes: int
    memory_profile: MemoryWish = ""
    """How models shall lie in memory, where no flag says so: "none", "medium", "low", "leaf"; "": as suits."""
    attention: Attention = ""
    """How attention is computed; "": as flags say, or as suits."""


@dataclass(frozen=True)
class Aside:
    """Do this beside the job in work, without the device. What a key has asked for before and is not begun yet is
    replaced."""

    key: str
    number: int
    """Comes back with the answer."""
    plan: AsidePlan | None
    """None: nobody waits for it any more."""


@dataclass(frozen=True)
class Shutdown:
    """End the process."""


Command = Run | Interrupt | Skip | Others | LivePreviews | Preload | Prefetch | Unload | Configure | Aside | Shutdown

# --- events from the engine ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DeviceInfo:
    """What the engine runs on, for people and for `/sdapi/v1/memory`."""

    device: str
    """ "cuda:0", "mps", "xpu:0", "cpu" """
    name: str
    dtype: str
    attention: str
    torch: str
    total_bytes: int = 0
    devices: int = 1
    """How many of its kind the machine has."""


@dataclass(frozen=True)
class Ready:
    """The engine has started."""

    info: DeviceInfo


@dataclass(frozen=True)
class PartUse:
    """What a part of a model takes in memory."""

    model: str
    """Its title: a checkpoint's, or another model's."""
    part: str
    """"unet", "text", "vae" ... of a checkpoint; of others the kind: "upscaler"."""
    nbytes: int
    device: str
    """Where it is now."""


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life with the memory in use, in bytes."""

    ram_used: int = 0
    vram_used: int = 0
    vram_total: int = 0
    resident: tuple[str, ...] = ()
    """Titles of the checkpoints in memory."""
    parts: tuple[PartUse, ...] = ()
    """What all models in memory take, of whatever kind."""
    profile: str = ""
    """How the model that was used last lies in memory: a sentence."""
    stuck: float = 0.0
    """Seconds that the working thread has not moved, where that is longer than it may take; 0 while all is well."""

    @property
    def loaded(self) -> tuple[object, ...]:
        """What people are told when it changes."""
        return self.resident, self.parts, self.profile


@dataclass(frozen=True)
class Loading:
    """A model is being loaded; `title` is "" when that is over."""

    title: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Preloaded:
    """The answer to a Preload: it is in memory; or `failure` says why it cannot be."""

    checkpoint: str
    """Path; and so is `vae`, "" for the checkpoint's own."""
    vae: str = ""
    failure: str = ""


Phase = Literal[
    "waiting", "loading", "encoding", "sampling", "hires", "decoding", "upscaling", "merging", "describing", "working"
]


@dataclass(frozen=True)
class Progress:
    """Where the job stands. `step` of `steps` of the pass in work; `fraction` of the whole job, 0 to 1.

    part: which of several things is worked on, as people read it: "face 3 of 60". seconds_left: how long these things
    still take, judged by those that are done; None: nothing is known.
    """

    job_id: str
    phase: Phase
    step: int
    steps: int
    batch: int
    batches: int
    fraction: float
    part: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class Preview:
    """A small picture of the batch in work, as a file."""

    job_id: str
    number: int
    content: bytes = field(repr=False)
    format: PreviewFormat = "jpeg"


@dataclass(frozen=True)
class ExtraPicture:
    """A picture that comes with a result and is no result of its own, such as its mask: a whole file."""

    name: str
    """Lower-case words with hyphens: "mask"."""
    kind: Literal["png", "jpg", "webp", "avif"]
    content: bytes = field(repr=False)
    shown: bool = True
    """It comes along on the page and over the API."""
    saved: bool = False
    """It is written beside the result."""


@dataclass(frozen=True)
class Pictured:
    """A finished picture: 8-bit RGB rows from the top, and what the infotext shall say beyond the request."""

    job_id: str
    position: int
    width: int
    height: int
    rgb: bytes = field(repr=False)
    facts: tuple[tuple[str, str], ...] = ()
    """(infotext label, value), such as ("NGMS", "2.5")."""
    comments: tuple[str, ...] = ()
    """Remarks for the person, such as "Lora not found: x"."""
    extras: tuple[ExtraPicture, ...] = ()
    half_done: bool = False
    """It was stopped halfway: what it would have become, as far as could be seen."""
    alpha: bytes = field(default=b"", repr=False)
    """Opacity, a byte a pixel, in rows like `rgb`; empty: it is opaque."""
    caption: str = ""
    """What it shows, in words, where that was asked for."""


@dataclass(frozen=True)
class Answered:
    """What came of a job without pictures: a description, the name of the new file."""

    job_id: str
    text: str


@dataclass(frozen=True)
class Saved:
    """A resume point is on the disk: whatever happens, the job goes on from there."""

    job_id: str
    name: str
    """Of the file in `Run.state`."""


@dataclass(frozen=True)
class Yielded:
    """The job has given up the device at a resume point, since others wait. It is not over."""

    job_id: str


@dataclass(frozen=True)
class MemoryUse:
    """What a job took of the device's memory at its peak, in bytes."""

    active: int
    """In tensors."""
    reserved: int
    """By this process."""
    used: int
    """By all processes, as the system tells."""
    total: int
    """That the device has."""


@dataclass(frozen=True)
class Finished:
    """The job is over; `interrupted` when the user ended it. All pictures came before."""

    job_id: str
    interrupted: bool = False
    sampling_seconds: float = 0.0
    network_seconds: float = 0.0
    """Time inside the UNet and the VAE alone: the overhead is what is between the two."""
    memory: MemoryUse | None = None
    """None: what the device does not tell."""


@dataclass(frozen=True)
class Failed:
    """The job cannot be done. The engine is well and takes the next one."""

    job_id: str
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class AsidePicture:
    """A small picture of what would be made."""

    width: int
    """In pixels, of what would be made; and so is `height`."""
    height: int
    webp: bytes = field(repr=False)
    """A whole file."""
    is_grey: bool = False
    """All of its channels are the same one."""


@dataclass(frozen=True)
class AsideResult:
    """What has come of an `AsidePlan`."""

    pictures: tuple[AsidePicture, ...] = ()
    comments: tuple[str, ...] = ()
    """Remarks for the person, on what is not seen."""
    poses: Poses | None = None
    """Of people that were found."""


@dataclass(frozen=True)
class AsideDone:
    """The answer to an Aside: its result, or why there is none."""

    key: str
    number: int
    result: AsideResult | None = None
    code: str = ""
    """As in `Failed`, and so are `message` and `hint`."""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Broken:
    """The code of an installed package has failed."""

    package: str
    what: str
    """The part of it that failed."""
    reason: str


Event = (
    Broken
    | Ready
    | Heartbeat
    | Loading
    | Preloaded
    | Progress
    | Preview
    | Pictured
    | Answered
    | AsideDone
    | Saved
    | Yielded
    | Finished
    | Failed
)

EVENT_MODULES = frozenset((__name__, Poses.__module__))
"""Where the classes of all events and of their values are defined: an engine's pipe is read with no others."""
