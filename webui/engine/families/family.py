"""What every model family answers to: the rest of the engine knows no other names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.families.components import Components
from webui.engine.families.others import described, not_ours, piece
from webui.engine.families.typed import Pipeline
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Process
from webui.entry_points import expected
from webui.registry import families, resolved
from webui.request.capabilities import Capabilities, Capability
from webui.request.engine_options import USUAL, SubQuadratic

Draw = Callable[[torch.Size], Tensor]
"""Standard normal numbers of a shape, on the CPU."""


@dataclass(frozen=True)
class LatentFormat:
    """How a family's latents lie: (channels, height / factor, width / factor)."""

    channels: int
    factor: int
    rgb: tuple[tuple[float, float, float], ...]
    """One row a channel: what it adds to red, green and blue in -1..1, for previews."""
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the network is told beside x and t, for a batch: tokens (b, n, width), and what only some families have."""

    tokens: Tensor
    vector: Tensor | None = None
    """(b, v): pooled text, and behind it the numbers that SDXL and Flux are told."""
    concat: Tensor | None = None
    """(b, c', h, w): more channels of the input (inpainting, InstructPix2Pix)."""
    residuals: tuple[Tensor, ...] = ()
    """What control networks add to a UNet: to each of the values that skip from its encoder to its decoder, in the
    order in which they are made, and last to its middle; (b, c, h, w) each."""
    within: tuple[Tensor, ...] = ()
    """What T2I-Adapters add to a UNet: to what leaves each level of its encoder; (b, c, h, w) each."""
    behind: tuple[Tensor, ...] = ()
    """What control networks add to a transformer: to the picture's tokens behind each of its blocks, (b, n, width)
    each; of Flux its double ones."""
    behind_single: tuple[Tensor, ...] = ()
    """Likewise, behind each of Flux's single blocks."""


@dataclass(frozen=True)
class SizeConditioning:
    """What SDXL is conditioned on beside the text, in pixels. Podell et al. 2023, arXiv:2307.01952, section 2.2."""

    height: int = 1024
    width: int = 1024
    crop_top: int = 0
    crop_left: int = 0
    aesthetic_score: float = 6.0
    """The refiner's."""
    is_negative: bool = False


@dataclass(frozen=True)
class TextOptions:
    """The settings that change what a text encoder gives."""

    clip_skip: int = 1
    emphasis: str = "Original"
    comma_backtrack: int = 20
    clip_l_skip: bool = False
    """`clip_skip` acts on SDXL's first tower."""
    old_emphasis: bool = False
    """Brackets weigh as in 2022."""
    size_conditioning: SizeConditioning | None = None
    """For families with size conditioning."""
    distilled_guidance: float = 3.5
    """What Flux is told in the place of guiding it by a negative prompt."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One text, encoded: tokens (n, width)."""

    tokens: Tensor
    vector: Tensor | None = None
    embeddings: tuple[str, ...] = ()
    """Names of the textual inversion embeddings in it, one a use."""
    ends: tuple[int, ...] = ()
    """Behind how many tokens each part between the words `BREAK` ends, where the family knows the word."""
    ids: tuple[int, ...] = ()
    """What each of the tokens was read from, where the family tells: a number of the vocabulary."""


@dataclass(frozen=True)
class Placement:
    """Where a model shall be, and in which precision."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    vae_dtype: torch.dtype = torch.float32
    attention: str = "sdpa"
    """"sdpa", "xformers", "sliced", or one of `webui.request.engine_options.Chunked`."""
    offload: str = "none"
    """"medium": parts take turns on the device; "low", "leaf": the network comes block by block, layer by layer."""
    vae_way: str = "whole"
    """"tiled": it sees pictures in pieces; "host": it works in the host's memory."""
    fp8_storage: bool = False
    """The network's weights are kept in 8 bits."""
    compiled: bool = False
    """The network's transformer blocks are compiled, once for all sizes."""
    keep_exact: bool = False
    """And as they were, in the host's memory: networks are merged into these."""
    graphs: bool = False
    """The network's calls are recorded and replayed, where it lies still."""
    sub_quadratic: SubQuadratic = USUAL
    """How attention is cut where it is that."""

    @property
    def rest(self) -> torch.device:
        """Where weights are loaded to."""
        return self.device if self.offload == "none" and not self.fp8_storage else torch.device("cpu")


class Model(Protocol):
    """A loaded checkpoint: what holds weights. It makes pictures in one of two ways."""

    @property
    def family(self) -> Family: ...
    @property
    def picture_maker(self) -> PictureMaker | None:
        """The model where it is asked step by step; None: `whole_maker` makes its pictures."""
        ...

    @property
    def whole_maker(self) -> WholeMaker | None: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The networks: "unet", "vae"; text encoders: "text" (CLIP, or SD2's OpenCLIP), "text_2" (SDXL's second)."""
        ...

    @property
    def nbytes(self) -> int:
        """Of all weights."""
        ...

    @property
    def vae_nbytes(self) -> int: ...
    @property
    def vae_bytes_per_pixel(self) -> int:
        """What the VAE needs at most beside its weights, for each pixel of a picture."""
        ...

    def arrange(self, *, offload: str, attention: str, vae_way: str) -> None:
        """Lie in memory so from now on, where it can; the names are those of `Placement`."""
        ...

    def with_vae(self, file: WeightsFile) -> Model:
        """The same networks with the VAE of another file. Raises ModelError."""
        ...

    def to(self, device: torch.device) -> None:
        """Move all parts: to their own device, or to the host's memory for later."""
        ...


Task = Literal["txt2img", "img2img", "inpaint"]


class WholeMaker(Protocol):
    """What gives whole pictures alone, by a pipeline of diffusers."""

    @property
    def name(self) -> str:
        """Of the kind: "PixArtSigma"."""
        ...

    @property
    def multiple(self) -> int:
        """Of which the sides of a picture must be multiples, in pixels."""
        ...

    @property
    def latent_rgb(self) -> tuple[tuple[float, float, float], ...]:
        """For previews; empty where nothing is known of the latents."""
        ...

    @property
    def denoisers(self) -> Sequence[nn.Module]:
        """The networks that are asked at each step."""
        ...

    def of(self, task: Task) -> Pipeline:
        """The pipeline for this task, of the same networks.

        Raises:
            UserError: diffusers has none.
        """
        ...


class PictureMaker(Model, Protocol):
    """What can be denoised: its network is asked step by step."""

    @property
    def process(self) -> Process: ...
    @property
    def latent(self) -> LatentFormat: ...
    @property
    def input_channels(self) -> int:
        """Of the network: more than the latent's for inpainting (9) and InstructPix2Pix (8) checkpoints."""
        ...

    @property
    def is_told_guidance(self) -> bool:
        """It is told the CFG scale in the place of the distilled guidance, and is not guided besides (LCM)."""
        ...

    def steady(self) -> AbstractContextManager[None]:
        """Within, nothing between the network's layers changes: its calls may be recorded and replayed."""
        ...

    def predict(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The network's output. x: (b, c, h, w) and t: (b,) float32 -> (b, c, h, w) float32."""
        ...

    def encode_prompts(
        self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]
    ) -> list[Encoded]:
        """The texts of one prompt's schedule, encoded together (A1111's emphasis looks at them as a whole)."""
        ...

    def encode_image(
        self, pixels: Tensor, *, scaled: bool = True, tiled: bool = False, noise: Draw | None = None
    ) -> Tensor:
        """(b, 3, h, w) in -1..1 -> latents (b, c, h / factor, w / factor), float32: drawn from the posterior with
        `noise`, else its mean.

        Not `scaled`: as the VAE gives them, without the family's factor. tiled: piece by piece, for less memory.
        """
        ...

    def depth(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in -1..1 -> (b, 1, h', w'), larger where it is nearer; for checkpoints that are shown it.

        Raises UserError: there is no network that says so.
        """
        ...

    def decode(self, latents: Tensor, *, tiled: bool = False) -> Tensor:
        """(b, c, h, w) -> pixels (b, 3, h * factor, w * factor) about -1..1, float32."""
        ...

    def vae_on_host(self) -> AbstractContextManager[None]:
        """For the length of the block the VAE computes in the host's memory, in 32 bits; pictures and latents come back
        on the device all the same."""
        ...

    def widen_vae(self, dtype: torch.dtype = torch.float32) -> bool:
        """Hold the VAE in this type from now on. False when it was so already, or in 32 bits."""
        ...


Prepared = Callable[[WeightsFile, Placement], Model]
"""(the file that the VAE comes from, where to) -> the model: reads the weights. Raises ModelError."""


@dataclass(frozen=True)
class Family:
    """A kind of model: how to know it by names and shapes, and how to load it."""

    capabilities: Capabilities
    detect: Callable[[WeightsFile], bool]
    prepare: Callable[[WeightsFile, Components], Prepared]
    """Builds the networks without memory, of the file and what lies beside it. Raises ModelError where names and shapes
    do not fit."""
    steps_table: Literal["sd1", "sdxl"] = "sd1"
    """Of the schedule Align Your Steps."""

    @property
    def name(self) -> str:
        return self.capabilities.family

    def bears(self, what: Capability) -> bool:
        return what in self.capabilities.bears


def family_of(file: WeightsFile) -> Family:
    """The family of an opened checkpoint.

    Raises:
        ModelError: none of ours; says what the file seems to be.
    """
    if not file.path.is_dir() and (words := not_ours(file)):
        raise file.error(*words)
    for entry in families():
        family: Family = expected(resolved(entry.code), Family, entry, entry.name)
        if family.detect(file):
            return family
    raise file.error(*_described(file))


_KINDS = (
    (("lora_unet_", "lora_te_", "lora_te1_", "lora_transformer_"), "a LoRA", "Put it into models/Lora."),
    (("conditioner.embedders.",), "a part of an SDXL checkpoint", "The UNet or the text encoder is missing."),
    (("cond_stage_model.model.",), "a part of an SD2 checkpoint", "The UNet is missing."),
    (("control_model.", "input_hint_block."), "a ControlNet", ""),
    (("string_to_param", "emb_params", "clip_l", "clip_g"), "an embedding", "Put it into models/embeddings."),
    (("decoder.conv_in.", "first_stage_model."), "a VAE", "Put it into models/VAE and choose it under SD VAE."),
    (("text_model.", "encoder.block."), "a text encoder", ""),
)


def _described(file: WeightsFile) -> tuple[str, str]:
    """(cause, hint) for a file that no family wants."""
    names = list(file.shapes)
    if any(".lora_down." in name or ".lora_A." in name for name in names):
        return "it is a LoRA, not a checkpoint", "Put it into models/Lora."
    if "model.diffusion_model.input_blocks.0.0.weight" in file.shapes and not any(
        name.startswith(("cond_stage_model.", "conditioner.")) for name in names
    ):
        return "there is no text encoder in it", "It contains only the UNet; a complete checkpoint is needed."
    if words := described(file):
        return words
    for starts, kind, hint in _KINDS:
        if any(name.startswith(starts) for name in names):
            hint = hint or f"This version opens {', '.join(entry.name for entry in families())} checkpoints."
            return f"it seems to be {kind}, not a checkpoint that can be opened here", hint
    return piece(file) or ("it does not contain a supported Stable Diffusion model", "Check that it is the right file.")


def vae_names(file: WeightsFile) -> dict[str, str]:
    """Names of the VAE's tensors in a checkpoint or VAE file: below the prefix -> whole. Empty where there is none."""
    inside = file.under("first_stage_model.", "vae.")
    if inside:
        return inside
    return {name: name for name in file.shapes if name.startswith(("encoder.", "decoder.", "quant_", "post_quant_"))}


def without_vae(file: WeightsFile) -> ModelError:
    return file.error("there is no VAE in it", "Choose a VAE file under SD VAE.")
