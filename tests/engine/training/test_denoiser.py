"""The second stage learns, ends on time, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from webui.engine.training.clock import Clock
from webui.engine.training.command import forget_unseen_tokens, planned
from webui.engine.training.config import CPU_128, DenoiserTraining, Networks, Training
from webui.engine.training.data import Emoji
from webui.engine.training.denoiser import Latents, loss_weights, patches, signal_shares, train_denoiser
from webui.engine.training.tokens import token_ids

TINY = Training(
    networks=Networks(unet_widths=(32, 32), unet_attention=(False, True), text_width=64, text_layers=1),
    denoiser=DenoiserTraining(text_minutes=1 / 60, minutes=1 / 60, batch=2, warmup_steps=1),
)


def test_the_schedule_is_sd1s() -> None:
    shares = signal_shares()
    assert shares[0].item() == pytest.approx(0.99915, abs=1e-5)
    assert shares[-1].item() == pytest.approx(0.00466, abs=1e-5)


def test_weights_follow_min_snr_where_the_noise_is_low() -> None:
    shares = signal_shares()
    snr = shares[0] / (1 - shares[0])
    assert loss_weights(shares, 5.0)[0].item() == pytest.approx(5 / snr.item(), rel=0.01)


def test_captions_are_padded_as_sd1_pads_them() -> None:
    ids = token_ids(["a red apple", ""])
    assert ids.shape == (2, 77)
    assert ids[0, :6].tolist() == [49406, 320, 736, 3055, 49407, 49407]
    assert ids[1].tolist() == [49406] + [49407] * 76
    assert token_ids(["very " * 200])[0, -1] == 49407


def test_the_rate_rises_in_steps_and_falls_to_nothing_in_time() -> None:
    clock = Clock(planned=100.0)
    assert clock.rate(0, 10) == pytest.approx(0.1)
    clock.spent = 50.0
    assert clock.rate(99, 10) == pytest.approx(0.5)
    clock.spent = 100.0
    assert clock.over and clock.rate(99, 10) == pytest.approx(0.0)


def test_minutes_are_shared_out_over_all_stages() -> None:
    training = planned(CPU_128, 10.0)
    vae, denoiser = training.vae, training.denoiser
    minutes = (vae.minutes, vae.decoder_minutes, denoiser.text_minutes, denoiser.minutes, training.finish.minutes)
    assert sum(minutes) == pytest.approx(10.0)


def test_patches_go_row_by_row() -> None:
    latents = torch.arange(2 * 4 * 16 * 16).reshape(2, 4, 16, 16)
    tiles = patches(latents)
    assert tiles.shape == (2, 64, 16)
    for row, column in ((0, 0), (0, 7), (3, 5)):
        square = latents[1, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert tiles[1, 8 * row + column].tolist() == square.flatten().tolist()


def test_training_ends_on_time_and_is_not_repeated(tmp_path: Path) -> None:
    emoji = Emoji(("red apple",), ((),), ("Food & Drink",), np.zeros((1, 64, 64, 4), np.uint8), (None,))
    latents = Latents(torch.zeros(1, 4, 8, 8).half(), torch.ones(1, 4, 8, 8).half(), ("a blue apple",))
    device = torch.device("cpu")
    model = train_denoiser(TINY, emoji, latents, tmp_path, device)
    steps = torch.load(tmp_path / "denoiser.pt", weights_only=True)["step"]
    assert steps >= 1
    again = train_denoiser(TINY, emoji, latents, tmp_path, device)
    assert torch.load(tmp_path / "denoiser.pt", weights_only=True)["step"] == steps
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    spent = torch.load(tmp_path / "denoiser.pt", weights_only=True)["spent"]
    longer = dataclasses.replace(TINY, denoiser=dataclasses.replace(TINY.denoiser, minutes=(spent + 0.1) / 60))
    train_denoiser(longer, emoji, latents, tmp_path, device)
    assert torch.load(tmp_path / "denoiser.pt", weights_only=True)["step"] > steps

    forget_unseen_tokens(model)
    embedding = model.text.get_input_embeddings().weight
    assert embedding[49406].any()  # the start of every caption
    assert not embedding[12345].any()
