from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.engine.sampling import golden
from webui.engine.sampling.process import Diffusion, Edm, RectifiedFlow, altered, sd_alphas_cumprod

ALTERATIONS = {"default": {}, "ztsnr": {"zero_snr": True}, "downcast": {"downcast": True}}
PROCESSES = (
    Diffusion(sd_alphas_cumprod()),
    Diffusion(sd_alphas_cumprod(), "v"),
    RectifiedFlow(shift=3.0),
    Edm(),
    Edm(0.002, 120.0, sigma_data=1.0, prediction="v"),
)
KINDS = ("eps", "v", "flow", "Playground", "CosXL")
LEVELS = torch.tensor([0.03, 0.2, 0.5, 0.9])


def stable_diffusion(kind: str = "default") -> Diffusion:
    return Diffusion(altered(sd_alphas_cumprod(), **ALTERATIONS[kind]))


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_the_table_of_sigmas_is_a1111s(kind):
    sigmas = stable_diffusion(kind).sigmas
    for index, sigma in golden.function("sigmas")[kind]["model_sigmas"].items():
        assert float(sigmas[int(index)]) == pytest.approx(sigma, rel=1e-6)


@pytest.mark.parametrize("kind", ["default", "ztsnr"])
def test_timesteps_and_sigmas_map_as_in_a1111(kind):
    process, wanted = stable_diffusion(kind), golden.function("sigmas")[kind]
    for t, sigma in wanted["t_to_sigma"]:
        assert float(process.sigma(torch.tensor(float(t)))) == pytest.approx(sigma, rel=1e-6)
    for sigma, t in wanted["sigma_to_t"]:
        assert float(process.timestep(torch.tensor(float(sigma)))) == pytest.approx(t, abs=1e-3)


def test_a_batch_of_sigmas_maps_like_each_of_them():
    process = stable_diffusion()
    sigmas = torch.tensor([14.0, 0.05, 1.0])
    assert process.timestep(sigmas).tolist() == [float(process.timestep(sigma)) for sigma in sigmas]


def test_quantized_timesteps_are_the_nearest_whole_ones():
    process = Diffusion(sd_alphas_cumprod(), quantize=True)
    sigmas = process.sigma(torch.tensor([0.2, 300.6, 998.9]))
    assert process.timestep(sigmas).tolist() == [0, 301, 999]


@pytest.mark.parametrize("process", PROCESSES, ids=KINDS)
def test_a_perfect_network_gives_back_the_picture(process):
    torch.manual_seed(0)
    x0, noise = torch.randn(2, 4, 4, 3, 3)
    for sigma in LEVELS:
        x = process.alpha(sigma) * x0 + sigma * noise
        batch = sigma.expand(len(x0))
        a, s = Diffusion(sd_alphas_cumprod()).preserving(sigma)
        if isinstance(process, Edm):
            spread, sign = process.sigma_data, 1 if process.prediction == "eps" else -1
            output = sign * (sigma * x0 - spread**2 * noise) / (spread * (sigma**2 + spread**2) ** 0.5)
        elif isinstance(process, RectifiedFlow):
            output = noise - x0
        else:
            output = noise if process.prediction == "eps" else a * noise - s * x0
        assert torch.allclose(process.to_x0(x, batch, output), x0, atol=2e-4)


@pytest.mark.parametrize("process", PROCESSES, ids=KINDS)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_an_ancestral_step_arrives_at_its_level(process, eta):
    """Both the picture's share and the noise's spread are those of the level asked for."""
    for sigma, to in ((0.9, 0.6), (0.5, 0.49), (0.3, 0.0)):
        down, keep, up = process.ancestral_step(torch.tensor(sigma), torch.tensor(to), eta)
        assert float(keep * process.alpha(down)) == pytest.approx(float(process.alpha(torch.tensor(to))), rel=1e-5)
        assert float((keep * down) ** 2 + up**2) == pytest.approx(to**2, abs=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=KINDS)
def test_noising_up_arrives_at_its_level(process):
    hat = process.churned(torch.tensor(0.4), 0.3)
    keep, up = process.noised_up(torch.tensor(0.4), hat)
    assert float(hat / process.alpha(hat)) == pytest.approx(
        1.3 * 0.4 / float(process.alpha(torch.tensor(0.4))), rel=1e-5
    )
    assert float((keep * 0.4) ** 2 + up**2) == pytest.approx(float(hat) ** 2, rel=1e-5)


@pytest.mark.parametrize("process", PROCESSES, ids=KINDS)
def test_inverses(process):
    assert torch.allclose(process.sigma_of_half_log_snr(process.half_log_snr(LEVELS)), LEVELS, rtol=1e-5)
    assert torch.allclose(process.sigma(process.position(LEVELS)), LEVELS, rtol=1e-4)
    a, s = process.preserving(LEVELS)
    assert torch.allclose(a / s, process.alpha(LEVELS) / LEVELS, rtol=1e-5)


@pytest.mark.parametrize(
    ("process", "prediction"),
    [(Edm(), "epsilon"), (Edm(0.002, 120.0, sigma_data=1.0, prediction="v"), "v_prediction")],
    ids=["Playground", "CosXL"],
)
def test_edm_walks_as_in_diffusers(process, prediction):
    """The whole way with a network that is none: what it is told, what it sees, what its output means."""
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(process.sigma_min, process.sigma_max, process.sigma_data, prediction_type=prediction)
    scheduler.set_timesteps(9)
    torch.manual_seed(1)
    start = torch.randn(2, 4, 3, 3) * process.sigma_max

    def network(x, t):
        return torch.tanh(x * (1 + t)) - x / 3

    theirs = start.clone()
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(scheduler.scale_model_input(theirs, t), t), t, theirs).prev_sample
    ours = start.clone()
    for sigma, to in pairwise(scheduler.sigmas.float()):
        levels = sigma.expand(len(ours))
        told = process.timestep(levels).reshape(-1, 1, 1, 1)
        x0 = process.to_x0(ours, levels, network(process.to_input(ours, levels), told))
        ours = ours + (ours - x0) / sigma * (to - sigma)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_zero_terminal_snr_keeps_the_first_level_and_ends_in_noise():
    table = sd_alphas_cumprod()
    rescaled = altered(table, zero_snr=True)
    assert torch.allclose(rescaled[0], table[0])
    assert rescaled[-1] < 1e-7
    assert (rescaled.diff() < 0).all()


def test_a_flow_network_is_told_the_shifted_level_and_schedules_count_unshifted():
    flow = RectifiedFlow(shift=3.0)
    assert float(flow.sigma(torch.tensor(500.0))) == pytest.approx(0.75)
    assert float(flow.timestep(torch.tensor(0.75))) == pytest.approx(750)
    assert flow.sigma_max == pytest.approx(1.0)
