from __future__ import annotations

import pytest
import torch
from torch import Tensor

from webui.engine.sampling.masking import kept_after, kept_before
from webui.engine.sampling.process import Diffusion, Flow, sd_alphas_cumprod
from webui.engine.sampling.types import denoiser

SIGMA = torch.tensor([0.7])


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    x, original = torch.randn(2, 1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., :3] = 1
    return x, original, mask


@pytest.mark.parametrize("process", [Diffusion(sd_alphas_cumprod()), Flow()], ids=["sd", "flow"])
def test_after_the_answer_is_the_original_outside(process):
    x, original, mask = tensors()
    keeping = kept_after(denoiser(process, lambda x, _: 2 * x, lambda x, _: (2 * x, 3 * x)), mask, original)
    answer = keeping(x, SIGMA)
    assert torch.equal(answer[..., 3:], original[..., 3:])
    assert torch.equal(answer[..., :3], 2 * x[..., :3])
    guided, unconditional = keeping.both(x, SIGMA)
    assert torch.equal(guided, answer)
    assert torch.equal(unconditional, 3 * x)


@pytest.mark.parametrize("process", [Diffusion(sd_alphas_cumprod()), Flow()], ids=["sd", "flow"])
def test_before_the_network_sees_the_original_and_its_noise_counts(process):
    x, original, mask = tensors()
    seen = []

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(x)
        return 0.5 * x

    keeping = kept_before(denoiser(process, answer), mask, original)
    x0 = keeping(x, SIGMA)
    a, _ = process.preserving(SIGMA[0])
    assert torch.allclose(seen[0][..., 3:] * a / process.alpha(SIGMA[0]), original[..., 3:], atol=1e-6)
    assert torch.allclose(seen[0][..., :3], x[..., :3], atol=1e-6)
    alpha = process.alpha(SIGMA)
    eps = (seen[0] - alpha * 0.5 * seen[0]) / SIGMA
    assert torch.allclose(alpha * x0 + SIGMA * eps, x, atol=1e-5)
    assert torch.equal(keeping.both(x, SIGMA)[0], x0)
