"""A loaded checkpoint of the latent diffusion line: one UNet, one VAE, and the text encoders that its family has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
from torch import Tensor, nn

from webui.base.errors import UserError
from webui.engine.families import ldm
from webui.engine.families.family import (
    Conditioning,
    Draw,
    Encoded,
    Family,
    LatentFormat,
    PictureMaker,
    Placement,
    TextOptions,
    vae_names,
    without_vae,
)
from webui.engine.families.fused_attention import fuse, unfuse
from webui.engine.families.graphs import Graphs, Inputs, cuda_recorder
from webui.engine.families.staging import Staging, offload_of
from webui.engine.families.storage import stored_in_fp8
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Process

RESIDUAL = "residual "
WITHIN = "within "
"""What the inputs of the network call what control networks add to it, with a number behind."""


class TextEncoders(Protocol):
    """The text encoders of a family."""

    @property
    def parts(self) -> Mapping[str, nn.Module]: ...
    def encode(
        self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]
    ) -> list[Encoded]: ...


@dataclass(eq=False)
class LdmModel:
    """See `families.family.PictureMaker`."""

    unet: ModelMixin
    """The network that denoises: a UNet, or a transformer in its place."""
    text: TextEncoders
    vae: AutoencoderKL
    process: Process
    scale: float | Tensor
    """Of the latents: their standard deviation over the training pictures becomes 1. A number for all channels, or
    (1, c, 1, 1)."""
    preview: tuple[tuple[float, float, float], ...]
    family: Family
    placement: Placement
    numbers: int = 0
    """How many numbers stand behind the pooled text in a conditioning's vector (SDXL, Flux)."""
    preview_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: float | Tensor = 0.0
    """The mean of the latents before they are scaled, like `scale`."""
    depth_network: Callable[[Tensor], Tensor] | None = None
    """Of depth checkpoints; pixels (b, 3, h, w) in -1..1 -> (b, 1, h', w')."""

    def __post_init__(self) -> None:
        if self.placement.fp8_storage:
            stored_in_fp8(self.unet, self.placement.dtype, exact=self.placement.keep_exact)
        self.staging = Staging(self.parts, self.placement)
        self._fuse()
        is_compiled = any(module._compiled_call_impl is not None for module in self.unet.modules())
        if self.placement.compiled and not is_compiled:
            self.unet.compile_repeated_blocks(dynamic=True)

    @property
    def picture_maker(self) -> PictureMaker:
        return self

    @property
    def whole_maker(self) -> None:
        return None

    @property
    def is_told_guidance(self) -> bool:
        return self._guidance_width > 0

    def _fuse(self) -> None:
        """On a GPU, where calls cost more than sums: fewer of them. Not where the weights come and go."""
        placement = self.placement
        rests = placement.offload == "none" and placement.attention == "sdpa" and not placement.fp8_storage
        if placement.device.type in ("cuda", "xpu") and isinstance(self.unet, UNet2DConditionModel):
            (fuse if rests else unfuse)(self.unet)

    @property
    def _guidance_width(self) -> int:
        """Of the embedding in which the UNet is told the guidance scale; 0: it is not."""
        return int(getattr(self.unet.config, "time_cond_proj_dim", None) or 0)

    @cached_property
    def graphs(self) -> Graphs | None:
        """Recordings of the network's calls, where such are wished for."""
        return Graphs(cuda_recorder(self.placement.device)) if self.placement.graphs else None

    def steady(self) -> AbstractContextManager[None]:
        placement = self.placement
        lies_still = placement.offload == "none" and placement.attention == "sdpa" and not placement.compiled
        if self.graphs is None or not lies_still or placement.fp8_storage:
            return nullcontext()
        return self.graphs.steady(self.unet)

    def arrange(self, *, offload: str, attention: str, vae_way: str) -> None:
        if attention != self.placement.attention and isinstance(self.unet, UNet2DConditionModel):
            ldm.with_attention(self.unet, attention, self.placement.sub_quadratic)
        if offload != self.staging.offload:
            self.staging.arrange(offload)
        self.placement = replace(self.placement, offload=offload, attention=attention, vae_way=vae_way)
        self._fuse()

    @cached_property
    def latent(self) -> LatentFormat:
        levels = len(self.vae.config.block_out_channels)
        return LatentFormat(self.vae.config.latent_channels, 2 ** (levels - 1), self.preview, self.preview_bias)

    @property
    def input_channels(self) -> int:
        return int(self.unet.config.in_channels)

    @property
    def device(self) -> torch.device:
        return self.placement.device

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"unet": self.unet, **self.text.parts, "vae": self.vae}

    @property
    def nbytes(self) -> int:
        return ldm.parameter_bytes(*self.parts.values())

    @property
    def vae_nbytes(self) -> int:
        return ldm.parameter_bytes(self.vae)

    def predict(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        self.staging.use("unet")
        if conditioning.concat is not None:
            x = torch.cat([x, conditioning.concat], dim=1)
        dtype = self.placement.dtype
        vector, guidance = conditioning.vector, None
        if width := self._guidance_width:
            if vector is None:
                raise ValueError("This network needs the guidance scale as an input.")
            guidance = ldm.guidance_embedding(vector[:, -1] - 1, width).to(dtype)
            vector = vector[:, :-1] if vector.shape[1] > 1 else None
        pooled = 0 if vector is None else vector.shape[1] - self.numbers
        inputs: dict[str, Tensor | None] = {
            "x": x.to(dtype),
            "t": t,
            "tokens": conditioning.tokens.to(dtype),
            "text_embeds": None if vector is None else vector[:, :pooled].to(dtype),
            "time_ids": None if vector is None else vector[:, pooled:],
            "guidance": guidance,
        }
        for number, residual in enumerate(conditioning.residuals):
            inputs[f"{RESIDUAL}{number}"] = residual.to(dtype)
        for number, inner in enumerate(conditioning.within):
            inputs[f"{WITHIN}{number}"] = inner.to(dtype)
        output = self._called(inputs) if self.graphs is None else self.graphs(self._called, inputs)
        return output.float()

    def _called(self, inputs: Inputs) -> Tensor:
        told = {name: inputs[name] for name in ("text_embeds", "time_ids")}
        residuals, within = _under(inputs, RESIDUAL), _under(inputs, WITHIN)
        output: Tensor = self.unet(
            inputs["x"],
            inputs["t"],
            inputs["tokens"],
            timestep_cond=inputs["guidance"],
            added_cond_kwargs=told if told["time_ids"] is not None else None,
            down_block_additional_residuals=tuple(residuals[:-1]) or None,
            mid_block_additional_residual=residuals[-1] if residuals else None,
            down_intrablock_additional_residuals=within or None,
            return_dict=False,
        )[0]
        return output

    def depth(self, pixels: Tensor) -> Tensor:
        if self.depth_network is None:
            raise UserError(
                "This checkpoint needs a depth network, and none was found.",
                hint="Put the folder of a depth network (such as Intel/dpt-hybrid-midas) into models/depth.",
            )
        return self.depth_network(pixels)

    def encode_prompts(
        self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]
    ) -> list[Encoded]:
        self.staging.use(*self.text.parts)
        encoded = self.text.encode(texts, options, embeddings)
        if not self._guidance_width:
            return encoded
        scale = encoded[0].tokens.new_tensor([options.distilled_guidance])
        return [
            replace(one, vector=scale if one.vector is None else torch.cat([one.vector, scale.to(one.vector.dtype)]))
            for one in encoded
        ]

    @property
    def vae_bytes_per_pixel(self) -> int:
        width: int = self.vae.config.block_out_channels[0]
        return ldm.VAE_PLANES * width * int(self.vae.dtype.itemsize)

    def encode_image(
        self, pixels: Tensor, *, scaled: bool = True, tiled: bool = False, noise: Draw | None = None
    ) -> Tensor:
        self.staging.use("vae")
        ldm.set_tiling(self.vae, tiled)
        posterior = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        latents: Tensor = posterior.mean
        if noise is not None:
            latents = latents + posterior.std * noise(latents.shape).to(latents.device)
        if scaled:
            latents = (latents - _beside(self.shift, latents)) * _beside(self.scale, latents)
        return latents.to(pixels.device, torch.float32)

    def decode(self, latents: Tensor, *, tiled: bool = False) -> Tensor:
        self.staging.use("vae")
        ldm.set_tiling(self.vae, tiled)
        unscaled = latents / _beside(self.scale, latents) + _beside(self.shift, latents)
        unscaled = unscaled.to(self.vae.device, self.vae.dtype)
        pixels: Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return pixels.to(latents.device, torch.float32)

    @contextmanager
    def vae_on_host(self) -> Iterator[None]:
        device, dtype = self.vae.device, self.vae.dtype
        staged = self.staging.parts.pop("vae", None)
        self.vae.to("cpu", torch.float32)
        try:
            yield
        finally:
            self.vae.to(device, dtype)
            if staged is not None:
                self.staging.parts["vae"] = staged

    def widen_vae(self, dtype: torch.dtype = torch.float32) -> bool:
        if self.vae.dtype in (dtype, torch.float32):
            return False
        self.vae.to(dtype)
        return True

    def with_vae(self, file: WeightsFile) -> LdmModel:
        vae = load_vae(file, self.placement)
        other = replace(self, vae=vae)
        ours, theirs = self.latent, other.latent
        if theirs.channels != ours.channels:
            raise file.error(f"it is a VAE for {theirs.channels} channels", "It belongs to another family.")
        if theirs.factor != ours.factor:
            size = f"{theirs.factor}x{theirs.factor}"
            raise file.error(f"it is a VAE for latents of {size} pixels", "It belongs to another family.")
        return other

    def to(self, device: torch.device) -> None:
        back = device == self.placement.device
        if back and self.placement.offload != "none":
            return  # each part comes when it is used
        if not back and isinstance(self.unet, UNet2DConditionModel):
            unfuse(self.unet)
        for part in self.parts.values():
            if not offload_of(part):
                part.to(device)
        if back:
            self._fuse()


