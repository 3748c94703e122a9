"""The networks of latent diffusion as CompVis names them: read off names and shapes, built of diffusers' modules.

Rombach et al. 2022, arXiv:2112.10752. SD1, SD2 and SDXL are all written in these names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from webui.engine.families.chunked_attention import ChunkedProcessor
from webui.engine.families.pinned_upload import PinnedUploader
from webui.engine.families.weights import Shapes, WeightsFile
from webui.engine.sampling.process import Prediction, sd_alphas_cumprod, zero_terminal_snr
from webui.request.engine_options import CHUNKED, USUAL, SubQuadratic

UNET = "model.diffusion_model."
VAE = "first_stage_model."
NUMBER_WIDTH = 256
"""Of the sinusoids in which a UNet is told a number, such as a picture's height."""
TOLD_GUIDANCE = "time_embed.cond_proj.weight"
"""There where a UNet is told the guidance scale instead of being guided: a latent consistency model."""
GROUPS = 32
"""Of every group norm, unless the file's metadata says otherwise; widths are multiples of it."""


@dataclass(frozen=True)
class LdmSettings:
    """What an LDM yaml says that shapes cannot; None where it says nothing."""

    heads: int | None = None
    head_width: int | None = None
    prediction: str | None = None
    scale_factor: float | None = None
    linear_start: float | None = None
    linear_end: float | None = None

    @classmethod
    def read(cls, config: Mapping[str, object]) -> LdmSettings:
        """From the content of a yaml file; unknown or odd entries are passed over."""
        params = _section(config, "model", "params")
        unet = _section(params, "unet_config", "params") or _section(params, "network_config", "params")
        heads, width = _number(unet, "num_heads"), _number(unet, "num_head_channels")
        parameterization = params.get("parameterization") or _sgm_parameterization(params)
        return cls(
            heads=int(heads) if heads and heads > 0 else None,
            head_width=int(width) if width and width > 0 else None,
            prediction=parameterization if parameterization in ("eps", "v") else None,
            scale_factor=_number(params, "scale_factor"),
            linear_start=_number(params, "linear_start"),
            linear_end=_number(params, "linear_end"),
        )


def _sgm_parameterization(params: Mapping[str, object]) -> str | None:
    """As generative-models' yaml files name it, by a class."""
    target = str(_section(params, "denoiser_config", "params", "scaling_config").get("target", ""))
    return {"VScaling": "v", "EpsScaling": "eps"}.get(target.rsplit(".", 1)[-1])


