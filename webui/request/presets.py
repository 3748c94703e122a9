"""Values of a form that have a name: for checkpoints that were distilled to few steps, and those that people save of a
feature's units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webui.base.errors import UserError
from webui.base.text import cleaned
from webui.request.params import Declared, Image, Param, shortened

_STEPS = re.compile(r"(?<![0-9])([0-9]{1,2})[ _-]?steps?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Preset:
    """Values of a form for a kind of checkpoint."""

    name: str
    about: str
    values: Mapping[str, object]
    counted: bool = False
    """Its files say in their names for how many steps they were made."""


PRESETS = (
    Preset(
        "LCM",
        "Latent consistency models and LCM LoRAs (arXiv:2310.04378)",
        {"sampler_name": "LCM", "scheduler": "Automatic", "steps": 6, "cfg_scale": 1.5},
    ),
    Preset(
        "Turbo",
        "SD Turbo and SDXL Turbo (arXiv:2311.17042)",
        {"sampler_name": "Euler a", "scheduler": "SGM Uniform", "steps": 4, "cfg_scale": 1.0},
    ),
    Preset(
        "Lightning",
        "SDXL Lightning (arXiv:2402.13929); the steps are those in the checkpoint's name",
        {"sampler_name": "Euler", "scheduler": "SGM Uniform", "steps": 4, "cfg_scale": 1.0},
        counted=True,
    ),
)


def values_of(preset: Preset, checkpoint: str) -> dict[str, object]:
    """The preset's values for the checkpoint of this title."""
    said = _STEPS.search(checkpoint) if preset.counted else None
    return {**preset.values, **({"steps": int(said[1])} if said and int(said[1]) > 0 else {})}


LONGEST_NAME = 80
"""Letters."""
Unit = Mapping[str, object] | None
"""The values of a unit by their names; None: it is off."""


@dataclass(frozen=True)
class UnitPreset:
    """What somebody has saved of a feature's units: of one, which goes into any, or of all of them."""

    name: str
    units: tuple[Unit, ...]


def unit_preset(name: object, units: object, declared: type[Declared]) -> UnitPreset:
    """A preset as it may be kept, of what a page or a file says. Pictures are left out: a preset says how to follow a
    picture, and not which. declared: the class of a unit. What it does not know any more is left out.

    Raises:
        UserError: the name is none, there are no units, or a value does not fit.
    """
    title = " ".join(cleaned(name).split()) if isinstance(name, str) else ""
    if not title or len(title) > LONGEST_NAME or not title.isprintable():
        said = f"A preset cannot be named {shortened(name)}." if title else "The preset has no name."
        raise UserError(said, hint=f"Write a name of at most {LONGEST_NAME} letters.", field="name")
    if not isinstance(units, Sequence) or isinstance(units, str | bytes) or not any(units):
        raise UserError(f"The preset {title!r} has no unit that is on.", hint="Enable one.", field="units")
    return UnitPreset(title, tuple(_kept(unit, declared) for unit in units))


def _kept(unit: object, declared: type[Declared]) -> Unit:
    if unit is None:
        return None
    if not isinstance(unit, Mapping):
        raise UserError(f"Expected the values of a unit by name, not {shortened(unit)}.", field="units")
    params = declared.params().items()
    known = {name for name, param in params if not isinstance(param, Image) and type(param) is not Param}
    made = declared.made(**{name: value for name, value in unit.items() if name in known})
    return made.model_dump(mode="json", include=known & unit.keys())
