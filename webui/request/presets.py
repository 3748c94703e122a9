"""What checkpoints that were distilled to few steps want to be asked with, by one click."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
