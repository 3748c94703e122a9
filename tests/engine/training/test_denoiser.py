"""The second stage learns, ends with its lessons, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from webui.engine.training.budget import Budget, decay
from webui.engine.training.command import planned
from webui.engine.training.config import ON_CPU, DenoiserTraining, Networks, TextTraining, Training
from webui.engine.training.data import Emoji
from webui.engine.training.denoiser import (
    Latents,
    Lessons,
    Painter,
    TextConditionedUNet,
    first_latents,
    from_velocity,
    new_denoiser,
    patches,
    signal_shares,
    train_denoiser,
)
from webui.engine.training.networks import build_vae
from webui.engine.training.strange_words import answered_by_near_ones
from webui.engine.training.tokens import token_ids
from webui.prompt.tokens import token_texts

CPU = torch.device("cpu")
TINY = Training(
    size=64,
    composed=20,
    renewed=1.0,
    networks=Networks(
        vae_widths=(16, 16, 16, 32),
        unet_widths=(32, 32),
        unet_attention=(False, True),
        text_width=64,
        text_layers=1,
    ),
    text=TextTraining(lessons=8, batch=4, warmup=4),
    denoiser=DenoiserTraining(lessons=8, batch=4, warmup=4),
)


def emoji() -> Emoji:
    pixels = np.full((2, 64, 64, 4), 255, np.uint8)
    pixels[0, 16:48, 16:48], pixels[1, :, 32:] = (220, 30, 30, 255), (30, 60, 220, 255)
    return Emoji(("red apple", "blue book"), ((), ()), ("Food & Drink", "Objects"), pixels, (0.0, 225.0))


def lessons(training: Training = TINY) -> Lessons:
    held = Latents(torch.zeros(2, 16, 8, 8).half(), torch.ones(1, 16, 8, 8).half(), ["a blue apple"])
    return Lessons(training, emoji(), held, np.random.default_rng(0))


def test_the_schedule_is_sd1s() -> None:
    shares = signal_shares()
    assert shares[0].item() == pytest.approx(0.99915, abs=1e-5)
    assert shares[-1].item() == pytest.approx(0.00466, abs=1e-5)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.005])
def test_the_velocity_tells_picture_and_noise_apart(share: float) -> None:
    x0, noise, keep = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3), torch.tensor(share)
    x, velocity = keep.sqrt() * x0 + (1 - keep).sqrt() * noise, keep.sqrt() * noise - (1 - keep).sqrt() * x0
    for found, true in zip(from_velocity(x, velocity, keep), (x0, noise), strict=True):
        assert torch.allclose(found, true, atol=1e-5)


def test_captions_are_padded_as_sd1_pads_them() -> None:
    ids = token_ids(["a red apple", ""])
    assert ids.shape == (2, 77)
    assert ids[0, :6].tolist() == [49406, 320, 736, 3055, 49407, 49407]
    assert ids[1].tolist() == [49406] + [49407] * 76
    assert token_ids(["very " * 200])[0, -1] == 49407


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    rates = [Budget(1000, done).rate(100) for done in (0, 49, 200, 700, 900, 1000)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 0.5, 0.0])
    assert Budget(1000, 1000).over and not Budget(1000, 999).over


def test_a_longer_plan_goes_on_with_the_full_rate() -> None:
    assert planned(ON_CPU, 500).denoiser.lessons == 500
    assert Budget(2000, 1000).rate(100) == 1.0


def test_the_mean_soon_forgets_the_weights_of_chance() -> None:
    kept = 1.0
    for done in range(0, 3200, 32):
        kept *= decay(60_000, 32, done)
    assert kept < 1e-6
    assert decay(60_000, 32, 10**7) == pytest.approx(1 - 32 / 60_000, rel=1e-3)


def test_patches_go_row_by_row() -> None:
    latents = torch.arange(2 * 4 * 16 * 16).reshape(2, 4, 16, 16)
    tiles = patches(latents)
    assert tiles.shape == (2, 64, 16)
    for row, column in ((0, 0), (0, 7), (3, 5)):
        square = latents[1, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert tiles[1, 8 * row + column].tolist() == square.flatten().tolist()


def test_composed_scenes_are_painted_anew_and_encoded_with_their_captions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = build_vae(TINY.networks).requires_grad_(False).eval()
    painter = Painter(vae, emoji(), CPU)
    held = first_latents(TINY, painter, tmp_path)
    assert held.plain.shape == (2, 16, 8, 8) and held.composed.shape == (20, 16, 8, 8) and len(held.captions) == 20
    before, captions = held.composed.clone(), list(held.captions)
    for _ in islice(Lessons(TINY, emoji(), held, np.random.default_rng(1), painter).batches(4), 20):
        pass
    new = [number for number in range(20) if not torch.equal(held.composed[number], before[number])]
    assert len(new) > 10 and [held.captions[number] for number in new] != [captions[number] for number in new]
    again = first_latents(TINY, painter, tmp_path)
    assert torch.equal(again.composed, before) and again.captions == captions


def test_training_ends_with_its_lessons_and_goes_on_from_them(tmp_path: Path) -> None:
    state = tmp_path / "denoiser.pt"
    model = train_denoiser(TINY, lessons(), tmp_path, CPU)
    assert torch.load(state, weights_only=True)["done"] == 8
    again = train_denoiser(TINY, lessons(), tmp_path, CPU)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    longer = dataclasses.replace(TINY, denoiser=dataclasses.replace(TINY.denoiser, lessons=16))
    further = train_denoiser(longer, lessons(longer), tmp_path, CPU)
    assert torch.load(state, weights_only=True)["done"] == 16
    assert not torch.equal(further.unet.conv_out.weight, model.unet.conv_out.weight)


def test_training_begins_with_given_weights(tmp_path: Path) -> None:
    begun = new_denoiser(TINY)
    with torch.no_grad():
        begun.unet.conv_out.bias += 7.0
    model = train_denoiser(TINY, lessons(), tmp_path, CPU, begun)
    assert model.unet.conv_out.bias.mean() > 6.0
    assert not (tmp_path / "text.pt").exists()


def test_a_strange_word_is_answered_by_a_near_one() -> None:
    model: TextConditionedUNet = new_denoiser(TINY)
    texts = token_texts()
    apple, apples, wheelchair = (token_ids([word])[0, 1].item() for word in ("apple", "apples", "wheelchair"))
    model.seen[[49406, 49407, apple]] = True
    embedding = model.text.get_input_embeddings().weight
    known = embedding[apple].clone()
    answered_by_near_ones(model)
    assert torch.equal(embedding[apple], known) and texts[int(apple)] == "apple"
    assert torch.equal(embedding[apples], known)
    assert not embedding[wheelchair].any()
    assert embedding[49406].any()  # the start of every caption
