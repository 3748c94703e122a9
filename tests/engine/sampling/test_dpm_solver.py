from __future__ import annotations

import pytest
import torch

from webui.base.errors import UserError
from webui.engine.sampling.dpm_solver import dpm_adaptive
from webui.engine.sampling.noise import ImageNoise
from webui.engine.sampling.process import Diffusion, RectifiedFlow, append_dims, sd_alphas_cumprod
from webui.engine.sampling.types import denoiser


@pytest.mark.parametrize("process", [Diffusion(sd_alphas_cumprod()), RectifiedFlow(shift=3.0)], ids=["sd", "flow"])
def test_a_tighter_tolerance_takes_more_steps_and_comes_closer(process):
    def expected(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The model of pictures from N(0, 1 / 4)."""
        level = append_dims(sigma, x)
        alpha = process.alpha(level)
        return alpha * 0.25 / (0.25 * alpha**2 + level**2) * x

    noise = ImageNoise("CPU", [1], (4, 16, 16))
    first = noise.first()
    sigmas = process.spaced(30)
    level = sigmas[-2]
    exact = first * (0.25 * process.alpha(level) ** 2 + level**2) ** 0.5
    steps, errors = [], []
    for tolerance in (0.2, 0.001):
        asked: list[float] = []

        def counting(x: torch.Tensor, sigma: torch.Tensor, asked: list[float] = asked) -> torch.Tensor:
            asked.append(float(sigma[0]))
            return expected(x, sigma)

        got = dpm_adaptive(
            denoiser(process, counting),
            first * sigmas[0],
            sigmas,
            noise,
            rtol=tolerance,
            atol=tolerance / 10,
        )
        steps.append(len(asked))
        errors.append(float((got - exact).abs().mean()))
    assert steps[1] > steps[0]
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


def test_a_model_that_breaks_down_ends_the_search_for_a_step():
    process = Diffusion(sd_alphas_cumprod())
    noise = ImageNoise("CPU", [1], (4, 4, 4))
    broken = denoiser(process, lambda x, _: x * float("nan"))
    with pytest.raises(UserError, match="invalid values"):
        dpm_adaptive(broken, noise.first(), process.spaced(10), noise, eta=1.0)
