"""How the engine process is told to use its machine: plain data, known to both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Precision = Literal["autocast", "half", "full"]
Chunked = Literal["sub-quadratic", "doggettx", "v1", "invokeai"]
Attention = Literal["", "sdpa", "xformers", "sliced", "sub-quadratic", "doggettx", "v1", "invokeai"]
CHUNKED: Mapping[str, Chunked] = MappingProxyType({way: way for way in ("sub-quadratic", "doggettx", "v1", "invokeai")})
"""Ways to compute attention piece by piece."""
Offload = Literal["", "none", "medium", "low"]


@dataclass(frozen=True)
class SubQuadratic:
    """How attention is cut where it is "sub-quadratic"."""

    queries: int = 1024
    """So many at a time."""
    keys: int = 0
    """So many at a time, where the scores of those queries need too much memory; 0: the square root of all."""
    share: float = 1.0
    """What is too much: a share of the memory for scores; 0: keys are always cut."""


USUAL = SubQuadratic()


@dataclass(frozen=True)
class EngineOptions:
    """What the command line says of device, precision and memory; "" and 0 mean: as suits the machine."""

    device: str = ""
    """Such as "cuda:1" (`--device-id`), "cpu" (`--use-cpu all`), "mps"."""
    precision: Precision = "autocast"
    """"full": everything in 32 bits. The other two: half precision where the device is good at it."""
    no_half: bool = False
    """UNet, text encoder and VAE in 32 bits."""
    no_half_vae: bool = False
    """The VAE in 32 bits."""
    attention: Attention = ""
    """Where the settings leave it open."""
    sub_quadratic: SubQuadratic = USUAL
    offload: Offload = ""
    """"medium" (`--medvram`): only the network in use is on the device. "low" (`--lowvram`): layer by layer."""
    compile: bool = False
    """Compile the networks' blocks when they are first used."""
    graphs: bool = False
    """Record the UNet's calls as CUDA graphs and replay them."""
    models_dir: str = ""
    """Where previews find their small decoders: `models/VAE-approx`."""
    brought: str = ""
    """The file that says which other folders have parts of models (`catalog/brought.py`)."""
    resident_limit: int = 2
    """How many checkpoints stay loaded."""
    budget_bytes: int = 0
    """For how many bytes of models; 0: half of what is free."""
    threads: int = 0
    """Of the CPU."""
    log_level: str = "INFO"
