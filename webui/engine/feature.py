"""All places where a feature can act in the engine, in the order in which a batch meets them. The base does nothing.

A feature's `engine.py` has a class `Engine`, one instance of which lives as long as a batch: what passes of a batch
share lies in it. It begins a `PassFeature` for each pass in which it has an effect. Hooks are functions from value to
value, and all features stand in the registry's order: what an earlier one makes of a value, a later one is given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import ClassVar, Generic, NamedTuple, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from webui.engine.batch import Batch, Denoised, Facts, InitPicture, Loaded, Pass, Services, Start
from webui.engine.denoisers import Ask, Clock, Guidance, Prediction, Prompted, Source
from webui.engine.inpaint import Overlay
from webui.engine.sampling.process import Process
from webui.engine.sampling.sigma_schedule import SigmaSchedule
from webui.engine.sampling.types import Denoiser
from webui.engine.watch import Watch
from webui.features.feature import FeatureParams
from webui.request.messages import ExtraPicture

P = TypeVar("P", bound=FeatureParams)


@dataclass(frozen=True, eq=False)
class PassContext:
    """All that a feature may know of a pass that begins."""

    batch: Batch
    this: Pass
    loaded: Loaded
    services: Services
    process: Process
    guidance: Guidance
    way: SigmaSchedule
    """The noise levels of the pass."""
    noise: Tensor
    """What is drawn to begin with: (b, c, h, w)."""
    clock: Clock
    enter: Callable[[Loaded], Prompted]
    """Brings another model into the pass: every feature acts on it, too, and it reads the pass's texts."""

    @cached_property
    def stream(self) -> torch.Generator:
        """What features draw from in this pass, one after the other; on the CPU.

        A1111: torch's generator of the process, which the first noise has left at the seed of the batch's last picture.
        """
        return torch.Generator().manual_seed(self.batch.seeds[-1])


class Further(NamedTuple):
    """A pass after a pass, and the model that walks it."""

    this: Pass
    loaded: Loaded


@dataclass(frozen=True, eq=False)
class FinishedPicture:
    """A picture after decoding."""

    picture: Image.Image
    """As the features before have left it."""
    decoded: Image.Image
    """As it was decoded."""
    index: int
    """Of the batch."""
    batch: Batch
    services: Services
    latent: Tensor = field(default_factory=partial(torch.empty, 0))
    """(c, h, w); empty where a pipeline has run the model as a whole, or an earlier engine has made the picture."""
    start: Start | None = None
    given: InitPicture | None = None
    """What img2img began with."""
    overlay: Overlay | None = None
    """What lies over the result in the end."""
    mask: Image.Image | None = None
    """White where the result shows."""
    extras: tuple[ExtraPicture, ...] = ()

    @property
    def watch(self) -> Watch:
        return self.services.watch

    @property
    def is_last(self) -> bool:
        """No picture of the job comes after it."""
        batch, plan = self.batch.pictures, self.services.plan
        return plan is not None and batch is plan.batches[-1] and self.index == len(batch) - 1


class PassFeature:
    """What a feature does in one pass."""

    @property
    def bends(self) -> bool:
        """Whether its `patch` changes what the network answers in this pass, although the feature mostly leaves it
        alone (`FeatureParams.touches`)."""
        return False

    def enter(self, loaded: Loaded) -> None:
        """A model enters the pass (the first one, or a refiner), before it reads the texts: LoRA."""

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        """Bends the model's networks for the length of the pass, and leaves them exactly as they were."""
        return nullcontext()

    def network(self, source: Source) -> Source:
        """Which network, with its texts, answers at which noise level: the refiner."""
        return source

    def predict(self, ask: Ask) -> Ask:
        """Around each call of the network."""
        return ask

    def guide(self, prediction: Prediction) -> Tensor:
        """Between the network's answers and x0, in each call of the denoiser -> x0."""
        return prediction.x0

    def denoise(self, denoise: Denoiser) -> Denoiser:
        """Around the guided denoiser: masks, soft inpainting, the film."""
        return denoise

    def first(self, x: Tensor) -> Tensor:
        """What the walk begins with: (b, c, h, w)."""
        return x

    def walk(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Around the whole walk of the sampler -> latents (b, c, h, w)."""
        return run


class FeatureEngine(Generic[P]):
    """What a feature does for one batch."""

    borrows: ClassVar[bool] = False
    """Its `finish` makes pictures of its own (`Services.made`), so that the models of the passes are given back before:
    all pictures of the batch are decoded first. They are kept on the disk then, so that an engine that ends over it
    costs nothing that was there: the next one begins with this `finish`, and has made no passes."""

    def __init__(self, params: P, unit: int = 0) -> None:
        self.params = params
        self.unit = unit
        """Which one it is of a feature that may act several times at once, from 0."""

    def unsay(self, facts: Facts) -> None:
        """It had no effect, whatever was asked for: the infotext says nothing of it."""
        for label in self.params.written_labels(self.unit):
            facts.note(label, "")

    def say(self, facts: Facts) -> None:
        """It had an effect, though it may have had none on the batch's picture before."""
        for label in self.params.written_labels(self.unit):
            if facts.noted.get(label) == "":
                facts.noted.pop(label)

    @property
    def keeps_given(self) -> bool:
        """img2img makes no passes: the picture that it is given is what `finish` begins with, as large as it is."""
        return False

    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        """Patches a VAE for the length of the batch, and leaves it exactly as it was."""
        return nullcontext()

    def given(self, picture: Image.Image, services: Services) -> Image.Image:
        """The whole picture that img2img begins with, RGB, before it is fitted to the size of the pass."""
        return picture

    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        """Changes a pass before it begins: its size, texts, start."""
        return this

    def begin(self, context: PassContext) -> PassFeature | None:
        """Once a pass; None: it has no effect in this one."""
        return None

    def then(self, last: Denoised, this: Pass, loaded: Loaded, batch: Batch, services: Services) -> Further | None:
        """A further pass after the one that `loaded` began: hires."""
        return None

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        """Once a picture, after it was decoded: faces, colours, what lies outside the mask."""
        return finished


def has(feature: PassFeature, hook: Callable[..., object]) -> bool:
    """Whether a feature has a hook of its own; `hook` is that of the base class, `PassFeature.guide`."""
    return getattr(type(feature), hook.__name__) is not hook
