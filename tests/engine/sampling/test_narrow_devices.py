"""Apple's and many of Intel's GPUs have no float64: nothing may ask for it where the latents are.

The device is pretended: its tensors' numbers lie in the host's memory.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from webui.engine.denoisers import changed
from webui.engine.sampling.masking import Softness, kept, softly
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Edm, Process, RectifiedFlow, sd_alphas_cumprod
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import adapted, sigma_schedule
from webui.engine.sampling.types import SamplerOptions, denoiser
from webui.features.adaptive_projected_guidance.engine import projected
from webui.features.cfg_rescale.engine import rescaled
from webui.features.dynamic_thresholding.engine import thresholded
from webui.features.perturbed_attention.engine import perturbed
from webui.registry import SAMPLERS, SamplerEntry, resolved, schedule

NARROW = torch.device("xla:0")
"""Any device that torch lets one name without having it."""
LACKS = (torch.float64, torch.complex64, torch.complex128)


class There(Tensor):
    """A tensor that says it is on the device, and whose numbers are here."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> There:
        made = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), dtype=here.dtype, device="cpu", requires_grad=False
        )
        made.here = here
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return NARROW

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with Pretended():
            return func(*args, **(kwargs or {}))


class Pretended(TorchDispatchMode):
    """Computes here what is asked for there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked = dict(kwargs or {})
        is_there = any(isinstance(value, There) for value in tree_leaves((args, asked)))
        if asked.get("device") is not None:
            is_there = torch.device(asked["device"]).type == NARROW.type
            asked["device"] = torch.device("cpu")
        answer = func(*tree_map(_here, args), **tree_map(_here, asked))
        if func._schema.is_mutable:
            return args[0]
        return tree_map(_there, answer) if is_there else answer


class Sent(TorchFunctionMode):
    """Sends tensors there: torch itself would look for the device first."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = getattr(func, "__name__", "")
        if called == "cpu":
            return _here(args[0]).clone()
        if called == "quantile":  # it turns a tensor in place, which a stand-in's shape does not follow
            return tree_map(_there, func(*tree_map(_here, args), **tree_map(_here, kwargs or {})))
        if called == "to":
            target = (*args[1:], *(kwargs or {}).values())
            like = next((value for value in target if isinstance(value, Tensor)), None)
            device = next(
                (value for value in target if isinstance(value, torch.device)), like is not None and like.device
            )
            if device and device.type == NARROW.type:
                dtype = next((value for value in target if isinstance(value, torch.dtype)), None)
                here = _here(args[0])
                return _there(here.to(dtype or (like.dtype if like is not None else here.dtype), copy=True))
        return func(*args, **(kwargs or {}))


def _here(value: Any) -> Any:
    return value.here if isinstance(value, There) else value


def _there(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    assert value.dtype not in LACKS, f"{value.dtype} on a device that has none"
    return There(value)


def on_device(process: Process) -> Process:
    return process.to(NARROW) if isinstance(process, Diffusion) else process


def walked(entry: SamplerEntry, process: Process, device: torch.device) -> Tensor:
    """Everything that a step may do: guidance with all changes, then a soft mask."""
    process = adapted(entry, resolved(entry.adapts)(process) if entry.adapts else process)
    spacing = schedule(entry.schedule or "Automatic")
    function = resolved(spacing.function) if spacing.function else None
    way = sigma_schedule(entry, process, 4, function, spacing, ScheduleOptions())
    noise = ImageNoise("NV", (1, 2), (4, 8, 8), device=device)
    first = noise.first()
    original = torch.zeros(2, 4, 8, 8, device=device) + 0.5
    mask = torch.zeros(1, 1, 8, 8, device=device) + 0.3
    its = on_device(process) if device == NARROW else process

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        told = its.timestep(sigma).reshape(-1, 1, 1, 1)
        answers = (its.to_x0(x, sigma, torch.tanh(its.to_input(x, sigma) + told * way)) for way in (1e-4, -1e-4))
        conditional, unconditional = answers
        return unconditional + 3.0 * (conditional - unconditional), unconditional

    denoise = denoiser(its, lambda x, sigma: both(x, sigma)[0], both)
    changes = (
        projected(3.0, 0.5, 5.0, -0.5),
        perturbed(lambda parts: parts.x * 0.9, 1.0),
        thresholded(2.0, 0.95),
        rescaled(0.5),
    )
    denoise = kept(entry, changed(denoise, 3.0, changes), softly(mask, original, Softness()))
    options = way.options(SamplerOptions(eta=1.0)).of(entry.options)
    draws = way.noise(entry, noise, (1, 2))
    latents: Tensor = resolved(entry.function)(denoise, way.begin(first), way.sigmas, draws, **options)
    return latents


PROCESSES: dict[str, Process] = {"eps": Diffusion(sd_alphas_cumprod()), "flow": RectifiedFlow(shift=3.0), "edm": Edm()}


CASES = [(entry, kind) for kind in PROCESSES for entry in SAMPLERS if kind == "eps" or entry.name in ("Euler", "UniPC")]


@pytest.mark.parametrize(("entry", "kind"), CASES, ids=[f"{entry.name}-{kind}" for entry, kind in CASES])
def test_no_sampler_asks_a_device_for_types_that_it_has_not(entry: SamplerEntry, kind: str) -> None:
    with Sent(), Pretended():
        found = walked(entry, PROCESSES[kind], NARROW)
    assert isinstance(found, There)
    assert found.dtype == torch.float32
    wanted = walked(entry, PROCESSES[kind], torch.device("cpu"))
    torch.testing.assert_close(found.here, wanted, rtol=1e-3, atol=1e-3, equal_nan=True)


def test_the_pretended_device_refuses_what_it_has_not() -> None:
    with Sent(), Pretended():
        there = torch.ones(2, device=NARROW)
        assert isinstance(there, There)
        assert not isinstance(there.cpu(), There)
        with pytest.raises(AssertionError, match="float64"):
            there.double()
