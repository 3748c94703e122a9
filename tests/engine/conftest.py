"""A small real model on the CPU, and what runs plans on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from webui import registry
from webui.base.errors import NotFound, did_you_mean
from webui.catalog.image_files import size_of
from webui.engine.conditioning import TextCache
from webui.engine.generate import Tools, pictures
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.registry import PIXEL_UPSCALERS
from webui.request.cutting import INCLUDED, Cutting, Edge
from webui.request.engine_options import EngineOptions
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Event, LivePreviews, Pictured, Progress
from webui.request.model_ref import ModelRef
from webui.request.plan import CheckpointRef, NetworkRef, Plan, UpscalerRef, resolve
from webui.request.settings import Settings

SMALL: dict[str, object] = {"width": 64, "height": 64, "steps": 3, "seed": 7, "sampler_name": "Euler a"}
"""A request that takes a second."""
OPTIONS = EngineOptions(device="cpu", no_half=True, threads=1)


def reference(path: Path) -> CheckpointRef:
    config = path.with_suffix(".yaml")
    return CheckpointRef(str(path), path.name, path.stem, config=str(config) if config.exists() else "")


@dataclass
class Names:
    """One checkpoint, and pictures by name."""

    ref: CheckpointRef
    images: Mapping[str, bytes] = field(default_factory=dict)
    networks: Mapping[str, NetworkRef] = field(default_factory=dict)
    restorers: Mapping[str, Path] = field(default_factory=dict, kw_only=True)

    def checkpoint(self, name: str) -> CheckpointRef:
        return self.ref

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        return None

    def styled(self, prompt: str, negative: str, styles: tuple[str, ...]) -> tuple[str, str]:
        return prompt, negative

    def picture(self, name: str) -> bytes:
        return self.images[name]

    def picture_size(self, name: str) -> tuple[int, int]:
        return size_of(self.images[name])

    def network(self, kind: str, name: str) -> NetworkRef | None:
        return self.networks.get(name)

    def block_weights(self, name: str) -> str:
        return ",".join(["0"] * 25 + ["1"]) if name == "MINE" else ""

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        if name not in PIXEL_UPSCALERS:
            raise NotFound(
                f"There is no upscaler named {name!r}.", hint=did_you_mean(name, PIXEL_UPSCALERS), field=field
            )
        return UpscalerRef(name)

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        return Cutting(INCLUDED, edge)

    def restorer(self, name: str, field: str = "") -> ModelRef:
        if name in self.restorers:
            return ModelRef(str(self.restorers[name]), name)
        entry = next((each for each in registry.restorers() if each.name.casefold() == name.casefold()), None)
        if entry is None:
            raise NotFound("There is no face restorer.", field=field)
        return ModelRef("", entry.name)


@dataclass
class Engine:
    """What the worker does with a plan, without a process around it."""

    models: ModelManager
    ref: CheckpointRef
    cache: TextCache = field(default_factory=TextCache)
    shelf: EmbeddingShelf = field(default_factory=EmbeddingShelf)
    events: list[Event] = field(default_factory=list)
    networks: Mapping[str, NetworkRef] = field(default_factory=dict)

    def plan(self, request: Txt2Img | Img2Img, images: Mapping[str, bytes] | None = None) -> Plan:
        return resolve(request, Settings(), Names(self.ref, images or {}, self.networks), lambda: 1)

    def run(
        self,
        request: Txt2Img | Img2Img,
        images: Mapping[str, bytes] | None = None,
        *,
        cancel: Cancel | None = None,
        watched: bool = False,
        looks: LivePreviews | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> list[Pictured]:
        plan = self.plan(request, images)
        watch = Watch(
            "job",
            lambda event: (self.events.append(event), on_event(event) if on_event else None)[0],
            cancel or Cancel(),
            Viewing(looks or LivePreviews(watched, 0.0)),
            Stopwatch(torch.device("cpu")),
            batches=len(plan.batches),
            progress_period=0.0,  # every step is told, however fast the machine is
        )
        made = []
        with torch.inference_mode():
            for picture in pictures(
                plan, Tools(self.models, self.cache, self.shelf, watch, residents=self.models.residents)
            ):
                made.append(picture)
        return made


def levels(picture: Pictured) -> np.ndarray:
    """(h, w, 3) int"""
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height, picture.width, 3).astype(int)


def most_apart(one: Pictured, other: Pictured) -> int:
    """The largest difference of any channel, of 255."""
    return int(np.abs(levels(one) - levels(other)).max())


def sampling_steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Progress) and event.phase == "sampling"]


@pytest.fixture(scope="session")
def models() -> Iterator[ModelManager]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield ModelManager(profile_of(OPTIONS), limit=2, budget=2**32)
    torch.set_num_threads(before)


@pytest.fixture
def engine(models: ModelManager, tiny_checkpoint: Path) -> Engine:
    return Engine(models, reference(tiny_checkpoint))
