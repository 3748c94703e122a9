"""What is denoised together: a batch, its passes, and the noise that they begin with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from PIL import Image
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.conditioning import TextCache, Timeline
from webui.engine.families.family import Model, PictureMaker
from webui.engine.inpaint import Box, Overlay
from webui.engine.networks.embeddings import Embedding
from webui.engine.networks.patches import Patches
from webui.engine.previews import Pixels, Previewer
from webui.engine.residents import Residents
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.types import GeneratorKind
from webui.engine.upscalers.resize import Enlarge, plain
from webui.engine.watch import Watch
from webui.prompt.networks import NetworkTag
from webui.registry import SamplerEntry, ScheduleEntry
from webui.request.capabilities import Capability, Role
from webui.request.fields import Generation
from webui.request.messages import Phase
from webui.request.plan import CheckpointRef, NetworkRef, Picture, Plan
from webui.request.settings import RenderSettings

Refs = Mapping[tuple[str, str], NetworkRef]
"""Files by (kind, name) of tags."""


@dataclass
class Facts:
    """What the infotext shall say beyond the request: noted by the code that knows it had an effect."""

    noted: dict[str, str] = field(default_factory=dict)

    def note(self, label: str, value: object) -> None:
        self.noted[label] = str(value)


M_co = TypeVar("M_co", bound=Model, covariant=True)


@dataclass(frozen=True, eq=False)
class Lent(Generic[M_co]):
    """A model on loan, and what it is known by."""

    model: M_co
    ref: CheckpointRef
    key: Hashable
    patches: Patches = field(default_factory=Patches)
    """The networks that are active in it."""
    memory: str = ""
    """How it lies in memory, where that costs something: a sentence."""


Loaded = Lent[PictureMaker]
"""What passes work with."""


def stepwise(lent: Lent[Model]) -> Loaded:
    """
    Raises:
        UserError: the model is run as a whole.
    """
    maker = lent.model.picture_maker
    if maker is None:
        raise UserError(f"{lent.ref.name} {Capability.STEPS.value}.", hint="Choose another checkpoint.")
    return Loaded(maker, lent.ref, lent.key, lent.patches, lent.memory)


class LendPartner(Protocol):
    """Lends another checkpoint for the rest of the batch."""

    def __call__(self, checkpoint: CheckpointRef, role: Role, *, latents: bool = True) -> Loaded:
        """latents: it is given those of the first as they are.

        Raises UserError: it cannot go on with what the first has begun.
        """


def _nothing_to_lend(checkpoint: CheckpointRef, role: Role, *, latents: bool = True) -> Loaded:  # noqa: ARG001
    raise UserError(f"{checkpoint.name} cannot be lent here.", field=role.field)


def _nothing_made(_inner: Plan, _picture: Image.Image, _mask: Image.Image | None, _seed: int) -> Image.Image:
    raise UserError("Pictures cannot be made within a picture here.")


@dataclass(frozen=True, eq=False)
class Services:
    """What a batch is made with besides its plan."""

    watch: Watch
    cache: TextCache
    embeddings: Mapping[str, Embedding]
    previewer: Callable[[PictureMaker], Previewer]
    sketched: Callable[[PictureMaker], Pixels] | None = None
    """Makes pictures of latents as previews do; None: nothing does."""
    plan: Plan | None = None
    """What the batch belongs to."""
    lend: LendPartner = _nothing_to_lend
    networks: Refs = field(default_factory=dict)
    """Files of the tags in prompts."""
    made: Callable[[Plan, Image.Image, Image.Image | None, int], Image.Image] = _nothing_made
    """Carries out an inner plan (`Resolving.plan`) with a picture to begin with, a mask that is white where it may
    change, or None, and a seed -> RGB. For `finish` alone, of a feature that `borrows`."""
    residents: Residents | None = None
    """Lends models of every kind beside the checkpoints."""
    enlargers: Mapping[str, Enlarge] = field(default_factory=plain)
    """What enlarges pixels, by the name in the request."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures that are denoised together: alike but for seeds and prompts."""

    pictures: tuple[Picture, ...]
    facts: Facts = field(default_factory=Facts)

    @property
    def request(self) -> Generation:
        return self.pictures[0].request

    @property
    def render(self) -> RenderSettings:
        return self.pictures[0].render

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(picture.seed for picture in self.pictures)

    @cached_property
    def posteriors(self) -> tuple[torch.Generator | None, ...]:
        """What each picture's latents are drawn with where the VAE encodes; None: the mean is taken.

        A1111: torch's generator of the process, on the CPU whatever the device, which the first noise has left at the
        picture's seed; in img2img still at that of the picture before, which is taken for the same. NVIDIA's numbers
        leave it as it was.
        """
        if self.render.randn_source == "NV":
            return (None,) * len(self.seeds)
        return tuple(torch.Generator().manual_seed(seed) for seed in self.seeds)


