"""Latent consistency models: predict the picture, noise it to the next level. Luo et al. 2023, arXiv:2310.04378."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from webui.engine.sampling.process import Diffusion, Process, append_dims, append_zero
from webui.engine.sampling.types import Denoiser, Noise, per_image

STRIDE = 20
"""The models were distilled on every twentieth of a thousand timesteps."""
SIGMA_DATA = 0.5
TIME_SCALING = 10.0


def lcm(denoise: Denoiser, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Multistep consistency sampling. Algorithm 3 of the appendix; Song et al. 2023, arXiv:2303.01469, algorithm 1."""
    for i in range(len(sigmas) - 1):
        x0 = denoise(x, per_image(sigmas[i], x))
        x = x0
        if sigmas[i + 1] > 0:
            to = sigmas[i + 1]
            x = denoise.process.alpha(to) * x0 + to * noise(sigmas[i], to)
    return x


def consistency(process: Process) -> Process:
    """The process as a consistency model sees it; others than Stable Diffusion's stay as they are."""
    return Consistency(process.alphas_cumprod, "eps") if isinstance(process, Diffusion) else process


@dataclass(frozen=True, eq=False)
class Consistency(Diffusion):
    """Stable Diffusion's process at 50 timesteps, with the boundary condition of consistency models in its x0.

    A1111: the network's output counts as noise here, whatever the checkpoint predicts.
    """

    def to(self, device: torch.device | str) -> Consistency:
        return replace(self, alphas_cumprod=self.alphas_cumprod.to(device))

    @cached_property
    def sigmas(self) -> Tensor:
        table = self.alphas_cumprod[STRIDE - 1 :: STRIDE].float()
        return ((1 - table) / table) ** 0.5

    def timestep(self, sigma: Tensor) -> Tensor:
        """The nearest of the 50, as a whole timestep of the thousand."""
        logs = self.log_sigmas.to(sigma.device)
        nearest = (sigma.log() - logs.reshape(-1, *[1] * sigma.ndim)).abs().argmin(dim=0)
        return nearest * STRIDE + (STRIDE - 1)

    def sigma(self, t: Tensor) -> Tensor:
        return super().sigma(((t - (STRIDE - 1)) / STRIDE).float().clamp(0, len(self.sigmas) - 1))

    def spaced(self, n: int) -> Tensor:
        last = len(self.alphas_cumprod) - 1
        return append_zero(self.sigma(torch.linspace(last, STRIDE - 1, n, device=self.sigmas.device)))

    def to_x0(self, x: Tensor, sigma: Tensor, output: Tensor) -> Tensor:
        """Skips to x itself where there is no noise. Luo et al. 2023, eq. 9 and section 5."""
        scaled = append_dims(self.timestep(sigma), x) * TIME_SCALING
        c_skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        c_out = scaled / (scaled**2 + SIGMA_DATA**2) ** 0.5
        return c_out * super().to_x0(x, sigma, output) + c_skip * x
