"""What a picture of another program says of how it was made, and safe looks into what anybody may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ForeignParameters:
    """In the other program's names; what it does not say is empty."""

    program: str
    prompt: str = ""
    negative: str = ""
    steps: float | int | None = None
    sampler: str = ""
    schedule: str = ""
    cfg_scale: float | int | None = None
    seed: float | int | None = None
    width: float | int | None = None
    height: float | int | None = None
    model: str = ""
    model_hash: str = ""
    vae: str = ""
    loras: tuple[tuple[str, float], ...] = ()
    """(name, weight)"""
    more: Mapping[str, str] = field(default_factory=dict)
    """Infotext label -> text."""

    @property
    def says_something(self) -> bool:
        return bool(self.prompt or self.steps is not None or self.seed is not None)


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_number(value: object) -> float | int | None:
    """A number, or a text that is one; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if any(mark in value for mark in ".eE") else int(value)
        except ValueError:
            return None
    if isinstance(value, int):
        return value if abs(value) < 2**64 else None
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) >= 1e6 else value


def stem(path: str) -> str:
    """The name of a model file without folders and ending."""
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    head, dot, ending = name.rpartition(".")
    return head if dot and ending.lower() in ("safetensors", "ckpt", "pt", "pth", "bin", "sft", "gguf") else name
