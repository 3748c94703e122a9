"""How the machine is used: device, precision, attention, where networks lie; and giving memory back."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import psutil
import torch
from torch import nn

from webui.base.errors import UserError
from webui.base.memory import return_small_pieces
from webui.engine.families.family import Model, Placement
from webui.engine.families.weights import WeightsFile
from webui.engine.memory_plan import PLANES, Attention, ModelSize, Offload, OffloadWish, Wishes
from webui.request.engine_options import USUAL, EngineOptions, SubQuadratic
from webui.request.engine_options import Attention as AttentionWish
from webui.request.messages import DeviceInfo, MemoryUse

log = logging.getLogger(__name__)

BF16_FROM = 100_000_000
"""Parameters from which bfloat16 is used on a CPU that has it; small models lose by the conversions."""
FP8_NAMES = {"Enable": "", "Enable for SDXL": "SDXL"}
"""Values of the setting "FP8 weight": what the families' names begin with."""
LEANER: Mapping[str, Offload] = {"": "medium", "none": "medium", "medium": "low", "low": "leaf", "leaf": "leaf"}


@dataclass(frozen=True)
class Profile:
    """What was chosen for this machine."""

    device: torch.device
    half: torch.dtype
    """Of UNet and text encoder, for models that are large enough."""
    vae: torch.dtype
    attention: Attention
    offload: OffloadWish
    """What flags or settings want; "": as suits the model and the picture."""

    compiled: bool = False
    graphs: bool = False
    sub_quadratic: SubQuadratic = USUAL

    def placement(self, parameters: int) -> Placement:
        """Where and how a model of so many parameters is held."""
        small = self.device.type == "cpu" and parameters < BF16_FROM
        offload = self.offload or "none"
        dtype = torch.float32 if small else self.half
        return Placement(
            self.device,
            dtype,
            self.vae,
            self.attention,
            offload,
            compiled=self.compiled,
            graphs=self.graphs,
            sub_quadratic=self.sub_quadratic,
        )

    def leaner(self, ran: Offload = "none") -> Profile:
        """The same machine, used more sparingly than it was: for what did not fit."""
        own_memory = self.device.type in ("cuda", "xpu")
        offload = LEANER[self.offload or ran] if own_memory else self.offload
        return replace(self, attention="sliced", offload=offload)

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.offload, self.attention if self.attention != "sdpa" else "")

    def stores_fp8(self, fp8_storage: str, family: str) -> bool:
        """Whether a model of this family is kept in 8 bits under the setting."""
        start = FP8_NAMES.get(fp8_storage)
        return start is not None and family.startswith(start) and self.device.type != "mps"  # MPS knows no such numbers

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
        attention=attention_on(options.attention, device),
        offload=_offload(options, device),
        compiled=options.compile,
        graphs=options.graphs and device.type == "cuda",
        sub_quadratic=options.sub_quadratic,
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


def attention_on(wanted: AttentionWish, device: torch.device) -> Attention:
    """How attention is computed there, where somebody wants it so: "xformers" as far as it is there; "" is torch's."""
    if wanted == "xformers":
        if device.type == "cuda" and find_spec("xformers") is not None:
            return "xformers"
        log.warning("xformers is not installed, or not made for this device: using torch's own attention.")
    return wanted or "sdpa"


def _offload(options: EngineOptions, device: torch.device) -> OffloadWish:
    return options.offload if device.type in ("cuda", "xpu") else "none"


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


def forget_peak(device: torch.device) -> None:
    """From now on `peak_use` tells of what comes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "xpu":
        torch.xpu.reset_peak_memory_stats(device)


def peak_use(device: torch.device) -> MemoryUse | None:
    """What was taken of the device's memory since `forget_peak`; None: it has none of its own."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        active, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    elif device.type == "xpu":
        free, total = torch.xpu.mem_get_info(device)
        active, reserved = torch.xpu.max_memory_allocated(device), torch.xpu.max_memory_reserved(device)
    else:
        return None
    # The system tells of now: what was given back since the peak was in use then.
    used = min(total - free + max(reserved - used_bytes(device), 0), total)
    return MemoryUse(int(active), int(reserved), int(used), int(total))