def _section(config: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    for key in keys:
        inner = config.get(key)
        config = inner if isinstance(inner, dict) else {}
    return config


def _number(section: Mapping[str, object], key: str) -> float | None:
    value = section.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def prediction_of(file: WeightsFile, settings: LdmSettings) -> Prediction | None:
    """What the network predicts, as far as the yaml, a marker key or the metadata (ModelSpec) say; else None."""
    if settings.prediction is not None:
        return "v" if settings.prediction == "v" else "eps"
    if "v_pred" in file.shapes:
        return "v"
    said = file.metadata.get("modelspec.prediction_type", "").lower()
    return "v" if said.startswith("v") else "eps" if said.startswith("eps") else None


def noise_table(file: WeightsFile, settings: LdmSettings) -> Tensor:
    """The products of alphas: the file's own table where it has one, else by the yaml or SD1's numbers. (1000,)."""
    table = sd_alphas_cumprod(settings.linear_start or 0.00085, settings.linear_end or 0.012)
    if file.shapes.get("alphas_cumprod") == (1000,):
        own = file.tensor("alphas_cumprod").float().clone()
        if bool((own[:-1] > own[1:]).all()) and float(own[-1]) > 0 and float(own[0]) < 1:
            table = own
    return zero_terminal_snr(table) if "ztsnr" in file.shapes else table


# ---------------------------------------------------------------- UNet


def unet_config(file: WeightsFile, *, heads: int | None, head_width: int | None) -> dict[str, object]:
    """Arguments for `UNet2DConditionModel`. Head counts are in no shape: `heads` for all levels, or the width of one.

    Raises:
        ModelError: the tensors do not form a UNet.
    """
    shapes = {name: file.shapes[full] for name, full in file.under(UNET).items()}
    try:
        levels = _levels(shapes)
        layers = len(levels[0].depths)
        up = _depths_up(shapes, len(levels), layers)
        linear = len(next(shape for name, shape in shapes.items() if name.endswith(".1.proj_in.weight"))) == 2
        context = next(shape for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight"))[1]
        inputs, outputs = shapes["input_blocks.0.0.weight"][1], shapes["out.2.weight"][0]
    except (KeyError, IndexError, StopIteration) as error:
        cause = f"no {error}" if str(error) else "it has no attention"
        raise file.error(f"its UNet is not complete ({cause})", "It may be damaged, or of an unknown kind.") from error
    middle = _depth(shapes, "middle_block.1")
    down = [level.depths for level in levels]
    if middle:
        if any(down[-1]) and set(down[-1]) != {middle}:
            raise file.error("the middle of its UNet is not as deep as the level before it")
        down[-1] = (middle,) * layers  # diffusers: the middle takes its depth from the last level
    counts = [heads if heads else max(level.width // (head_width or 64), 1) for level in levels]
    groups = norm_groups(file, "unet")
    for level, count in zip(levels, counts, strict=True):
        if level.width % groups or (any(level.depths) and level.width % count):
            raise file.error(
                f"its UNet has levels of {level.width} channels, which {count} attention heads cannot share"
            )
    config: dict[str, object] = {
        "in_channels": inputs,
        "out_channels": outputs,
        "block_out_channels": tuple(level.width for level in levels),
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if any(level.depths) else "DownBlock2D" for level in levels),
        "mid_block_type": _middle_type(shapes),
        "up_block_types": tuple("CrossAttnUpBlock2D" if any(depths) else "UpBlock2D" for depths in up),
        "transformer_layers_per_block": tuple(_one_or_all(depths) for depths in down),
        "cross_attention_dim": context,
        "attention_head_dim": tuple(counts),  # diffusers' name for the number of heads
        "use_linear_projection": linear,
        "norm_num_groups": groups,
    }
    if [_one_or_all(depths) for depths in up] != [_one_or_all(level.depths) for level in reversed(levels)]:
        config["reverse_transformer_layers_per_block"] = tuple(_one_or_all(depths) for depths in up)
    if guided := shapes.get(TOLD_GUIDANCE):
        config["time_cond_proj_dim"] = guided[1]
    if told := shapes.get("label_emb.0.0.weight"):
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": NUMBER_WIDTH,
            "projection_class_embeddings_input_dim": told[1],
        }
    return config


def norm_groups(file: WeightsFile, part: str) -> int:
    """How many groups the norms of a part ("unet", "vae") have: shapes cannot tell, the file's metadata may.

    Raises:
        ModelError: the metadata's number is none.
    """
    said = file.metadata.get(f"gesso.{part}_norm_groups", str(GROUPS))
    if not said.isdecimal() or not 1 <= int(said) <= 1024:
        raise file.error(f"its metadata gives {said!r} as the number of norm groups")
    return int(said)


Row = tuple[float, float, float]


def preview_of(file: WeightsFile, usual: tuple[Row, ...], channels: int) -> tuple[tuple[Row, ...], Row]:
    """(a row of red, green and blue for each channel of the latents, what is added): by the VAE's metadata, else usual;
    grey where nobody knows the colours of so many channels.

    Raises:
        ModelError: the metadata's numbers are none.
    """
    said = file.metadata.get("gesso.preview_rgb")
    if said is None:
        return usual if len(usual) == channels else ((0.0, 0.0, 0.0),) * channels, (0.0, 0.0, 0.0)
    try:
        *rows, bias = [(float(red), float(green), float(blue)) for red, green, blue in json.loads(said)]
    except (ValueError, TypeError) as error:
        raise file.error("the preview's colours in its metadata are damaged") from error
    if len(rows) != channels:
        raise file.error(f"its metadata gives the preview's colours of {len(rows)} channels instead of {channels}")
    return tuple(rows), bias


@dataclass(frozen=True)
class _Level:
    """One resolution of a UNet's way down."""

    width: int
    depths: tuple[int, ...]
    """Of the transformer after each residual block; 0: none."""


def _levels(shapes: Shapes) -> list[_Level]:
    """From the highest resolution to the lowest; the residual blocks are as many at each."""
    levels: list[_Level] = []
    fresh, index = True, 1
    while f"input_blocks.{index}.0.in_layers.2.weight" in shapes or f"input_blocks.{index}.0.op.weight" in shapes:
        block = f"input_blocks.{index}"
        index += 1
        if f"{block}.0.op.weight" in shapes:
            fresh = True
            continue
        if fresh:
            levels.append(_Level(shapes[f"{block}.0.in_layers.2.weight"][0], ()))
            fresh = False
        levels[-1] = _Level(levels[-1].width, (*levels[-1].depths, _depth(shapes, f"{block}.1")))
    if len({len(level.depths) for level in levels}) != 1:
        raise KeyError("even levels")
    return levels


def _depths_up(shapes: Shapes, levels: int, layers: int) -> list[tuple[int, ...]]:
    """The transformers' depths on the way up, from the lowest resolution; a level has one block more than down."""
    each = layers + 1
    return [
        tuple(_depth(shapes, f"output_blocks.{level * each + block}.1") for block in range(each))
        for level in range(levels)
    ]


def _middle_type(shapes: Shapes) -> str | None:
    """Distilled UNets have a middle without attention, or none."""
    if "middle_block.1.transformer_blocks.0.attn1.to_q.weight" in shapes:
        return "UNetMidBlock2DCrossAttn"
    return "UNetMidBlock2D" if "middle_block.0.in_layers.0.weight" in shapes else None


def _one_or_all(depths: tuple[int, ...]) -> int | tuple[int, ...]:
    """diffusers: one number where all blocks of a level are alike; 1 where there is no transformer."""
    return depths if len(set(depths)) > 1 else depths[0] or 1


def _depth(shapes: Shapes, place: str) -> int:
    depth = 0
    while f"{place}.transformer_blocks.{depth}.attn1.to_q.weight" in shapes:
        depth += 1
    return depth


def build_unet(config: Mapping[str, object]) -> UNet2DConditionModel:
    """Without memory, on the meta device."""
    with unfilled():
        return UNet2DConditionModel(**config)


def with_attention(
    unet: UNet2DConditionModel, attention: str, sub_quadratic: SubQuadratic = USUAL
) -> UNet2DConditionModel:
    """The UNet computing its attention so: torch's own (diffusers' default), xformers', or piece by piece."""
    if attention == "xformers":
        unet.enable_xformers_memory_efficient_attention()
    elif attention == "sliced":
        unet.set_attention_slice("auto")
    elif attention in CHUNKED:
        unet.set_attn_processor(ChunkedProcessor(CHUNKED[attention], sub_quadratic))
    elif isinstance(unet, UNet2DConditionModel):
        unet.set_attn_processor(AttnProcessor2_0())
    return unet


def for_any_size(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet for latents whose sides its levels cannot halve evenly.

    A1111: what is upsampled is doubled first and then cut to its partner's size; diffusers goes there in one step,
    which gives other pictures.
    """
    for layer in unet.modules():
        if isinstance(layer, Upsample2D):
            fitting = _Fitting()
            layer.register_forward_pre_hook(fitting.before)
            layer.register_forward_hook(fitting.after)
    return unet


class _Fitting:
    """Keeps the size that an upsampling layer is asked for, and fits its output to it."""

    size: tuple[int, ...] | None = None

    def before(self, _layer: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
        self.size = args[1] if len(args) > 1 else None
        return args[:1]

    def after(self, _layer: nn.Module, _args: tuple[object, ...], output: Tensor) -> Tensor:
        if self.size is None or output.shape[-2:] == torch.Size(self.size):
            return output
        return interpolate(output, size=tuple(self.size), mode="nearest")


def unet_names(file: WeightsFile, config: Mapping[str, object]) -> dict[str, str]:
    """Parameter of the diffusers module -> tensor of the file."""
    known = {full: full for full in file.under(UNET).values()}
    converted: dict[str, str] = convert_ldm_unet_checkpoint(known, dict(config))  # moves names as well as tensors
    if f"{UNET}{TOLD_GUIDANCE}" in file.shapes:
        converted["time_embedding.cond_proj.weight"] = f"{UNET}{TOLD_GUIDANCE}"
    return converted


def guidance_embedding(scale: Tensor, width: int) -> Tensor:
    """How a UNet is told the guidance scale w that it was distilled with: (b,) -> (b, width), sinusoids of 1000 w.

    Luo et al. 2023, arXiv:2310.04378, section 4.1; Meng et al. 2022, arXiv:2210.03142.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=scale.device) * (-math.log(10000.0) / max(half - 1, 1)))
    angles = 1000.0 * scale.float()[:, None] * rates
    return nn.functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))


