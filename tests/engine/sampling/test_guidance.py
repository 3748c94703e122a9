"""Laws of what may be done with the guided prediction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from webui.engine.denoisers import Change, changed
from webui.engine.sampling.process import Diffusion, Process, RectifiedFlow, sd_alphas_cumprod
from webui.engine.sampling.types import Denoiser, denoiser
from webui.features.adaptive_projected_guidance.engine import projected
from webui.features.cfg_rescale.engine import rescaled
from webui.features.dynamic_thresholding.engine import thresholded
from webui.features.perturbed_attention.engine import perturbed

SCALE = 7.5
PROCESSES: list[Process] = [
    Diffusion(sd_alphas_cumprod()),
    Diffusion(sd_alphas_cumprod(), "v"),
    RectifiedFlow(shift=3.0),
]
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.full((2,), 0.9)


def conditional(x: Tensor) -> Tensor:
    return 0.6 * x + 0.3


def unconditional(x: Tensor) -> Tensor:
    return 0.4 * x.flip(-1)


def plain(scale: float = SCALE, process: Process = PROCESSES[0]) -> Denoiser:
    def both(x: Tensor, _sigma: Tensor) -> tuple[Tensor, Tensor]:
        u = unconditional(x)
        return u + scale * (conditional(x) - u), u

    return denoiser(process, lambda x, sigma: both(x, sigma)[0], both)


CHANGES: dict[str, tuple[Callable[[], Change], Callable[[], Change]]] = {
    "rescale": (lambda: rescaled(0.0), lambda: rescaled(0.7)),
    "apg": (lambda: projected(SCALE, 1.0, 0.0, 0.0), lambda: projected(SCALE, 0.0, 5.0, -0.5)),
    "thresholding": (lambda: thresholded(SCALE, 0.95), lambda: thresholded(3.0, 0.95)),
    "pag": (lambda: perturbed(lambda parts: parts.unconditional, 0.0), lambda: perturbed(lambda p: p.x * 0, 3.0)),
}
every_change = pytest.mark.parametrize("name", CHANGES)


@every_change
@pytest.mark.parametrize("process", PROCESSES, ids=["eps", "v", "flow"])
def test_at_its_neutral_value_it_is_plain_guidance(name: str, process: Process) -> None:
    neutral, strong = CHANGES[name]
    wanted = plain(process=process)(X, SIGMA)
    torch.testing.assert_close(changed(plain(process=process), SCALE, [neutral()])(X, SIGMA), wanted)
    assert not torch.allclose(changed(plain(process=process), SCALE, [strong()])(X, SIGMA), wanted, atol=0.01)


@every_change
def test_a_picture_does_not_depend_on_its_neighbours(name: str) -> None:
    together = changed(plain(), SCALE, [CHANGES[name][1]()])(X, SIGMA)
    alone = changed(plain(), SCALE, [CHANGES[name][1]()])(X[1:], SIGMA[1:])
    torch.testing.assert_close(together[1:], alone)


@every_change
def test_the_unconditional_prediction_stays_as_it_is(name: str) -> None:
    x0, u = changed(plain(), SCALE, [CHANGES[name][1]()]).both(X, SIGMA)
    torch.testing.assert_close(u, unconditional(X))
    torch.testing.assert_close(x0, changed(plain(), SCALE, [CHANGES[name][1]()])(X, SIGMA))


@pytest.mark.parametrize("name", ["rescale", "apg", "thresholding"])
def test_without_guidance_there_is_nothing_to_change(name: str) -> None:
    changes = {"rescale": rescaled(1.0), "apg": projected(1.0, 0.0, 1.0, -0.5), "thresholding": thresholded(3.0, 1.0)}
    torch.testing.assert_close(changed(plain(1.0), 1.0, [changes[name]])(X, SIGMA), conditional(X))


def test_no_change_is_the_denoiser_itself() -> None:
    denoise = plain()
    assert changed(denoise, SCALE, []) is denoise


def test_a_full_rescale_has_the_contrast_of_the_prompt_alone() -> None:
    x0 = changed(plain(), SCALE, [rescaled(1.0)])(X, SIGMA)
    torch.testing.assert_close(x0.std(dim=(1, 2, 3)), conditional(X).std(dim=(1, 2, 3)))


def test_thresholding_keeps_within_the_range_of_the_lower_scale() -> None:
    def reach(x0: Tensor) -> Tensor:
        return (x0 - x0.mean(dim=(2, 3), keepdim=True)).abs().amax(dim=(2, 3))

    x0 = changed(plain(20.0), 20.0, [thresholded(3.0, 0.95)])(X, SIGMA)
    before = reach(x0 * 0 + plain(20.0)(X, SIGMA))
    allowed = reach(plain(3.0)(X, SIGMA))
    around = x0 - plain(20.0)(X, SIGMA).mean(dim=(2, 3), keepdim=True)
    assert (around.abs().amax(dim=(2, 3)) <= allowed * 1.001).all()
    assert (before > allowed).all()


def test_projection_leaves_nothing_along_the_prompt() -> None:
    c = conditional(X)
    x0 = changed(plain(), SCALE, [projected(SCALE, 0.0, 0.0, 0.0)])(X, SIGMA)
    torch.testing.assert_close(((x0 - c) * c).sum(dim=(1, 2, 3)), torch.zeros(2), atol=1e-2, rtol=0)


def test_the_norm_of_guidance_is_limited() -> None:
    x0 = changed(plain(), SCALE, [projected(SCALE, 1.0, 2.0, 0.0)])(X, SIGMA)
    lengths = torch.linalg.vector_norm(x0 - conditional(X), dim=(1, 2, 3)) / (SCALE - 1)
    torch.testing.assert_close(lengths, torch.full((2,), 2.0))


def test_momentum_counts_earlier_calls_of_its_own_pass() -> None:
    steady = changed(plain(), SCALE, [projected(SCALE, 1.0, 0.0, -0.5)])
    first, second = steady(X, SIGMA), steady(X, SIGMA)
    c = conditional(X)
    torch.testing.assert_close(second - c, 0.5 * (first - c))
    torch.testing.assert_close(changed(plain(), SCALE, [projected(SCALE, 1.0, 0.0, -0.5)])(X, SIGMA), first)