def model_size(model: Model) -> ModelSize:
    """What a model in memory needs, in bytes."""
    parts = model.parts
    network = next((part for name, part in parts.items() if name in ("unet", "transformer")), None)
    text = sum(bytes_of(part) for name, part in parts.items() if name.startswith("text"))
    if network is None:
        rest = max(model.nbytes - model.vae_nbytes - text, 0)
        return ModelSize(rest, text, model.vae_nbytes, rest, rest, 0, 0, 0)
    blocks = [bytes_of(block) for block in _blocks(network)] or [bytes_of(network)]
    pairs = [before + after for before, after in pairwise(blocks)] or blocks
    leaf = max((parameter.nbytes for parameter in network.parameters()), default=0)
    step, scores = _step(network)
    weights = (bytes_of(network), text, model.vae_nbytes, max(pairs), leaf)
    if model.picture_maker is None:  # a pipeline keeps its latents to itself
        return ModelSize(*weights, step, scores, model.vae_bytes_per_pixel)
    return ModelSize(*weights, step, scores, model.vae_bytes_per_pixel, model.picture_maker.latent.factor)


def file_size(file: WeightsFile, itemsize: int) -> ModelSize:
    """The same, as far as names and shapes tell before anything is loaded; what a call computes in is left out."""
    names = {"text": ("cond_stage_model.", "conditioner.", "text_encoder"), "vae": ("first_stage_model.", "vae.")}
    sizes = {
        part: itemsize * sum(math.prod(shape) for name, shape in file.shapes.items() if name.startswith(starts))
        for part, starts in names.items()
    }
    network = itemsize * file.parameters - sizes["text"] - sizes["vae"]
    return ModelSize(network, sizes["text"], sizes["vae"], network // 2, network // 50, 0, 0, 0)


def bytes_of(*modules: nn.Module) -> int:
    return sum(parameter.nbytes for module in modules for parameter in module.parameters())


def _blocks(network: nn.Module) -> list[nn.Module]:
    """What comes to the device as one, in the order of computing."""
    found: list[nn.Module] = []
    for name, child in network.named_children():
        if name == "mid_block":  # diffusers keeps it there with what stands outside the blocks
            continue
        found += list(child) if isinstance(child, nn.ModuleList) else []
    return found


def _step(network: nn.Module) -> tuple[int, int]:
    """`ModelSize.step` and `ModelSize.scores` of a network."""
    config: Mapping[str, Any] = getattr(network, "config", {})
    itemsize = max((p.element_size() for p in network.parameters()), default=2)
    widths = config.get("block_out_channels")
    if widths and "down_block_types" in config:
        kinds = list(config["down_block_types"])
        finest = next((level for level, kind in enumerate(kinds) if "CrossAttn" in kind), len(kinds) - 1)
        heads = config["attention_head_dim"]  # diffusers' name for the number of heads
        count = heads if isinstance(heads, int) else heads[finest]
        return PLANES * int(widths[0]) * itemsize, 256 * int(count) * itemsize // 16**finest
    said = (config.get("num_attention_heads"), config.get("attention_head_dim"))
    heads, width = (one if isinstance(one, int) else usual for one, usual in zip(said, (16, 64), strict=True))
    return PLANES * heads * width * itemsize // 4, 256 * heads * itemsize // 16  # patches of 2 x 2


def held_bytes(model: Model, device: torch.device) -> int:
    """What a model's weights take on the device now."""
    return sum(
        parameter.nbytes
        for part in model.parts.values()
        for parameter in part.parameters()
        if parameter.device.type == device.type
    )


def give_back(device: torch.device) -> None:
    """Return unused memory to the device and the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "xpu":
        torch.xpu.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    return_small_pieces()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host refused memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