# ---------------------------------------------------------------- VAE

_VAE_NAMES = (
    (r"^(encoder|decoder)\.mid\.block_1\.", r"\1.mid_block.resnets.0."),
    (r"^(encoder|decoder)\.mid\.block_2\.", r"\1.mid_block.resnets.1."),
    (r"^(encoder|decoder)\.mid\.attn_1\.norm\.", r"\1.mid_block.attentions.0.group_norm."),
    (r"^(encoder|decoder)\.mid\.attn_1\.([qkv])\.", r"\1.mid_block.attentions.0.to_\2."),
    (r"^(encoder|decoder)\.mid\.attn_1\.proj_out\.", r"\1.mid_block.attentions.0.to_out.0."),
    (r"^encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"\.nin_shortcut\.", r".conv_shortcut."),
    (r"\.norm_out\.", r".conv_norm_out."),
)


def vae_config(file: WeightsFile, names: Mapping[str, str]) -> dict[str, Any]:
    """Arguments for `AutoencoderKL`. `names`: name below the VAE's prefix -> name in the file.

    Raises:
        ModelError: the tensors do not form an SD autoencoder.
    """
    shapes = {name: file.shapes[full] for name, full in names.items()}
    widths: list[int] = []
    try:
        while f"encoder.down.{len(widths)}.block.0.conv1.weight" in shapes:
            widths.append(shapes[f"encoder.down.{len(widths)}.block.0.conv1.weight"][0])
        layers = sum(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", name) is not None for name in shapes)
        channels = shapes["decoder.conv_in.weight"][1]
        pixels = shapes["decoder.conv_out.weight"][0]
    except (KeyError, IndexError) as error:
        raise file.error(f"its VAE is not complete (no {error})") from error
    groups = norm_groups(file, "vae")
    if not widths or any(width % groups for width in widths):
        raise file.error("its VAE has no known kind of encoder")
    return {
        "in_channels": pixels,
        "out_channels": pixels,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "latent_channels": channels,
        "norm_num_groups": groups,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
    }


def build_vae(config: Mapping[str, object]) -> AutoencoderKL:
    """Without memory, on the meta device."""
    with unfilled():
        return AutoencoderKL(**config)


def vae_names(names: Mapping[str, str], levels: int) -> dict[str, str]:
    """Parameter of the diffusers module -> tensor of the file."""
    return {_vae_name(name, levels): full for name, full in names.items()}


def _vae_name(name: str, levels: int) -> str:
    for pattern, new in _VAE_NAMES:
        name = re.sub(pattern, new, name)
    # the decoder's levels are counted from the other end
    if match := re.match(r"decoder\.up\.(\d+)\.(block|upsample)\.(.*)", name):
        place = f"decoder.up_blocks.{levels - 1 - int(match[1])}"
        return f"{place}.resnets.{match[3]}" if match[2] == "block" else f"{place}.upsamplers.0.{match[3]}"
    return name


VAE_PLANES = 8
"""Planes as wide as the decoder's last level that it holds at once, at most; measured at 7.5."""
TILE = 512
"""Side in pixels of the pieces in which large pictures pass through the VAE."""


def set_tiling(vae: AutoencoderKL, tiled: bool) -> None:
    """Whether pictures larger than a tile pass in overlapping pieces, blended at their edges."""
    vae.use_tiling = tiled
    vae.tile_sample_min_size = TILE
    vae.tile_latent_min_size = TILE // 2 ** (len(vae.config.block_out_channels) - 1)


# ---------------------------------------------------------------- weights into modules

_INITIALISERS = frozenset(getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and name[0] != "_")


class _Uninitialised(TorchFunctionMode):
    """Leaves out the random numbers that a module would begin with."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def unfilled() -> Iterator[None]:
    """Modules built within take no memory and little time: they lie on the meta device."""
    with torch.device("meta"), _Uninitialised():
        yield


def check_complete(module: nn.Module, names: Mapping[str, str], file: WeightsFile, part: str) -> None:
    """Every parameter of the module has a tensor of as many numbers in the file.

    Raises:
        ModelError: one is missing, or is of another size.
    """
    for name, parameter in module.state_dict().items():
        shape = file.shapes.get(names.get(name, ""))
        if shape is None:
            raise file.error(f"its {part} is not complete ({names.get(name, name)} is missing)")
        if torch.Size(shape).numel() != parameter.numel():
            raise file.error(f"{names[name]} has the shape {list(shape)}, where {list(parameter.shape)} is needed")


def fill(
    module: nn.Module,
    names: Mapping[str, str],
    file: WeightsFile,
    device: torch.device,
    dtype: torch.dtype,
    *,
    channels_last: str | None = None,
) -> None:
    """Give the module, which lies on the meta device, its weights on `device`, each moved there by itself.

    channels_last: the parameters below this name lie with their channels innermost, and compute so.

    Raises:
        ModelError: there are numbers that are none.
    """
    wanted = {name: parameter.shape for name, parameter in module.state_dict().items()}
    order = {full: rank for rank, full in enumerate(file.shapes)}
    loaded: dict[str, Tensor] = {}
    extremes: list[Tensor] = []
    uploader = PinnedUploader(device) if device.type == "cuda" else None
    for name in sorted(wanted, key=lambda name: order[names[name]]):
        # never the mapping itself: a file that is overwritten would change or crash the model
        mapped = file.tensor(names[name])
        innermost = channels_last is not None and name.startswith(channels_last) and mapped.ndim == 4
        layout = torch.channels_last if innermost else torch.preserve_format
        if uploader is not None:
            tensor = uploader.upload(mapped).to(dtype, memory_format=layout).reshape(wanted[name])
        else:
            tensor = mapped.to(device, dtype, copy=True, memory_format=layout).reshape(wanted[name])
        extremes.extend(torch.aminmax(tensor))
        loaded[name] = tensor
    if not bool(torch.isfinite(torch.stack(extremes)).all()):
        bad = next(name for name, tensor in loaded.items() if not bool(torch.isfinite(tensor).all()))
        raise file.error(f"{names[bad]} contains NaN or infinite values", "Download it again.")
    module.load_state_dict(loaded, assign=True)
    module.requires_grad_(False)
    module.eval()


def parameter_bytes(*modules: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for module in modules for p in module.parameters())


def load_vae(file: WeightsFile, names: Mapping[str, str], device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder out of a checkpoint or a VAE file; names: below its prefix -> in the file.

    Raises:
        ModelError: it is none.
    """
    config = vae_config(file, names)
    vae, renamed = build_vae(config), vae_names(names, len(config["block_out_channels"]))
    check_complete(vae, renamed, file, "VAE")
    # Measured on a CPU: a quarter faster, while the UNet gains nothing by it. Not the encoder: where a group norm's
    # group is one channel, the plain picture that inpainting checkpoints see is all rounding error, which would change.
    fill(vae, renamed, file, device, dtype, channels_last="decoder." if device.type == "cpu" else None)
    return vae
