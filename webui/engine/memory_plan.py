"""How a model lies in memory while a picture is made: decided before anything runs, from sizes alone.

Pure arithmetic over four values (machine, model, work, wishes); nothing here touches a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from webui.request.capabilities import Need
from webui.request.engine_options import CHUNKED
from webui.request.workload import Workload

Offload = Literal["none", "medium", "low", "leaf"]
"""Where the parts wait: all on the device; only the one in use there; the network's blocks, or its layers, come one by
one."""
OffloadWish = Literal["", "none", "medium", "low", "leaf"]
Attention = Literal["sdpa", "xformers", "sliced", "sub-quadratic", "doggettx", "v1", "invokeai"]
VaeWay = Literal["whole", "tiled", "host"]
"""The VAE sees whole pictures, pieces of them, or works in the host's memory."""

RESERVE = 512 * 2**20
"""Bytes that a device's libraries take beside the tensors."""
MOST_SCORES = 2**30
"""Of attention that is computed piece by piece."""
TILE = 512 * 512
"""Pixels of a piece."""
PLANES = 32
"""A network computes in at most so many planes as wide as itself, for each row and token; with the allocator's losses.

The tensors alone, counted on networks without weights: SD 1.5 26, SDXL 16, SD3 18.
"""


@dataclass(frozen=True)
class Machine:
    kind: str
    """torch's name of the device's type: "cuda", "xpu", "mps", "cpu"."""
    free: int
    """Bytes for one model and what it computes: what other models could give up included."""

    @property
    def has_own_memory(self) -> bool:
        """Whether there is another memory, the host's, where parts can wait."""
        return self.kind in ("cuda", "xpu")

    @property
    def holds_scores(self) -> bool:
        """Whether torch's attention writes all scores down at once."""
        return self.kind == "mps"


@dataclass(frozen=True)
class ModelSize:
    """All in bytes."""

    network: int
    text: int
    """All text encoders."""
    vae: int
    blocks: int
    """The two neighbouring blocks of the network that are largest together: one computes while the next one comes."""
    leaf: int
    """Its largest layer."""
    step: int
    """What one call computes in, for each row and pixel of the latents."""
    scores: int
    """The attention's scores, for each row and the square of the latents' pixels over 256."""
    decode: int
    """What the VAE computes in, for each pixel of a picture."""
    factor: int = 8
    """Pixels along a side of what one latent stands for."""

    @property
    def weights(self) -> int:
        return self.network + self.text + self.vae


@dataclass(frozen=True)
class Use:
    """What a model is lent for."""

    work: Workload = field(default_factory=Workload)
    fp8_storage: str = "Disable"
    """The setting "FP8 weight"."""
    keep_exact: bool = False
    """The setting "Cache FP16 weight for LoRA"."""
    needs: tuple[Need, ...] = ()
    """What features need of its family."""


@dataclass(frozen=True)
class MemoryProfile:
    """What was decided."""

    offload: Offload = "none"
    attention: Attention = "sdpa"
    vae: VaeWay = "whole"

    @property
    def is_lean(self) -> bool:
        """Whether it costs time, or the last bits of pixels."""
        return self.offload != "none" or self.vae != "whole"

    @property
    def sentence(self) -> str:
        """For people."""
        parts = [OFFLOAD_TOLD[self.offload], ATTENTION_TOLD.get(self.attention, "")]
        told = ", ".join(part for part in (*parts, VAE_TOLD[self.vae]) if part)
        return f"{told[0].upper()}{told[1:]}."


OFFLOAD_TOLD: Mapping[Offload, str] = {
    "none": "everything on the device",
    "medium": "only the part in use on the device",
    "low": "the network was moved to the device block by block",
    "leaf": "the network was moved to the device layer by layer",
}
PIECE_BY_PIECE = "attention piece by piece"
ATTENTION_TOLD: Mapping[Attention, str] = {
    "sliced": "attention in slices",
    **dict.fromkeys(CHUNKED.values(), PIECE_BY_PIECE),
}
VAE_TOLD: Mapping[VaeWay, str] = {"whole": "", "tiled": "the VAE worked in tiles", "host": "the VAE worked on the CPU"}


@dataclass(frozen=True)
class Wishes:
    """What flags or settings say; they win over what would be chosen. "": as suits."""

    offload: OffloadWish = ""
    attention: Attention | Literal[""] = ""


_OWN_MEMORY = (
    MemoryProfile("none"),
    MemoryProfile("medium"),
    MemoryProfile("none", vae="tiled"),  # pieces show in the last bits of pixels; moving parts does not
    MemoryProfile("medium", vae="tiled"),
    MemoryProfile("low"),
    MemoryProfile("low", vae="tiled"),
    MemoryProfile("leaf"),
    MemoryProfile("leaf", vae="tiled"),
    MemoryProfile("leaf", vae="host"),
)
_ONE_MEMORY = (MemoryProfile(), MemoryProfile(vae="tiled"))
_ONE_MEMORY_WITH_SCORES = (
    *_ONE_MEMORY,
    MemoryProfile(attention="sliced"),
    MemoryProfile(attention="sliced", vae="tiled"),
)


def ladder(machine: Machine, wishes: Wishes = Wishes()) -> tuple[MemoryProfile, ...]:
    """The profiles that make sense there and follow the wishes, the leanest last."""
    rungs: tuple[MemoryProfile, ...]
    if not machine.has_own_memory:
        rungs = _ONE_MEMORY_WITH_SCORES if machine.holds_scores else _ONE_MEMORY
    elif wishes.offload:
        rungs = tuple(rung for rung in _OWN_MEMORY if rung.offload == wishes.offload)
    else:
        rungs = _OWN_MEMORY
    if wishes.attention:
        rungs = tuple(dict.fromkeys(replace(rung, attention=wishes.attention) for rung in rungs))
    return rungs


def plan(machine: Machine, model: ModelSize, work: Workload, wishes: Wishes = Wishes()) -> MemoryProfile:
    """The first profile that fits, or the leanest. More memory never gives a leaner one."""
    rungs = ladder(machine, wishes)
    return next((rung for rung in rungs if peak(rung, machine, model, work) <= machine.free), rungs[-1])


def peak(profile: MemoryProfile, machine: Machine, model: ModelSize, work: Workload) -> int:
    """Bytes that the device holds at the worst moment."""
    latents = work.pixels // model.factor**2
    latents = min(work.seen or latents, latents)
    sampling = work.rows * latents * model.step
    if machine.holds_scores:
        scores = work.rows * model.scores * latents**2 // 256
        seen = {"sliced": scores // 2, **dict.fromkeys(CHUNKED, min(scores, MOST_SCORES))}
        sampling += seen.get(profile.attention, scores)
    decoding = {"whole": work.pixels, "tiled": min(work.pixels, TILE), "host": 0}[profile.vae] * model.decode
    reserve = RESERVE + work.weights
    if profile.offload == "none":
        return reserve + model.network + model.text + model.vae + max(sampling, decoding)
    network = {"medium": model.network, "low": model.blocks, "leaf": 2 * model.leaf}[profile.offload]
    vae = 0 if profile.vae == "host" else model.vae
    return reserve + max(model.text, network + sampling, vae + decoding)
