"""Of which family a checkpoint is, by the names of its tensors alone: as its authors publish them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from webui.base.errors import ModelError
from webui.catalog.gguf_header import read_gguf_header
from webui.catalog.headers import read_header
from webui.request import capabilities

Names = Collection[str]

UNET = "model.diffusion_model."
SD1_TEXT = ("cond_stage_model.transformer.",)
SD2_TEXT = ("cond_stage_model.model.", "conditioner.embedders.0.model.")
SDXL_TEXT, REFINER_TEXT = "conditioner.embedders.1.model.", "conditioner.embedders.0.model."
TRANSFORMERS = (UNET, "")
"""What stands before the names of a transformer, where anything does."""
SD3_KEY, FLUX_KEY = "joint_blocks.0.x_block.attn.qkv.weight", "double_blocks.0.img_attn.qkv.weight"
FLUX_KIN = (
    "distilled_guidance_layer.in_proj.bias",
    "single_stream_modulation.lin.weight",
    "early_stream_modulations.image.lin.weight",
)
"""Chroma, FLUX.2 and FLUX.3 have Flux's names and one of these; diffusers runs them."""


def is_sd1(names: Names) -> bool:
    """A UNet in LDM's names beside a CLIP tower in transformers' names."""
    return f"{UNET}input_blocks.0.0.weight" in names and any(name.startswith(SD1_TEXT) for name in names)


def is_sd2(names: Names) -> bool:
    """A UNet in LDM's names that is told no sizes, beside OpenCLIP's tower."""
    return (
        f"{UNET}input_blocks.0.0.weight" in names
        and f"{UNET}label_emb.0.0.weight" not in names
        and any(f"{prefix}ln_final.weight" in names for prefix in SD2_TEXT)
    )


def is_sdxl(names: Names) -> bool:
    """A UNet in LDM's names that is told numbers, beside the second tower."""
    return f"{UNET}label_emb.0.0.weight" in names and any(
        f"{prefix}ln_final.weight" in names for prefix in (SDXL_TEXT, REFINER_TEXT)
    )


def is_sdxl_refiner(names: Names) -> bool:
    """Of SDXL, with the second tower alone."""
    return is_sdxl(names) and f"{SDXL_TEXT}ln_final.weight" not in names


def is_sd3(names: Names) -> bool:
    """SD3's own names for its joint blocks."""
    return has_transformer(names, SD3_KEY)


def is_flux(names: Names) -> bool:
    """Flux's own names for its double blocks."""
    return has_transformer(names, FLUX_KEY) and not any(has_transformer(names, key) for key in FLUX_KIN)


def has_transformer(names: Names, key: str) -> bool:
    """Whether a transformer's tensor is there, under any of the prefixes."""
    return any(prefix + key in names for prefix in TRANSFORMERS)


_MARKS: tuple[tuple[str, Callable[[Names], bool]], ...] = (
    (capabilities.SD1.family, is_sd1),
    (capabilities.SD2.family, is_sd2),
    (capabilities.SDXL_REFINER.family, is_sdxl_refiner),
    (capabilities.SDXL.family, is_sdxl),
    (capabilities.SD3.family, is_sd3),
    (capabilities.FLUX.family, is_flux),
)


def family_of_names(names: Iterable[str]) -> str:
    """A family's name, or "" where the names do not tell."""
    found = frozenset(names)
    return next((family for family, is_it in _MARKS if is_it(found)), "")


def family_of_checkpoint(path: Path, *, whole: bool = False) -> str:
    """The same for a file; "" for pickles, which have no header, and for broken ones. whole: it is a folder."""
    if whole:
        return capabilities.DIFFUSERS.family
    try:
        match path.suffix.lower():
            case ".safetensors":
                return family_of_names(read_header(path))
            case ".gguf":
                return family_of_names(tensor.name for tensor in read_gguf_header(path).tensors)
    except (ModelError, OSError, ValueError):
        return ""
    return ""
