"""What each family of models can bear, told without its weights.

By these records requests are refused, controls greyed out, and the table of the documentation printed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from webui import registry
from webui.base.errors import UserError


class Capability(Enum):
    """Something that features and parameters need of a family; the value says of one that it is missing."""

    STEPS = "is run as a whole by diffusers"
    """Its network is asked step by step: samplers, guidance and passes are this program's."""
    UNET = "has no UNet"
    """Its network is a UNet with cross-attention and convolutions."""
    CLIP_SKIP = "always reads the same layer of its text encoder"
    SIZE_CONDITIONING = "is not told the size of the picture"
    DISTILLED_GUIDANCE = "was not distilled with a guidance scale"


CALLED: Mapping[Capability, str] = MappingProxyType(
    {
        Capability.STEPS: "Own samplers",
        Capability.UNET: "UNet",
        Capability.CLIP_SKIP: "Clip skip",
        Capability.SIZE_CONDITIONING: "Size conditioning",
        Capability.DISTILLED_GUIDANCE: "Distilled CFG",
    }
)
"""How the table names them."""


FIELDS: Mapping[str, Capability] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "sampler_name",
                "scheduler",
                "enable_hr",
                "refiner_checkpoint",
                "refiner_switch_at",
                "subseed",
                "subseed_strength",
                "seed_resize_from_w",
                "seed_resize_from_h",
                "soft_inpainting",
                "show_film",
            ),
            Capability.STEPS,
        ),
    }
)
"""Field of a request -> without what in the model it has no effect."""
SETTINGS: Mapping[str, Capability] = MappingProxyType(
    {
        "clip_skip": Capability.CLIP_SKIP,
        "eta_noise_seed_delta": Capability.STEPS,
        "sd_lora": Capability.STEPS,
        "sd_hypernetwork": Capability.UNET,
        "tiling": Capability.UNET,
        "token_merging_ratio": Capability.UNET,
        "hypertile_enable_unet": Capability.UNET,
        "distilled_cfg_scale": Capability.DISTILLED_GUIDANCE,
    }
)
"""Likewise, of the settings that change pictures."""


@dataclass(frozen=True)
class Capabilities:
    """A family."""

    family: str
    """Its name, by which code, files and messages know it."""
    title: str
    """What people call it."""
    bears: frozenset[Capability]
    channels: int = 0
    """Of its latents, where the file's tensors do not say otherwise; 0: they are its own affair."""
    text: str = ""
    """Its text encoders."""
    variants: tuple[Capabilities, ...] = ()
    """Families of their own that the same code opens."""
    side: int = 1024
    """Pixels along the sides of the pictures that most of its checkpoints were trained with."""

    @property
    def is_whole(self) -> bool:
        """A pipeline of diffusers makes its pictures."""
        return Capability.STEPS not in self.bears


class Need(NamedTuple):
    """What a feature needs of a family."""

    what: Capability
    switch_off: str
    """How to do without the feature: "set Token merging to 0"."""
    field: str
    """The field of a request that asks for it."""


_OWN = frozenset({Capability.STEPS})
_UNETS = _OWN | {Capability.UNET}

SD1 = Capabilities("SD1", "SD1", _UNETS | {Capability.CLIP_SKIP}, 4, "CLIP, 75 tokens per chunk", side=512)
SD2 = Capabilities("SD2", "SD2", _UNETS, 4, "OpenCLIP, 75 tokens per chunk", side=768)
SDXL_REFINER = Capabilities(
    "SDXL refiner", "The SDXL refiner", _UNETS | {Capability.SIZE_CONDITIONING}, 4, "OpenCLIP, 75 tokens per chunk"
)
SDXL = Capabilities(
    "SDXL",
    "SDXL",
    _UNETS | {Capability.CLIP_SKIP, Capability.SIZE_CONDITIONING},
    4,
    "CLIP and OpenCLIP, 75 tokens per chunk",
    variants=(SDXL_REFINER,),
)
SD3 = Capabilities("SD3", "SD3", _OWN, 16, "CLIP and OpenCLIP, 75 tokens per chunk; T5, 256 tokens")
FLUX = Capabilities("Flux", "FLUX.1", _OWN | {Capability.DISTILLED_GUIDANCE}, 16, "CLIP; T5, 512 or 256 tokens")
DIFFUSERS = Capabilities("Diffusers", "This kind of checkpoint", frozenset(), text="its own")
SINGLE_FILE = replace(DIFFUSERS, family="Diffusers file")


def known() -> tuple[Capabilities, ...]:
    """All families, in the order in which a file is compared with them."""
    found: list[Capabilities] = []
    for entry in registry.families():
        if entry.capabilities:
            record: Capabilities = registry.resolved(entry.capabilities)
            found += [record, *record.variants]
    return tuple(found)


def of_family(name: str) -> Capabilities | None:
    """The family of this name; None: nothing is known of it."""
    return next((record for record in known() if record.family == name), None)


def check(family: Capabilities, needs: Iterable[Need]) -> None:
    """
    Raises:
        UserError: the family cannot bear what features need. One that is run as a whole passes over all of it instead.
    """
    missing = [need for need in needs if need.what not in family.bears]
    if not missing or family.is_whole:
        return
    first = missing[0]
    advice = [need.switch_off for need in missing if need.what is first.what]
    able = [record.title for record in known() if record.bears >= {need.what for need in missing}]
    raise UserError(
        f"{family.title} {first.what.value}: {_all(advice)}.",
        hint=f"These kinds of checkpoints can do it: {', '.join(able)}." if able else "",
        field=first.field,
    )


def without_effect(family: Capabilities | None, needs: Collection[Capability]) -> str:
    """Why what needs these does nothing with a family, as a sentence; "" where it works, or nobody knows."""
    if family is None or not needs or family.bears.issuperset(needs):
        return ""
    missing = Capability.STEPS if family.is_whole else next(what for what in needs if what not in family.bears)
    return f"{family.title} {missing.value}, so this is not used."


class Role(NamedTuple):
    """What a request wants another checkpoint for."""

    title: str
    """As a sentence has it: "the refiner"."""
    field: str
    """Of the request, which asks for it."""
    otherwise: str = ""
    """What else would do than one of the same family."""


AFTER_HIRES = Role("the checkpoint of hires fix", "hr_checkpoint_name", ", or an upscaler that works on pixels")


def check_partner(base: Capabilities, other: Capabilities, role: Role, *, latents: bool = True) -> None:
    """Whether another checkpoint can go on with what the first has begun; `latents`: they are handed over as they are.

    Raises:
        UserError: it cannot.
    """
    if base.is_whole:
        return
    if other.is_whole:
        raise UserError(
            f"{other.title} {Capability.STEPS.value}: it cannot be {role.title}.",
            hint=f"Choose another checkpoint for that, {base.title} for example.",
            field=role.field,
        )
    if latents and base.channels != other.channels:
        raise UserError(
            f"{other.title} works on latents of {other.channels} channels, {base.title} on {base.channels}: "
            f"it cannot be {role.title} here.",
            hint=f"Choose a checkpoint of the same family{role.otherwise}.",
            field=role.field,
        )


def table() -> str:
    """All families in Markdown, for the documentation."""
    head = ["family", "latents", "text encoders", *CALLED.values()]
    rows = [head, ["---"] * len(head)]
    for record in known():
        channels = f"{record.channels} channels" if record.channels else "its own"
        marks = ("yes" if what in record.bears else "" for what in CALLED)
        rows.append([record.family, channels, record.text, *marks])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _all(parts: list[str]) -> str:
    """ "a, b and c" """
    parts = list(dict.fromkeys(parts))
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