Beside = Callable[[PictureMaker], Tensor | None]
"""What a checkpoint with more input channels than its latents have sees beside them: (b, c', h, w). None: it sees
nothing else. Asked of each that enters a pass, so that any may take over from any."""


def nothing_beside(_model: PictureMaker) -> None:
    """For `Beside`."""


@dataclass(frozen=True, eq=False)
class InitPicture:
    """A given picture as the job needs it, in pixels."""

    picture: Image.Image
    """RGB, what is encoded."""
    overlay: Overlay | None = None
    whole: Image.Image | None = None
    """Before it was cropped to the mask and filled."""
    box: Box | None = None
    """Only masked: the part that is made anew."""
    mask: Image.Image | None = None
    """At the size of `whole`."""


@dataclass(frozen=True, eq=False)
class Start:
    """What img2img begins with, in latent space."""

    latents: Tensor
    """(b, c, h, w)"""
    mask: Tensor | None = None
    """1 where the picture may change; broadcasts to the latents."""
    givens: tuple[InitPicture, ...] = ()
    """One a picture of the batch."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One walk of the sampler over a batch."""

    phase: Phase
    share: tuple[float, float]
    """The part of the batch's work, 0 to 1."""
    sampler: SamplerEntry
    schedule: ScheduleEntry
    steps: int
    """Of the schedule."""
    t_enc: int | None
    """`img2img_steps`' second number; None: begins with noise alone."""
    cfg_scale: float
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    timeline: Timeline
    size: tuple[int, int]
    """(width, height) in pixels, as asked for."""
    networks: tuple[NetworkTag, ...] = ()
    """Tags of the first picture's prompt, and of the settings. A1111: they hold for the whole batch."""
    tagged: tuple[str, ...] = ()
    """The positive texts, still with their tags."""
    start: Start | None = None
    beside: Beside = nothing_beside
    keeps: bool = True
    """What lies outside the start's mask is kept as it is; a feature that does so in its own way sets it False."""

    @property
    def walked(self) -> int:
        return self.steps if self.t_enc is None else self.t_enc + 1


class Denoised(NamedTuple):
    """What a pass made, and who shall decode it."""

    latents: Tensor
    """(b, c, h, w)"""
    loaded: Loaded
    """A1111: the model that answered last, so that a refiner's VAE decodes what it refined."""
    whole: bool
    """Not when it was stopped halfway: what the latents would have become, as the model saw it last."""
    until: float
    """The share of the batch's work that is done then."""


def noise_of(
    batch: Batch,
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    factor: int = 8,
    seeds: tuple[int, ...] | None = None,
    varied: bool = True,
) -> ImageNoise:
    """The batch's generators of noise for latents of this shape (c, h, w); without variation where not `varied`.

    factor: pixels along a side of what one latent stands for.
    """
    request, render = batch.request, batch.render
    kind: GeneratorKind = "CPU" if render.randn_source == "CPU" else "NV"
    resized = varied and request.seed_resize_from_h > 0 and request.seed_resize_from_w > 0
    return ImageNoise(
        kind,
        seeds or batch.seeds,
        shape,
        subseeds=tuple(picture.subseed for picture in batch.pictures),
        subseed_strength=request.subseed_strength if varied else 0.0,
        resize_from=(request.seed_resize_from_h // factor, request.seed_resize_from_w // factor) if resized else None,
        ensd=render.eta_noise_seed_delta if varied else 0,
        device=device,
    )
