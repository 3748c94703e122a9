"""Every other model of diffusers, run as a whole by diffusers' own pipeline: a folder with `model_index.json`.

Such a model walks by its own scheduler and encodes its own prompts. It is asked for pictures, never for one step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn

from webui.base.errors import UserError
from webui.engine.families import flow_model, sd1, sdxl
from webui.engine.families.components import Components
from webui.engine.families.family import Family, Placement, Prepared, Task, WholeMaker
from webui.engine.families.ldm import VAE_PLANES, parameter_bytes
from webui.engine.families.pipeline_folder import pipeline_class
from webui.engine.families.typed import Pipeline
from webui.engine.families.weights import LEFT_OUT, WeightsFile, variant_of
from webui.request import capabilities

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

DENOISERS = ("transformer", "unet", "prior", "decoder")
"""What pipelines call the network that they ask at each step."""


@dataclass(eq=False)
class PipelineModel:
    """See `families.family.Model` and `WholeMaker`."""

    pipeline: Pipeline
    family: Family
    placement: Placement
    _sisters: dict[Task, Pipeline] = field(default_factory=dict)

    @property
    def picture_maker(self) -> None:
        return None

    @property
    def whole_maker(self) -> WholeMaker:
        return self

    def of(self, task: Task) -> Pipeline:
        if task == "txt2img":
            return self.pipeline
        if task not in self._sisters:
            from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting  # imports a hundred pipelines

            auto = AutoPipelineForImage2Image if task == "img2img" else AutoPipelineForInpainting
            try:
                self._sisters[task] = _placed(auto.from_pipe(self.pipeline), self.placement)
            except ValueError as error:
                raise UserError(
                    f"{self.name} has no {task} in diffusers.", hint="Use txt2img, or another checkpoint."
                ) from error
        return self._sisters[task]

    @property
    def name(self) -> str:
        return type(self.pipeline).__name__.removesuffix("Pipeline")

    @property
    def multiple(self) -> int:
        processor = getattr(self.pipeline, "image_processor", None)
        factor = int(getattr(processor.config, "vae_scale_factor", 8)) if processor is not None else 8
        config: Mapping[str, Any] = getattr(next(iter(self.denoisers), None), "config", {})
        patch = config.get("patch_size", 1)
        scale = getattr(self.pipeline, "vae_scale_factor", 8)
        return max(factor, int(scale) * (patch if isinstance(patch, int) else 1))

    @property
    def denoisers(self) -> list[nn.Module]:
        parts = self.parts
        return [parts[name] for name in DENOISERS if name in parts]

    @property
    def latent_rgb(self) -> tuple[tuple[float, float, float], ...]:
        config = getattr(getattr(self.pipeline, "vae", None), "config", {})
        channels = config.get("latent_channels", 0)
        if channels == len(sd1.PREVIEW):
            return sdxl.PREVIEW if config.get("scaling_factor") == sdxl.SCALE else sd1.PREVIEW
        return flow_model.PREVIEW if channels == len(flow_model.PREVIEW) else ()

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {name: part for name, part in self.pipeline.components.items() if isinstance(part, nn.Module)}

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def nbytes(self) -> int:
        return parameter_bytes(*self.parts.values())

    @property
    def vae_nbytes(self) -> int:
        return parameter_bytes(*(part for name, part in self.parts.items() if name == "vae"))

    @property
    def vae_bytes_per_pixel(self) -> int:
        vae = self.parts.get("vae")
        config: Mapping[str, Any] = getattr(vae, "config", {})
        widths = config.get("block_out_channels") or config.get("decoder_block_out_channels") or (128,)
        return VAE_PLANES * int(widths[0]) * next((p.element_size() for p in vae.parameters()), 2) if vae else 0

    def with_vae(self, file: WeightsFile) -> PipelineModel:  # noqa: ARG002
        """Itself: the pipeline has its own VAE, whatever file is chosen."""
        return self

    def to(self, device: torch.device) -> None:
        if self.placement.offload == "none":
            self.pipeline.to(device)

    def arrange(self, *, offload: str, attention: str, vae_way: str) -> None:
        """Nothing: it lies as it was loaded."""


def fitting(pipeline: Pipeline, wished: Mapping[str, object]) -> dict[str, object]:
    """Those of the arguments that this pipeline takes."""
    taken = inspect.signature(pipeline.__call__).parameters
    return {name: value for name, value in wished.items() if name in taken}


@contextmanager
def interruptible(model: WholeMaker, check: Callable[[], None]) -> Iterator[None]:
    """`check` is called before each call of the network, and before each of its blocks."""
    blocks = list(model.denoisers)
    for network in model.denoisers:
        blocks += [block for group in network.children() if isinstance(group, nn.ModuleList) for block in group]
    hooks = [block.register_forward_pre_hook(lambda _module, _args: check()) for block in blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def spatial(pipeline: Pipeline, latents: Tensor, width: int, height: int) -> Tensor | None:
    """Latents of a step as (b, c, h, w); None where they lie in a way that we do not know."""
    unpack = getattr(pipeline, "_unpack_latents", None)
    if latents.ndim == 3 and unpack is not None:
        try:
            latents = unpack(latents, height, width, getattr(pipeline, "vae_scale_factor", 8))
        except (TypeError, RuntimeError):
            return None
    if latents.ndim == 5:
        latents = latents[:, :, 0]
    return latents if latents.ndim == 4 else None


# ---------------------------------------------------------------- loading


def detect(file: WeightsFile) -> bool:
    """Any folder."""
    return file.path.is_dir()


def prepare(file: WeightsFile, _components: Components) -> Prepared:
    """Raises ModelError: it names what we do not run, or lacks a part."""
    cls = pipeline_class(file)

    def load(_vae: WeightsFile, placement: Placement) -> PipelineModel:
        return PipelineModel(load_pipeline(file, cls, placement), DIFFUSERS, placement)

    return load


def load_pipeline(
    file: WeightsFile, cls: type[DiffusionPipeline], placement: Placement, **parts: nn.Module
) -> Pipeline:
    """The pipeline of an opened folder; `parts` stand for those of these names in it. Raises ModelError."""
    dtype, vae_dtype = (wide(wanted, placement.device) for wanted in (placement.dtype, placement.vae_dtype))
    diffusers_logging.disable_progress_bar()
    left_out: dict[str, object] = {part: None for part in LEFT_OUT if part in file.config}
    if "requires_safety_checker" in file.config:
        left_out["requires_safety_checker"] = False
    try:
        pipeline = cls.from_pretrained(
            str(file.path),
            dtype={"default": dtype, "vae": vae_dtype},
            local_files_only=True,
            use_safetensors=True,
            variant=variant_of(file.path),
            **left_out,
            **parts,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error).lower():
            raise
        raise file.error(
            f"diffusers says: {first_line(error)}", "Check that every file of the download is there."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    if placement.rest.type == "cpu":
        _own(pipeline)
    return _placed(pipeline, placement)


def wide(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """These networks were trained in bfloat16; many leave float16's range."""
    if dtype != torch.float16 or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
        return dtype
    return torch.bfloat16


def _own(pipeline: Pipeline) -> None:
    """Weights copied out of the mapped files: a file that is overwritten would change or crash the model."""
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.requires_grad_(False)
            for tensor in (*part.parameters(), *part.buffers()):
                tensor.data = tensor.data.clone()


def _placed(pipeline: Pipeline, placement: Placement) -> Pipeline:
    """The pipeline's networks where they shall be, or coming when they are needed."""
    pipeline.set_progress_bar_config(disable=True)
    if placement.offload == "low":
        pipeline.enable_sequential_cpu_offload(device=placement.device)
    elif placement.offload == "medium":
        pipeline.enable_model_cpu_offload(device=placement.device)
    else:
        pipeline.to(placement.device)
    return pipeline


def first_line(error: Exception) -> str:
    """Of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


DIFFUSERS = Family(capabilities.DIFFUSERS, detect, prepare)
