from __future__ import annotations

import pytest
import torch

from tests.engine.sampling import golden
from webui.base.errors import UserError
from webui.engine.sampling.process import Diffusion, Process, RectifiedFlow, sd_alphas_cumprod
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import SigmaSchedule, img2img_steps, sigma_schedule
from webui.registry import SamplerEntry, resolved, schedule

DIFFUSION = Diffusion(sd_alphas_cumprod())
PLAIN = SamplerEntry("plain", "")
BY_TIMESTEP = SamplerEntry("by timestep", "", timesteps=True)
BY_RANGE = SamplerEntry("by range", "", takes_range=True)
NOISE, PICTURE = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def way(
    sampler: SamplerEntry, steps: int = 10, t_enc: int | None = None, process: Process = DIFFUSION, name: str = "Karras"
) -> SigmaSchedule:
    entry = schedule(name)
    return sigma_schedule(sampler, process, steps, resolved(entry.function), entry, ScheduleOptions(), t_enc=t_enc)


@pytest.mark.parametrize(("steps", "strength", "fix", "requested", "wanted"), golden.function("img2img_steps"))
def test_img2img_steps_are_a1111s(steps, strength, fix, requested, wanted):
    assert list(img2img_steps(steps, strength, fix=fix, requested=requested)) == wanted


@pytest.mark.parametrize("strength", [0.0, 0.05, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("sampler", [PLAIN, BY_RANGE])
def test_img2img_walks_the_end_of_the_schedule(strength, sampler):
    steps, t_enc = img2img_steps(20, strength)
    walked = way(sampler, steps, t_enc)
    assert torch.equal(walked.sigmas, way(PLAIN, 20).sigmas[-len(walked.sigmas) :])
    assert len(walked.sigmas) - 1 == t_enc + 1


def test_exactly_the_steps_asked_for():
    for strength in (0.2, 0.5, 0.9):
        steps, t_enc = img2img_steps(12, strength, fix=True)
        assert len(way(PLAIN, steps, t_enc).sigmas) - 1 == 12


def test_beginning_with_noise():
    walk = way(PLAIN)
    assert torch.equal(walk.begin(NOISE), NOISE * walk.sigmas[0])
    assert torch.allclose(walk.begin(NOISE, sgm_noise_multiplier=True), NOISE * (1 + walk.sigmas[0] ** 2) ** 0.5)
    assert torch.equal(way(BY_TIMESTEP).begin(NOISE), NOISE)
    assert torch.allclose(way(PLAIN, process=RectifiedFlow()).begin(NOISE), NOISE)


@pytest.mark.parametrize("process", [DIFFUSION, RectifiedFlow(shift=3.0)], ids=["sd", "flow"])
def test_beginning_with_a_picture(process):
    walk = way(PLAIN, 10, 4, process)
    level = walk.sigmas[0]
    assert torch.allclose(walk.begin(NOISE, PICTURE), process.alpha(level) * PICTURE + level * NOISE)
    extra = walk.begin(NOISE, PICTURE, extra_noise=0.1) - walk.begin(NOISE, PICTURE)
    assert torch.allclose(extra, 0.1 * process.alpha(level) * NOISE, atol=1e-6)


def test_timestep_samplers_begin_in_the_preserving_frame():
    walk = way(BY_TIMESTEP, 10, 4)
    x = walk.begin(NOISE, PICTURE)
    table = sd_alphas_cumprod()[401]
    assert torch.allclose(x, table**0.5 * PICTURE + (1 - table) ** 0.5 * NOISE, atol=1e-5)
    assert walk.sigmas.tolist() == way(BY_TIMESTEP, 10).sigmas[-4:].tolist()


def test_a_picture_is_missed():
    with pytest.raises(ValueError, match="original"):
        way(PLAIN, 10, 4).begin(NOISE)


def test_no_denoising_gives_the_picture_back():
    for sampler in (PLAIN, BY_TIMESTEP):
        steps, t_enc = img2img_steps(20, 0.0, requested=20)
        walk = way(sampler, steps, t_enc)
        assert torch.equal(walk.begin(NOISE, PICTURE), PICTURE)
        assert len(walk.sigmas) <= 1


def test_samplers_of_a_range_take_the_models_own():
    """Whatever the schedule; but their first noise is scaled as the schedule's first level says."""
    walk = way(BY_RANGE, name="Align Your Steps")
    assert (float(walk.sigmas[0]), float(walk.sigmas[-2])) == pytest.approx((DIFFUSION.sigma_max, DIFFUSION.sigma_min))
    assert torch.equal(walk.begin(NOISE), NOISE * way(PLAIN, name="Align Your Steps").sigmas[0])


@pytest.mark.parametrize("t_enc", [None, 500])
@pytest.mark.parametrize("discards", [False, True])
def test_more_steps_than_there_are_timesteps_are_refused_in_words(t_enc, discards):
    sampler = SamplerEntry("by timestep", "", timesteps=True, discard_penultimate=discards)
    assert len(way(sampler, 999, t_enc).sigmas)
    for steps in (1001, 10_000):
        with pytest.raises(UserError, match="1,000 noise levels") as refused:
            way(sampler, steps, t_enc)
        assert refused.value.field == "steps"
