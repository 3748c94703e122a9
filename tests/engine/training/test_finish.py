"""The third stage: the decoder learns the true pictures of the denoiser's own latents, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from webui.engine.training.config import LATENT_SCALE, FinishTraining, Networks, Training
from webui.engine.training.data import Emoji
from webui.engine.training.denoiser import TextConditionedUNet
from webui.engine.training.finish import finished
from webui.engine.training.networks import build_text_tower, build_unet, build_vae

SMALL = Training(
    size=64,
    networks=Networks(
        vae_widths=(16, 16, 16, 16, 32),
        unet_widths=(32, 32),
        unet_attention=(False, True),
        text_width=64,
        text_layers=1,
    ),
    finish=FinishTraining(lessons=240, warmup=8, pictures=6, batch=4, denoising_steps=2, adversary_alone=40),
)


@pytest.mark.long
def test_the_decoder_learns_what_the_denoiser_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pixels = np.full((2, 64, 64, 4), 255, np.uint8)
    pixels[0, 16:48, 16:48], pixels[1, :, 32:] = (220, 30, 30, 255), (30, 60, 220, 255)
    emoji = Emoji(("red apple", "blue book"), ((), ()), ("Food & Drink", "Objects"), pixels, (0.0, 0.6))
    model = (
        TextConditionedUNet(build_unet(SMALL.networks), build_text_tower(SMALL.networks)).requires_grad_(False).eval()
    )
    vae = build_vae(SMALL.networks).requires_grad_(False).eval()
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    done = finished(SMALL, model, vae, emoji, tmp_path)

    guesses = torch.load(tmp_path / "guesses.pt", weights_only=True)
    assert guesses["latents"].shape == (6, 16, 4, 4)
    latents, wanted = guesses["latents"].float() / LATENT_SCALE, guesses["pictures"].permute(0, 3, 1, 2) / 127.5 - 1
    after = {name: tensor.clone() for name, tensor in done.state_dict().items()}
    for name, tensor in after.items():
        if name.startswith(("encoder", "quant_conv")):
            assert torch.equal(tensor, before[name]), name
    with torch.no_grad():
        error = (done.decode(latents).sample - wanted).abs().mean()
        vae.load_state_dict(before)
        assert error < (vae.decode(latents).sample - wanted).abs().mean()

    again = finished(SMALL, model, vae, emoji, tmp_path)
    assert all(torch.equal(tensor, after[name]) for name, tensor in again.state_dict().items()), "it is complete"
    model.unet.conv_out.weight.add_(1.0)
    finished(SMALL, model, vae, emoji, tmp_path)
    other = torch.load(tmp_path / "guesses.pt", weights_only=True)["latents"]
    assert not torch.equal(other, guesses["latents"]), "another denoiser guesses otherwise"
