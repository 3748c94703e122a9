"""Laws of all samplers in the registry, for processes like Stable Diffusion's and like Flux's, on an analytic model."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, Edm, Process, RectifiedFlow, append_dims, sd_alphas_cumprod
from webui.engine.sampling.schedules import ScheduleOptions
from webui.engine.sampling.sigma_schedule import adapted, sigma_schedule
from webui.engine.sampling.types import Denoiser, SamplerOptions, denoiser
from webui.registry import SAMPLERS, SamplerEntry, resolved, schedule

MEAN, SPREAD = 0.7, 0.5
PROCESSES: dict[str, Process] = {
    "eps": Diffusion(sd_alphas_cumprod()),
    "v": Diffusion(sd_alphas_cumprod(), "v"),
    "flow": RectifiedFlow(shift=3.0),
    "edm": Edm(),
}
STEPS_OF_THE_BATCH = {"DPM adaptive"}
"""Their step size follows the error of the whole batch, within a tolerance that is wide by default."""

every_sampler = pytest.mark.parametrize("entry", SAMPLERS, ids=lambda entry: entry.name)
every_process = pytest.mark.parametrize("kind", PROCESSES)


class Stop(Exception):
    pass


def gaussian(process: Process, *, consistent: bool) -> Denoiser:
    """The ideal model of pictures whose every pixel is drawn from N(MEAN, SPREAD^2): the expected picture given x.

    consistent: where the probability flow leads from x, as a consistency model answers.
    """

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        level = append_dims(sigma, x)
        alpha = process.alpha(level)
        variance = (alpha * SPREAD) ** 2 + level**2
        if consistent:
            return MEAN + SPREAD * (x - alpha * MEAN) / variance**0.5
        return MEAN + alpha * SPREAD**2 / variance * (x - alpha * MEAN)

    return denoiser(process, answer)


def picture(
    entry: SamplerEntry,
    process: Process,
    *,
    seeds: tuple[int, ...] = (1,),
    steps: int = 12,
    side: int = 8,
    denoise: Denoiser | None = None,
    **chosen: Any,
) -> Tensor:
    process = adapted(entry, resolved(entry.adapts)(process) if entry.adapts else process)
    spacing = schedule(entry.schedule or "Automatic")
    function = resolved(spacing.function) if spacing.function else None
    way = sigma_schedule(entry, process, steps, function, spacing, ScheduleOptions())
    noise = ImageNoise("CPU", seeds, (4, side, side))
    options = way.options(SamplerOptions(**{"eta": 0.0 if entry.timesteps else 1.0, **chosen})).of(entry.options)
    denoise = denoise or gaussian(process, consistent=bool(entry.adapts))
    x = way.begin(noise.first())
    got: Tensor = resolved(entry.function)(denoise, x, way.sigmas, way.noise(entry, noise, seeds), **options)
    return got


def assert_gaussian(got: Tensor, entry: SamplerEntry) -> None:
    assert float(got.double().mean()) == pytest.approx(MEAN, abs=0.05)
    assert float(got.double().std()) == pytest.approx(SPREAD, rel=0.2 if entry.name in STEPS_OF_THE_BATCH else 0.08)


@every_sampler
@every_process
def test_pictures_come_out_as_the_gaussian_that_the_model_knows(entry, kind):
    assert_gaussian(picture(entry, PROCESSES[kind], steps=120, side=24), entry)


@every_sampler
@every_process
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_so_they_do_with_less_fresh_noise(entry, kind, eta):
    if "eta" not in entry.options:
        pytest.skip("has no eta")
    assert_gaussian(picture(entry, PROCESSES[kind], steps=120, side=24, eta=eta), entry)


@every_process
def test_so_they_do_with_churn(kind):
    for entry in SAMPLERS:
        if "s_churn" in entry.options:
            got = picture(entry, PROCESSES[kind], steps=120, side=24, s_churn=10.0, s_tmin=0.05, s_tmax=5.0)
            assert_gaussian(got, entry)


@every_process
@pytest.mark.parametrize("variant", ["bh1", "bh2", "vary_coeff"])
@pytest.mark.parametrize("skip_type", ["time_uniform", "time_quadratic", "logSNR"])
def test_so_they_do_with_every_solver_variant(kind, variant, skip_type):
    for entry in SAMPLERS:
        if "variant" in entry.options:
            for order in (1, 2, 3, 4):
                got = picture(
                    entry, PROCESSES[kind], steps=30, side=32, variant=variant, skip_type=skip_type, order=order
                )
                assert_gaussian(got, entry)


@every_sampler
@pytest.mark.parametrize("kind", ["eps", "flow"])
def test_without_fresh_noise_the_probability_flow_is_solved(entry, kind):
    """Its solution is known here: a pixel of the noise tells how many spreads from the mean it ends."""
    if entry.adapts or entry.name in STEPS_OF_THE_BATCH:
        pytest.skip("its number of steps does not decide")
    if "eta" not in entry.options and entry.calls_per_step == 2 and not entry.options:
        pytest.skip("goes back to noise on its way, whatever the options")
    process = PROCESSES[kind]
    signal, _ = process.preserving(torch.tensor(process.sigma_max))
    exact = MEAN + SPREAD * (ImageNoise("CPU", [1], (4, 8, 8)).first() - signal * MEAN)
    few, many = ((picture(entry, process, steps=n, eta=0.0) - exact).abs().mean() for n in (10, 80))
    assert many < max(0.3 * few, 0.003)


@every_sampler
def test_the_same_twice_gives_the_same_bits(entry):
    once, twice = (picture(entry, PROCESSES["eps"], seeds=(3, 4)) for _ in range(2))
    assert torch.equal(once, twice)


@every_sampler
@every_process
def test_a_picture_does_not_depend_on_its_neighbours(entry, kind):
    if entry.name in STEPS_OF_THE_BATCH:
        pytest.skip("its steps follow the whole batch")
    alone = picture(entry, PROCESSES[kind], seeds=(7,))
    among = picture(entry, PROCESSES[kind], seeds=(5, 6, 7))
    assert torch.allclose(alone[0], among[2], atol=1e-5)


@every_sampler
def test_what_the_denoiser_raises_passes_through(entry):
    calls = 0

    def stopping(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stop
        return 0.5 * x

    with pytest.raises(Stop):
        picture(entry, PROCESSES["eps"], denoise=denoiser(PROCESSES["eps"], stopping))


@every_sampler
def test_the_registry_counts_calls_as_they_come(entry):
    """Progress and prompt schedules rest on it; DPM adaptive makes as many as it needs."""
    if entry.name in STEPS_OF_THE_BATCH:
        pytest.skip("does not go by steps")
    calls = 0
    process = PROCESSES["eps"]
    model = gaussian(process, consistent=True)

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        assert sigma.shape == (x.shape[0],)
        return model(x, sigma)

    picture(entry, process, denoise=denoiser(process, counting), steps=12)
    assert 12 * entry.calls_per_step - 2 <= calls <= 12 * entry.calls_per_step + 2


@every_sampler
def test_the_registry_names_options_that_the_function_takes(entry):
    parameters = inspect.signature(resolved(entry.function)).parameters
    assert list(parameters)[:4] == ["denoise", "x", "sigmas", "noise"]
    assert set(entry.options) <= set(parameters) & {field.name for field in fields(SamplerOptions)}


@every_sampler
def test_no_steps_to_walk_leave_x_as_it_is(entry):
    x = torch.randn(1, 4, 8, 8)
    noise = ImageNoise("CPU", [1], (4, 8, 8))
    model = gaussian(PROCESSES["eps"], consistent=False)
    assert torch.equal(resolved(entry.function)(model, x, torch.zeros(0), noise), x)


@every_process
@pytest.mark.parametrize(("name", "plain"), [("Euler CFG++", "Euler"), ("DPM++ 2M CFG++", "DPM++ 2M")])
def test_cfgpp_of_two_equal_predictions_is_the_sampler_it_is_named_after(kind, name, plain):
    entries = {entry.name: entry for entry in SAMPLERS}
    got, expected = (picture(entries[each], PROCESSES[kind], steps=20) for each in (name, plain))
    assert torch.allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["eps", "flow"])
def test_a_step_of_cfgpp_keeps_the_noise_that_the_unconditional_prediction_saw(kind):
    process = PROCESSES[kind]
    sigmas = torch.tensor([0.8, 0.5])
    guided, unconditional, eps = (torch.randn(1, 4, 8, 8) for _ in range(3))
    x = process.alpha(sigmas[0]) * unconditional + sigmas[0] * eps
    entry = next(entry for entry in SAMPLERS if entry.name == "Euler CFG++")
    model = denoiser(process, lambda x, _: x, lambda x, _: (guided, unconditional))
    got = resolved(entry.function)(model, x, sigmas, ImageNoise("CPU", [1], (4, 8, 8)))
    assert torch.allclose(got, process.alpha(sigmas[1]) * guided + sigmas[1] * eps, atol=1e-5)
