"""How the machine is used: device, precision, attention, where networks lie; and giving memory back."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

import psutil
import torch

from webui.base.errors import UserError
from webui.engine.families.family import Placement
from webui.request.engine_options import EngineOptions
from webui.request.messages import DeviceInfo

log = logging.getLogger(__name__)

BF16_FROM = 100_000_000
"""Parameters from which bfloat16 is used on a CPU that has it; small models lose by the conversions."""
SMALL_DEVICE = 5 * 2**30
"""Bytes of device memory below which networks take turns on it, if nothing else is said."""

Offload = Literal["none", "medium", "low"]


@dataclass(frozen=True)
class Profile:
    """What was chosen for this machine."""

    device: torch.device
    half: torch.dtype
    """Of UNet and text encoder, for models that are large enough."""
    vae: torch.dtype
    attention: Literal["sdpa", "xformers", "sliced"]
    offload: Offload

    def placement(self, parameters: int) -> Placement:
        """Where and how a model of so many parameters is held."""
        small = self.device.type == "cpu" and parameters < BF16_FROM
        return Placement(self.device, torch.float32 if small else self.half, self.vae, self.attention, self.offload)

    def leaner(self) -> Profile:
        """The same machine, used as sparingly as we can: for what did not fit otherwise."""
        own_memory = self.device.type in ("cuda", "xpu")
        offload: Offload = ("medium" if self.offload == "none" else "low") if own_memory else self.offload
        return replace(self, attention="sliced", offload=offload)

    def info(self) -> DeviceInfo:
        """For people."""
        return DeviceInfo(
            device=str(self.device),
            name=_name(self.device),
            dtype=str(self.half).removeprefix("torch."),
            attention=self.attention,
            torch=str(torch.__version__),  # torch has its own class of string, which the server must not import
            total_bytes=total_bytes(self.device),
            devices=torch.cuda.device_count() if self.device.type == "cuda" else 1,
        )


def profile_of(options: EngineOptions) -> Profile:
    """The profile that suits the machine, as far as the options leave it open.

    Raises:
        UserError: a device is asked for that is not there.
    """
    device = _device(options.device)
    full = options.no_half or options.precision == "full"
    half = torch.float32 if full else _half(device)
    keeps = full or options.no_half_vae or device.type in ("cpu", "mps")  # bfloat16 shows in pixels
    return Profile(
        device=device,
        half=half,
        vae=torch.float32 if keeps else half,
        attention=_attention(options.attention, device),
        offload=_offload(options, device),
    )


def _device(wanted: str) -> torch.device:
    if not wanted:
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        if torch.xpu.is_available():
            return torch.device("xpu:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"The device {wanted!r} cannot be used: {str(error).splitlines()[0]}.",
            hint="Leave the flag out, or use --use-cpu all.",
        ) from error
    return device


def _half(device: torch.device) -> torch.dtype:
    if device.type != "cpu":
        return torch.float16
    has = torch.cpu.get_capabilities()
    return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32


def _attention(wanted: str, device: torch.device) -> Literal["sdpa", "xformers", "sliced"]:
    if wanted == "xformers":
        if device.type == "cuda" and find_spec("xformers") is not None:
            return "xformers"
        log.warning("xformers is not installed, or not made for this device: using torch's own attention.")
    return "sliced" if wanted == "sliced" else "sdpa"


def _offload(options: EngineOptions, device: torch.device) -> Offload:
    if device.type not in ("cuda", "xpu"):
        return "none"
    if options.offload:
        return options.offload
    return "medium" if 0 < total_bytes(device) < SMALL_DEVICE else "none"


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else str(torch.cpu.get_capabilities().get("cpu_name") or "CPU")


# ---------------------------------------------------------------- bytes


def total_bytes(device: torch.device) -> int:
    """Memory of the device; of the machine where the device has none of its own."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "xpu":
        return int(torch.xpu.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def free_bytes(device: torch.device) -> int:
    """What can be allocated there now, torch's own reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "xpu":
        free, _ = torch.xpu.mem_get_info(device)
        return int(free) + torch.xpu.memory_reserved(device) - torch.xpu.memory_allocated(device)
    return int(psutil.virtual_memory().available)


def used_bytes(device: torch.device) -> int:
    """What this process holds on the device; 0 where the device has no memory of its own."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return int(torch.xpu.memory_reserved(device)) if device.type == "xpu" else 0


def give_back(device: torch.device) -> None:
    """Return unused memory to the device and the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):
            log.debug("malloc_trim is not there.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host refused memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
