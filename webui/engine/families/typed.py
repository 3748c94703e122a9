"""What this program uses of diffusers' pipelines, with types: diffusers makes their classes by names in files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from PIL import Image


class PipelineOutput(Protocol):
    """What a pipeline answers."""

    @property
    def images(self) -> Sequence[Image.Image]: ...


class Pipeline(Protocol):
    """A `diffusers.DiffusionPipeline`; which arguments it takes, its own signature says."""

    @property
    def scheduler(self) -> object: ...
    @property
    def components(self) -> dict[str, object]:
        """Networks, tokenizers and the scheduler by their names."""
        ...

    def __call__(self, **arguments: object) -> PipelineOutput: ...
    def to(self, device: torch.device) -> object: ...
    def set_progress_bar_config(self, *, disable: bool) -> None: ...
    def enable_model_cpu_offload(self, *, device: torch.device) -> None:
        """Its networks come to the device one after the other."""

    def enable_sequential_cpu_offload(self, *, device: torch.device) -> None:
        """Its networks come to the device layer by layer."""
