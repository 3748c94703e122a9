"""The networks of latent diffusion as CompVis names them: read off names and shapes, built of diffusers' modules.

Rombach et al. 2022, arXiv:2112.10752. SD1, SD2 and SDXL are all written in these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.overrides import TorchFunctionMode

from webui.engine.families.weights import Shapes, WeightsFile

UNET = "model.diffusion_model."
VAE = "first_stage_model."
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
    def read(cls, config: Mapping[str, Any]) -> LdmSettings:
        """From the content of a yaml file; unknown or odd entries are passed over."""
        params = _section(config, "model", "params")
        unet = _section(params, "unet_config", "params")
        heads, width = _number(unet, "num_heads"), _number(unet, "num_head_channels")
        parameterization = params.get("parameterization")
        return cls(
            heads=int(heads) if heads and heads > 0 else None,
            head_width=int(width) if width and width > 0 else None,
            prediction=parameterization if parameterization in ("eps", "v") else None,
            scale_factor=_number(params, "scale_factor"),
            linear_start=_number(params, "linear_start"),
            linear_end=_number(params, "linear_end"),
        )


def _section(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        inner = config.get(key)
        config = inner if isinstance(inner, dict) else {}
    return config


def _number(section: Mapping[str, Any], key: str) -> float | None:
    value = section.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


# ---------------------------------------------------------------- UNet


def unet_config(file: WeightsFile, *, heads: int | None, head_width: int | None) -> dict[str, Any]:
    """Arguments for `UNet2DConditionModel`. Head counts are in no shape: `heads` for all levels, or the width of one.

    Raises:
        ModelError: the tensors do not form a UNet.
    """
    shapes = {name: file.shapes[full] for name, full in file.under(UNET).items()}
    try:
        widths, layers, depths = _levels(shapes)
        middle_depth = _depth(shapes, "middle_block.1")
        linear = len(shapes["middle_block.1.proj_in.weight"]) == 2
        context = shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1]
        inputs, outputs = shapes["input_blocks.0.0.weight"][1], shapes["out.2.weight"][0]
    except (KeyError, IndexError) as error:
        raise file.error(
            f"its UNet is not complete (no {error})", "The file may be damaged or of an unknown kind."
        ) from error
    # diffusers: the middle takes its depth from the last level, which itself may have no attention
    per_level = [depth or 1 for depth in depths[:-1]] + [middle_depth]
    counts = [heads if heads else max(width // (head_width or 64), 1) for width in widths]
    groups = norm_groups(file, "unet")
    for width, count in zip(widths, counts, strict=True):
        if width % groups or width % count:
            raise file.error(f"its UNet has levels of {width} channels, which {count} attention heads cannot share")
    return {
        "in_channels": inputs,
        "out_channels": outputs,
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
        "transformer_layers_per_block": tuple(per_level),
        "cross_attention_dim": context,
        "attention_head_dim": tuple(counts),  # diffusers' name for the number of heads
        "use_linear_projection": linear,
        "norm_num_groups": groups,
    }


def norm_groups(file: WeightsFile, part: str) -> int:
    """How many groups the norms of a part ("unet", "vae") have: shapes cannot tell, the file's metadata may.

    Raises:
        ModelError: the metadata's number is none.
    """
    said = file.metadata.get(f"gesso.{part}_norm_groups", str(GROUPS))
    if not said.isdecimal() or not 1 <= int(said) <= 1024:
        raise file.error(f"its metadata gives {said!r} as the number of norm groups")
    return int(said)


def _levels(shapes: Shapes) -> tuple[list[int], int, list[int]]:
    """(width, residual blocks, transformer depth) per level of the way down; the blocks are as many at each level."""
    widths: list[int] = []
    counts: list[int] = []
    depths: list[int] = []
    fresh, index = True, 1
    while f"input_blocks.{index}.0.in_layers.2.weight" in shapes or f"input_blocks.{index}.0.op.weight" in shapes:
        block = f"input_blocks.{index}"
        index += 1
        if f"{block}.0.op.weight" in shapes:
            fresh = True
            continue
        if fresh:
            widths.append(shapes[f"{block}.0.in_layers.2.weight"][0])
            counts.append(0)
            depths.append(_depth(shapes, f"{block}.1"))
            fresh = False
        counts[-1] += 1
    if len(set(counts)) != 1:
        raise KeyError("even levels")
    return widths, counts[0], depths


def _depth(shapes: Shapes, place: str) -> int:
    depth = 0
    while f"{place}.transformer_blocks.{depth}.attn1.to_q.weight" in shapes:
        depth += 1
    return depth


def build_unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    """Without memory, on the meta device."""
    with unfilled():
        return UNet2DConditionModel(**config)


def with_attention(unet: UNet2DConditionModel, attention: str) -> UNet2DConditionModel:
    """The UNet computing its attention so: torch's own (diffusers' default), xformers', or piece by piece."""
    if attention == "xformers":
        unet.enable_xformers_memory_efficient_attention()
    elif attention == "sliced":
        unet.set_attention_slice("auto")
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

    def before(self, _layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.size = args[1] if len(args) > 1 else None
        return args[:1]

    def after(self, _layer: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor:
        if self.size is None or output.shape[-2:] == torch.Size(self.size):
            return output
        return interpolate(output, size=tuple(self.size), mode="nearest")


def unet_names(file: WeightsFile, config: Mapping[str, Any]) -> dict[str, str]:
    """Parameter of the diffusers module -> tensor of the file."""
    known = {full: full for full in file.under(UNET).values()}
    converted: dict[str, str] = convert_ldm_unet_checkpoint(known, dict(config))  # moves names as well as tensors
    return converted


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
        raise file.error("its VAE has no encoder that we know")
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


def build_vae(config: Mapping[str, Any]) -> AutoencoderKL:
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
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
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
    for name in sorted(wanted, key=lambda name: order[names[name]]):
        # never the mapping itself: a file that is overwritten would change or crash the model
        mapped = file.tensor(names[name])
        innermost = channels_last is not None and name.startswith(channels_last) and mapped.ndim == 4
        layout = torch.channels_last if innermost else torch.preserve_format
        tensor = mapped.to(device, dtype, copy=True, memory_format=layout).reshape(wanted[name])
        extremes.extend(torch.aminmax(tensor))
        loaded[name] = tensor
    if not bool(torch.isfinite(torch.stack(extremes)).all()):
        bad = next(name for name, tensor in loaded.items() if not bool(torch.isfinite(tensor).all()))
        raise file.error(f"{names[bad]} holds numbers that are none (NaN or infinite)", "Download it again.")
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
