"""The autoencoder's latents are normalised without changing its pictures; untrained, it keeps mean colours."""

from __future__ import annotations

import torch

from webui.engine.training.config import LATENT_SCALE, Networks
from webui.engine.training.networks import build_vae
from webui.engine.training.vae import normalise

SMALL = Networks(vae_widths=(16, 16, 16, 16, 32))


def test_normalised_latents_have_deviation_one_and_decode_to_the_same_picture() -> None:
    torch.manual_seed(0)
    vae = build_vae(SMALL).requires_grad_(False).eval()
    pictures = torch.rand(6, 3, 64, 64) * 2 - 1
    before = vae.encode(pictures).latent_dist
    decoded = vae.decode(before.mean).sample
    normalise(vae, before.mean)
    after = vae.encode(pictures).latent_dist
    scaled = after.mean * LATENT_SCALE
    assert torch.allclose(scaled.mean((0, 2, 3)), torch.zeros(16), atol=1e-4)
    assert torch.allclose(scaled.std((0, 2, 3)), torch.ones(16), atol=1e-3)
    assert torch.allclose(vae.decode(after.mean).sample, decoded, atol=1e-3)
    relative = (after.std / before.std) / (after.mean.std((0, 2, 3)) / before.mean.std((0, 2, 3)))[:, None, None]
    assert torch.allclose(relative, torch.ones_like(relative), atol=1e-3)  # its noise is stretched along


def test_an_untrained_autoencoder_knows_flat_colours_apart() -> None:
    torch.manual_seed(0)
    vae = build_vae(SMALL).requires_grad_(False).eval()
    colours = torch.tensor([[0.9, -0.8, -0.8], [-0.8, 0.6, -0.7], [-0.7, -0.2, 0.9]])
    pictures = colours[:, :, None, None].expand(3, 3, 64, 64)
    decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample[:, :, 16:48, 16:48].mean((2, 3))
    assert torch.cdist(decoded, colours).argmin(1).tolist() == [0, 1, 2]
