"""What of diffusers this program uses, as types: its own are not followed, since to a type checker its top level is a
set of stand-ins without attributes, and reading all of it takes a minute. Names with _ are not there at run time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, overload

import torch
from diffusers import pipelines as pipelines
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

__version__: str

class _Config(Mapping[str, Any]):
    def __getattr__(self, name: str) -> Any: ...
    def __getitem__(self, name: str) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

class ModelMixin(nn.Module):
    config: _Config
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def to(self, *where: Any, **how: Any) -> Self: ...
    def compile_repeated_blocks(self, **options: Any) -> None: ...
    def enable_xformers_memory_efficient_attention(self) -> None: ...
    def save_pretrained(self, folder: object) -> None: ...
    def enable_gradient_checkpointing(self) -> None: ...

class _Block(nn.Module):
    resnets: Sequence[ResnetBlock2D]
    attentions: nn.ModuleList
    downsamplers: nn.ModuleList | None
    upsamplers: nn.ModuleList | None

class _Blocks(nn.ModuleList):
    def __iter__(self) -> Iterator[_Block]: ...
    @overload
    def __getitem__(self, idx: slice) -> _Blocks: ...
    @overload
    def __getitem__(self, idx: int) -> _Block: ...

class _Convolution(nn.Conv2d):
    weight: Tensor
    bias: Tensor

class UNet2DConditionModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    def set_attention_slice(self, size: str | int) -> None: ...
    def set_attn_processor(self, processor: object) -> None: ...
    conv_in: nn.Conv2d
    conv_out: nn.Conv2d
    time_proj: nn.Module
    time_embedding: nn.Module
    add_embedding: nn.Module
    down_blocks: _Blocks
    mid_block: nn.Module
    up_blocks: _Blocks

class ControlNetUnionModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    controlnet_cond_embedding: nn.Module
    controlnet_down_blocks: Sequence[nn.Conv2d]
    controlnet_mid_block: nn.Conv2d

class ControlNetModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    @classmethod
    def from_unet(cls, unet: UNet2DConditionModel, *, load_weights_from_unet: bool = True) -> Self: ...
    conv_in: nn.Conv2d
    down_blocks: _Blocks
    mid_block: nn.Module
    controlnet_cond_embedding: nn.Module
    controlnet_down_blocks: Sequence[nn.Conv2d]
    controlnet_mid_block: nn.Conv2d

class SD3Transformer2DModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...

class FluxTransformer2DModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...

class SD3ControlNetModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    pos_embed: nn.Module | None
    context_embedder: nn.Module | None

class FluxControlNetModel(ModelMixin):
    def __init__(self, **config: Any) -> None: ...

class _DiagonalGaussian:
    mean: Tensor
    std: Tensor
    var: Tensor
    logvar: Tensor
    def sample(self, generator: torch.Generator | None = None) -> Tensor: ...
    def mode(self) -> Tensor: ...
    def kl(self) -> Tensor: ...

class _Encoded:
    latent_dist: _DiagonalGaussian

class _Decoded:
    sample: Tensor

class _Coder(nn.Module):
    """A VAE's encoder or decoder."""

    conv_in: _Convolution
    conv_out: _Convolution
    conv_norm_out: nn.GroupNorm
    down_blocks: _Blocks
    up_blocks: _Blocks
    mid_block: nn.Module

class AutoencoderKL(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    encoder: _Coder
    decoder: _Coder
    quant_conv: _Convolution  # None where the configuration has none
    post_quant_conv: _Convolution
    use_tiling: bool
    tile_sample_min_size: int
    tile_latent_min_size: int
    tile_overlap_factor: float
    def encode(self, pixels: Tensor) -> _Encoded: ...
    @overload
    def decode(self, latents: Tensor) -> _Decoded: ...
    @overload
    def decode(self, latents: Tensor, return_dict: Literal[False]) -> tuple[Tensor]: ...
    def enable_tiling(self) -> None: ...
    def disable_tiling(self) -> None: ...

class AutoencoderTiny(ModelMixin):
    def __init__(self, **config: Any) -> None: ...
    encoder: nn.Module
    decoder: nn.Module

class DiffusionPipeline:
    config: _Config
    components: dict[str, Any]
    def __call__(self, **options: Any) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...
    @classmethod
    def from_pretrained(cls, folder: object, **options: Any) -> Self: ...
    def to(self, *where: object) -> Self: ...

class StableDiffusionPipeline(DiffusionPipeline):
    def __init__(self, **parts: Any) -> None: ...

class StableDiffusionXLPipeline(DiffusionPipeline):
    def __init__(self, **parts: Any) -> None: ...

class EulerDiscreteScheduler:
    def __init__(self, **options: Any) -> None: ...

class AutoPipelineForImage2Image:
    @classmethod
    def from_pipe(cls, pipeline: Any, **options: Any) -> Any: ...

class AutoPipelineForInpainting:
    @classmethod
    def from_pipe(cls, pipeline: Any, **options: Any) -> Any: ...
