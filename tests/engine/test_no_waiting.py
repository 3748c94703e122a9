"""The sampling loop asks the device for no number: on a GPU every such question would wait for all that is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from webui import registry
from webui.engine.conditioning import Prompts, Timed
from webui.engine.denoisers import Clock, Guidance, Prompted, guided, observed, on_device
from webui.engine.families.family import Conditioning, Encoded
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, append_dims, sd_alphas_cumprod
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import adapted, sigma_schedule
from webui.engine.sampling.types import SamplerOptions, denoiser, per_image
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch

ON_DEVICE = torch.device("meta")
"""Stands for a GPU: numbers on it cannot be read, and reading one is an error."""


class Waits(TorchDispatchMode):
    """Counts what would wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func)
        read = any(isinstance(one, Tensor) and one.device == ON_DEVICE for one in args)
        if read and any(word in name for word in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


ADAPTIVE = {"DPM adaptive", "DPM fast"}
"""The first looks at its own error after each step, whatever the machine; the second is its fixed sister."""


@pytest.mark.parametrize("name", [entry.name for entry in registry.samplers() if entry.name not in ADAPTIVE])
def test_no_sampler_waits_for_the_device(name: str) -> None:
    entry = registry.sampler(name)
    process = adapted(entry, Diffusion(sd_alphas_cumprod()))
    schedule = registry.schedule(entry.schedule or "Karras")
    function = registry.resolved(schedule.function) if not entry.timesteps else None
    way = sigma_schedule(entry, process, 6, function, schedule, ScheduleOptions())
    x = torch.empty(2, 4, 8, 8, device=ON_DEVICE)
    noise: Callable[..., Tensor] = lambda *_levels: torch.empty_like(x)
    denoise = denoiser(process, lambda x, _sigma: x * 0.5)
    with Waits() as waits:
        registry.resolved(entry.function)(
            denoise, x, way.sigmas, noise, **way.options(SamplerOptions()).of(entry.options)
        )
    assert not waits.found


@dataclass
class Network:
    """A model without numbers."""

    asked: int = 0

    def predict(self, x: Tensor, t: Tensor, _conditioning: Conditioning) -> Tensor:
        self.asked += 1
        return x * append_dims(t, x)


def test_guidance_does_not_wait_for_the_device() -> None:
    network = Network()
    text = Timed(((10, Encoded(torch.empty(77, 8, device=ON_DEVICE))),))
    process = on_device(Diffusion(sd_alphas_cumprod()), ON_DEVICE)
    prompts = Prompts((((text, 1.0),),) * 2, (text,) * 2)
    watch = Watch("job", lambda _event: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")))
    prompted = Prompted(network, process, prompts, watch)  # type: ignore[arg-type]
    clock = Clock(4)
    denoise = guided(lambda _sigma: prompted, process, Guidance(7.0), clock, watch, lambda _label, _value: None)
    denoise = observed(denoise, clock, 1, lambda _latents: b"", watch)
    x = torch.empty(2, 4, 8, 8, device=ON_DEVICE)
    with Waits() as waits:
        for sigma in (14.0, 3.0, 0.5, 0.1):
            x = denoise(x, per_image(torch.tensor(sigma), x))
    assert not waits.found
    assert network.asked == 4, "prompt and negative prompt in one call"


def test_noise_is_drawn_without_waiting() -> None:
    draws = ImageNoise("NV", (1, 2), (4, 8, 8), device="cpu")
    with Waits() as waits:
        draws.first()
        draws.next()
    assert not waits.found