def _beside(number: float | Tensor, latents: Tensor) -> float | Tensor:
    """Where the latents are, and as exact."""
    return number.to(latents) if isinstance(number, Tensor) else number


@dataclass(frozen=True, eq=False)
class PreparedUnet:
    """A UNet without weights, and where they are."""

    unet: UNet2DConditionModel
    names: Mapping[str, str]
    file: WeightsFile

    @classmethod
    def of(cls, file: WeightsFile, *, heads: int | None, head_width: int | None) -> PreparedUnet:
        """By the file's shapes. Raises ModelError: it is not complete."""
        config = ldm.unet_config(file, heads=heads, head_width=head_width)
        unet, names = ldm.build_unet(config), ldm.unet_names(file, config)
        ldm.check_complete(unet, names, file, "UNet")
        return cls(unet, names, file)

    def load(self, placement: Placement) -> UNet2DConditionModel:
        """With its weights."""
        # a GPU's half-precision convolutions want channels innermost; on a CPU the UNet gains nothing by it
        innermost = "" if placement.device.type == "cuda" else None
        ldm.fill(self.unet, self.names, self.file, placement.rest, placement.dtype, channels_last=innermost)
        return ldm.for_any_size(ldm.with_attention(self.unet, placement.attention, placement.sub_quadratic))


def load_vae(file: WeightsFile, placement: Placement) -> AutoencoderKL:
    """The VAE of a checkpoint or VAE file. Raises ModelError: there is none."""
    names = vae_names(file)
    if not names:
        raise without_vae(file)
    return ldm.load_vae(file, names, placement.rest, placement.vae_dtype)


def _under(inputs: Inputs, mark: str) -> list[Tensor | None]:
    """The inputs of one kind, in their order."""
    return [value for name, value in inputs.items() if name.startswith(mark)]
