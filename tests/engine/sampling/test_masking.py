from __future__ import annotations

import pytest
import torch
from torch import Tensor

from webui.engine.sampling.masking import Softness, firmly, kept_after, kept_before, mixed, softly
from webui.engine.sampling.process import Diffusion, RectifiedFlow, sd_alphas_cumprod
from webui.engine.sampling.types import denoiser

SIGMA = torch.tensor([0.7])


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    x, original = torch.randn(2, 1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., :3] = 1
    return x, original, mask


@pytest.mark.parametrize("process", [Diffusion(sd_alphas_cumprod()), RectifiedFlow()], ids=["sd", "flow"])
def test_after_the_answer_is_the_original_outside(process):
    x, original, mask = tensors()
    keeping = kept_after(denoiser(process, lambda x, _: 2 * x, lambda x, _: (2 * x, 3 * x)), firmly(mask, original))
    answer = keeping(x, SIGMA)
    assert torch.equal(answer[..., 3:], original[..., 3:])
    assert torch.equal(answer[..., :3], 2 * x[..., :3])
    guided, unconditional = keeping.both(x, SIGMA)
    assert torch.equal(guided, answer)
    assert torch.equal(unconditional, 3 * x)


@pytest.mark.parametrize("process", [Diffusion(sd_alphas_cumprod()), RectifiedFlow()], ids=["sd", "flow"])
def test_before_the_network_sees_the_original_and_its_noise_counts(process):
    x, original, mask = tensors()
    seen = []

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(x)
        return 0.5 * x

    keeping = kept_before(denoiser(process, answer), firmly(mask, original))
    x0 = keeping(x, SIGMA)
    a, _ = process.preserving(SIGMA[0])
    assert torch.allclose(seen[0][..., 3:] * a / process.alpha(SIGMA[0]), original[..., 3:], atol=1e-6)
    assert torch.allclose(seen[0][..., :3], x[..., :3], atol=1e-6)
    alpha = process.alpha(SIGMA)
    eps = (seen[0] - alpha * 0.5 * seen[0]) / SIGMA
    assert torch.allclose(alpha * x0 + SIGMA * eps, x, atol=1e-5)
    assert torch.equal(keeping.both(x, SIGMA)[0], x0)


def test_a_soft_mask_of_zeros_and_ones_keeps_as_a_firm_one_does():
    x, original, mask = tensors()
    soft = softly(mask, original, Softness())(x, SIGMA)
    assert torch.allclose(soft, firmly(mask, original)(x, SIGMA), atol=1e-4)


def test_soft_blending_lets_more_of_the_original_through_at_high_levels():
    x, original, _ = tensors()
    blend = softly(torch.full((1, 1, 6, 6), 0.5), original, Softness())
    early, late = (blend(x, torch.tensor([sigma])) for sigma in (10.0, 0.1))
    assert (early - original).norm() < (late - original).norm()


def test_mixed_vectors_are_as_long_as_the_power_mean_of_both():
    a, b, _ = tensors()
    share = torch.full((1, 1, 6, 6), 0.25)
    lengths = (0.75 * a.norm(dim=1) ** 4 + 0.25 * b.norm(dim=1) ** 4) ** 0.25
    assert torch.allclose(mixed(a, b, share, 4.0).norm(dim=1), lengths, rtol=1e-3)
