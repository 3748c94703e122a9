"""What tells drawn pictures from true ones, so that the decoder draws edges instead of means.

A discriminator of patches with the hinge loss, as autoencoders of latent diffusion have (Esser et al. 2021,
arXiv:2012.09841, section 3.1; Lim & Ye 2017, arXiv:1705.02894), and distances between the features of the model's own
encoder, in the place of a network that would have to be downloaded (Johnson et al. 2016, arXiv:1603.08155).
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class Adversary(nn.Module):
    """Pictures (n, 3, h, w) in -1..1 -> how true each patch looks, (n, 1, h / 8, w / 8); higher is truer."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        before = 3
        for after in widths:
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
            before = after
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 3, 1, 1)))

    def forward(self, pictures: Tensor) -> Tensor:
        looks: Tensor = self.layers(pictures)
        return looks

    def error(self, drawn: Tensor, true: Tensor) -> Tensor:
        """The hinge loss: what the adversary makes less."""
        return 0.5 * (F.relu(1 - self(true)).mean() + F.relu(1 + self(drawn.detach())).mean())


def perceived(vae: AutoencoderKL, drawn: Tensor, true: Tensor) -> Tensor:
    """How far pictures (n, 3, h, w) lie apart in the first levels of the encoder, channels of deviation 1."""
    features_drawn, features_true = (_features(vae, pictures) for pictures in (drawn, true))
    total = drawn.new_zeros(())
    for mine, wanted in zip(features_drawn, features_true, strict=True):
        spread = wanted.detach().float().std((0, 2, 3), keepdim=True) + 1e-2
        total = total + ((mine.float() - wanted.detach().float()) / spread).abs().mean()
    return total / len(features_true)


LEVELS = 3
"""Of the encoder, whose features are compared: down to an eighth of the sides."""


def _features(vae: AutoencoderKL, pictures: Tensor) -> list[Tensor]:
    found = []
    x = vae.encoder.conv_in(pictures)
    for block in vae.encoder.down_blocks[:LEVELS]:
        for resnet in block.resnets:
            x = resnet(x, temb=None)
        found.append(x)
        for down in block.downsamplers or ():
            x = down(x)
    return found


def balanced(error: Tensor, opposing: Tensor, last: Tensor) -> Tensor:
    """The weight of `opposing` at which both pull at the last layer alike, 0..100 (Esser et al. 2021, eq. 7)."""
    (ours,) = torch.autograd.grad(error, last, retain_graph=True)
    (theirs,) = torch.autograd.grad(opposing, last, retain_graph=True)
    weight: Tensor = ours.norm() / (theirs.norm() + 1e-6)
    return weight.clamp(0, 100).detach()
