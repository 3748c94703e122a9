"""The refined exponential solver. Zhang et al. 2023, arXiv:2308.02157."""

# ruff: noqa: ARG001 -- samplers share one signature

from __future__ import annotations

from torch import Tensor

from webui.engine.sampling.dpmpp import first_order
from webui.engine.sampling.types import Denoiser, Noise, per_image


def res_multistep(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Second order from the last two predictions, exact where the prediction is linear in lambda.

    x' = sigma'/sigma x + alpha' h (b1 x0 + b2 x0_before), b2 = phi2(-h) / c, b1 = phi1(-h) - b2, with
    c = (lambda_before - lambda) / h: the order conditions of section 3 for an earlier step as the second node.
    phi1(z) = (e^z - 1) / z, phi2(z) = (phi1(z) - 1) / z.
    """
    process = denoise.process
    lam = process.half_log_snr(sigmas)
    before: Tensor | None = None
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        if before is None or sigmas[i + 1] == 0:
            x = first_order(process, x, x0, sigmas[i], sigmas[i + 1])
        else:
            h = lam[i + 1] - lam[i]
            phi_1 = -(-h).expm1() / h
            b2 = (1 - phi_1) / (lam[i - 1] - lam[i])
            x = sigmas[i + 1] / sigmas[i] * x + process.alpha(sigmas[i + 1]) * h * ((phi_1 - b2) * x0 + b2 * before)
        before = x0
    return x
