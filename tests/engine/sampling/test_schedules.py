from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.sampling import golden
from webui.engine.sampling.process import Diffusion, Process, RectifiedFlow, altered, sd_alphas_cumprod
from webui.engine.sampling.schedules import Schedule, ScheduleOptions, sigmas_for
from webui.engine.sampling.sigma_schedule import adapted, sigma_schedule
from webui.registry import SAMPLERS, SCHEDULES, SamplerEntry, ScheduleEntry, resolved

ENTRIES = {entry.name: entry for entry in SCHEDULES}


def function(entry: ScheduleEntry) -> Schedule | None:
    return resolved(entry.function) if entry.function else None


def stable_diffusion(kind: str = "default") -> Diffusion:
    return Diffusion(altered(sd_alphas_cumprod(), zero_snr=kind == "ztsnr"))


def sigmas(name: str, n: int, process: Process | None = None, *, discard: bool = False, **options: Any) -> Tensor:
    entry = ENTRIES[name]
    return sigmas_for(
        process or stable_diffusion(),
        n,
        function(entry),
        entry,
        ScheduleOptions(**options),
        discard_penultimate=discard,
    )


@pytest.mark.parametrize("kind", ["default", "ztsnr", "sdxl"])
def test_every_schedule_is_a1111s(kind):
    options = {"table": "sdxl"} if kind == "sdxl" else {}
    for case, wanted in golden.function("sigmas")[kind]["schedules"].items():
        name, n = case.split("/")
        got = sigmas(name, int(n), stable_diffusion(kind), **options)
        assert got.tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-7), case


@pytest.mark.parametrize("kind", ["default", "ztsnr"])
@pytest.mark.parametrize(
    "sampler", [s for s in SAMPLERS if not s.timesteps and s.name not in golden.NOT_IN_A1111], ids=lambda s: s.name
)
def test_every_sampler_gets_a1111s_sigmas(kind, sampler):
    schedule = ENTRIES[sampler.schedule or "Automatic"]
    process = stable_diffusion(kind)
    if sampler.adapts:
        process = resolved(sampler.adapts)(process)
    cases = golden.function("sigmas")[kind]["samplers"]
    for n in (1, 7, 20):
        way = sigma_schedule(sampler, process, n, function(schedule), schedule, ScheduleOptions())
        assert way.whole.tolist() == pytest.approx(cases[f"{sampler.name}/{n}"], rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("entry", [e for e in SCHEDULES if e.function], ids=lambda e: e.name)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("process", [stable_diffusion(), RectifiedFlow(shift=3.0)], ids=["sd", "flow"])
def test_schedules_fall_and_stay_finite(entry, n, process):
    got = sigmas(entry.name, n, process)
    assert got.isfinite().all()
    assert (got.diff() < 0).all()
    assert len(got) >= n + 1


def test_ranges_and_rho_are_honoured():
    got = sigmas("Karras", 5, sigma_min=0.1, sigma_max=5.0)
    assert (float(got[0]), float(got[-2])) == pytest.approx((5.0, 0.1))
    assert sigmas("Karras", 5, old_range=True)[0] == pytest.approx(10.0)
    assert not torch.equal(sigmas("Karras", 5, rho=3.0), sigmas("Karras", 5))
    assert torch.equal(sigmas("Exponential", 5, rho=3.0), sigmas("Exponential", 5))


def test_the_beta_schedule_bends_with_its_parameters():
    flat = sigmas("Beta", 9, beta_alpha=1.0, beta_beta=1.0)[:-1]
    assert torch.allclose(flat.diff(), flat.diff()[0])


@pytest.mark.parametrize("name", ENTRIES)
def test_discarding_the_penultimate_keeps_the_number_of_steps(name):
    plain, discarded = sigmas(name, 7), sigmas(name, 7, discard=True)
    assert torch.equal(discarded, torch.cat([sigmas(name, 8)[:-2], sigmas(name, 8)[-1:]]))
    assert len(discarded) == len(plain) or name == "DDIM"  # whose stride decides
    assert torch.equal(discarded, sigmas(name, 7, discard_penultimate=True))


def test_no_steps_are_no_error():
    for name in ENTRIES:
        assert sigmas(name, 0).tolist()[-1:] in ([0.0], [])


def test_timestep_samplers_walk_their_own_timesteps():
    ddim = next(s for s in SAMPLERS if s.timesteps)
    process = stable_diffusion()
    for steps, timesteps in ((4, [751, 501, 251, 1]), (7, [995, 853, 711, 569, 427, 285, 143, 1]), (1, [1])):
        way = sigma_schedule(ddim, process, steps, None, None, ScheduleOptions())
        assert process.timestep(way.sigmas).tolist() == pytest.approx(timesteps, abs=1e-2)


def test_quantization_is_for_the_others():
    quantized = Diffusion(sd_alphas_cumprod(), quantize=True)

    def told(sampler: SamplerEntry) -> bool:
        process = adapted(sampler, quantized)
        assert isinstance(process, Diffusion)
        return process.quantize

    assert all(told(sampler) is not sampler.timesteps for sampler in SAMPLERS if not sampler.adapts)
