"""Latents that A1111 arrived at, made again with the same network: one per sampler, and img2img and inpainting."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tests.engine.sampling import golden
from webui.engine.sampling.masking import blended, firmly, kept
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Process, sd_alphas_cumprod
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import adapted, img2img_steps, sigma_schedule
from webui.engine.sampling.types import Denoiser, SamplerOptions, denoiser
from webui.registry import SAMPLERS, resolved, sampler, schedule

RECORDED = golden.latents("traces")
REQUESTS: dict[str, dict[str, Any]] = json.loads((golden.FOLDER / "latents" / "traces.json").read_text())


def guided(unet: UNet2DConditionModel, process: Process, scale: float) -> Denoiser:
    texts = torch.stack([RECORDED["cond"].reshape(-1, 128), RECORDED["uncond"].reshape(-1, 128)])

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x, sigma = torch.cat([x, x]), torch.cat([sigma, sigma])
        output = unet(process.to_input(x, sigma), process.timestep(sigma), texts).sample
        with_text, without = process.to_x0(x, sigma, output).chunk(2)
        return without + (with_text - without) * scale, without

    return denoiser(process, lambda x, sigma: both(x, sigma)[0], both)


@pytest.mark.parametrize("name", REQUESTS)
def test_latents_are_a1111s(name, unet):
    request = REQUESTS[name]
    entry = sampler(request["sampler_name"])
    spacing = schedule(entry.schedule or "Automatic")
    process: Process = Diffusion(sd_alphas_cumprod())
    process = adapted(entry, resolved(entry.adapts)(process) if entry.adapts else process)

    steps, t_enc, original = request["steps"], None, RECORDED.get(f"{name}.original")
    if original is not None:
        steps, t_enc = img2img_steps(steps, request["denoising_strength"])
    function = resolved(spacing.function) if spacing.function else None
    way = sigma_schedule(entry, process, steps, function, spacing, ScheduleOptions(), t_enc=t_enc)

    noise = ImageNoise("CPU", [request["seed"]], tuple(request["shape"]))
    denoise = guided(unet, process, request["cfg_scale"] * entry.cfg_factor)
    mask = RECORDED.get(f"{name}.mask")
    if mask is not None and original is not None:
        denoise = kept(entry, denoise, firmly(mask, original))
    options = way.options(SamplerOptions(eta=0.0 if entry.timesteps else 1.0)).of(entry.options)
    drawn = way.noise(entry, noise, (request["seed"],))
    got = resolved(entry.function)(denoise, way.begin(noise.first(), original), way.sigmas, drawn, **options)
    if mask is not None and original is not None:
        got = blended(got, mask, original)
    assert torch.allclose(got, RECORDED[name], atol=2e-3)


def test_every_sampler_that_can_be_compared_is():
    """DPM adaptive cannot: the last bit of an error decides its steps, and A1111 differs from itself by as much."""
    compared = {request["sampler_name"] for request in REQUESTS.values()}
    assert {entry.name for entry in SAMPLERS} - compared == {"DPM adaptive", *golden.NOT_IN_A1111}
