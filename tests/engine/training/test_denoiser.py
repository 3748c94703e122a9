"""The second stage learns, ends with its lessons, and goes on where it stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from webui.base.errors import UserError
from webui.engine.families import ldm, sd1
from webui.engine.families.weights import open_weights
from webui.engine.training.budget import Budget, decay
from webui.engine.training.command import as_it_stands, export, loaded, planned, state_folder
from webui.engine.training.config import (
    ON_CPU,
    ON_CUDA,
    DenoiserTraining,
    Networks,
    TextTraining,
    Training,
    VaeTraining,
    in_minutes,
)
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
from webui.engine.training.streams import streamed
from webui.engine.training.tokens import token_ids
from webui.engine.training.vae import train_vae
from webui.prompt.tokens import token_texts

CPU = torch.device("cpu")
TINY = Training(
    size=64,
    composed=20,
    networks=Networks(
        vae_widths=(16, 16, 16, 32),
        unet_widths=(32, 32),
        unet_attention=(False, True),
        text_width=64,
        text_layers=1,
    ),
    text=TextTraining(lessons=8, batch=4, warmup=4, renewed=1.0),
    denoiser=DenoiserTraining(lessons=8, batch=4, warmup=4, renewed=1.0),
)


def emoji() -> Emoji:
    pixels = np.full((2, 64, 64, 4), 255, np.uint8)
    pixels[0, 16:48, 16:48], pixels[1, :, 32:] = (220, 30, 30, 255), (30, 60, 220, 255)
    return Emoji(("red apple", "blue book"), ((), ()), ("Food & Drink", "Objects"), pixels, (0.0, 225.0))


def lessons(training: Training = TINY) -> Lessons:
    held = Latents(torch.zeros(2, 16, 8, 8).half(), torch.ones(1, 16, 8, 8).half(), token_ids(["a blue apple"]))
    return Lessons(training, emoji(), held)


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


def test_a_rate_that_restarts_falls_and_rises_in_parts_each_as_long_as_all_before_it() -> None:
    budgets = {done: Budget(1600, done, restarts=2) for done in (0, 200, 399, 400, 409, 600, 799, 800, 1440, 1599)}
    rates = {done: budget.rate(20) for done, budget in budgets.items()}
    assert rates[0] == pytest.approx(1 / 20) == rates[400] == rates[800]
    assert rates[200] == rates[600] == 1.0
    assert rates[409] == pytest.approx(0.5)
    assert max(rates[399], rates[799], rates[1599]) < 0.02
    assert rates[1440] == pytest.approx(1.0)
    assert not any(budget.over for budget in budgets.values())


def test_a_training_that_has_had_its_time_is_over_and_its_rate_has_fallen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("webui.engine.training.budget.time", SimpleNamespace(monotonic=lambda: now[0]))
    budget = Budget(10**9, seconds=100.0)
    now[0] = 149.0
    assert budget.rate(0) == pytest.approx(0.05) and not budget.over
    now[0] = 150.0
    assert budget.over


def test_minutes_are_shared_out_among_the_stages() -> None:
    short = in_minutes(ON_CUDA, 8)
    stages = (short.vae, short.text, short.denoiser, short.finish)
    assert sum(stage.seconds for stage in stages) == pytest.approx(480)


def test_a_stage_that_had_its_time_is_not_begun_again(tmp_path: Path) -> None:
    hurried = dataclasses.replace(TINY, denoiser=dataclasses.replace(TINY.denoiser, lessons=10**6, seconds=0.0001))
    first = train_denoiser(hurried, lessons(hurried), tmp_path, CPU)
    kept = torch.load(tmp_path / "denoiser.pt", weights_only=True)
    assert kept["done"] == 4  # a step, at least
    again = train_denoiser(hurried, lessons(hurried), tmp_path, CPU)
    assert torch.equal(first.unet.conv_out.weight, again.unet.conv_out.weight)
    assert torch.load(tmp_path / "denoiser.pt", weights_only=True)["done"] == kept["done"]


def test_what_is_drawn_by_workers_is_as_various_as_what_is_drawn_here() -> None:
    here = list(islice(streamed(_numbers, (3,), 0), 6))
    assert here == list(islice(streamed(_numbers, (3,), 0), 6)) != list(islice(streamed(_numbers, (4,), 0), 6))
    beside = list(islice(streamed(_numbers, (3,), 2), 6))
    assert len(set(beside)) == 6 and sorted(beside) == sorted(islice(streamed(_numbers, (3,), 2), 6))


def _numbers(rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield int(rng.integers(10**9))


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
    assert held.plain.shape == (2, 16, 8, 8) and held.composed.shape == (20, 16, 8, 8) and held.ids.shape == (20, 77)
    before, captions = held.composed.clone(), held.ids.clone()
    for _ in islice(Lessons(TINY, emoji(), held, painter).batches(TINY.denoiser, 0), 20):
        pass
    new = [number for number in range(20) if not torch.equal(held.composed[number], before[number])]
    assert len(new) > 10 and not torch.equal(held.ids[new], captions[new])
    again = first_latents(TINY, painter, tmp_path)
    assert torch.equal(again.composed, before) and torch.equal(again.ids, captions)


def test_a_run_that_goes_on_has_other_lessons_than_before() -> None:
    first, same, later = (next(lessons().batches(TINY.denoiser, done))[1] for done in (0, 0, 4))
    assert torch.equal(first, same) and not torch.equal(first, later)


def test_what_is_trained_so_far_is_exported_and_goes_on(tmp_path: Path) -> None:
    """The state of one run gives a checkpoint that the program loads, and from which another run begins."""
    training = dataclasses.replace(TINY, vae=VaeTraining(lessons=8, batch=4, warmup=4))
    cache, out = tmp_path / state_folder(training), tmp_path / "out.safetensors"
    with pytest.raises(UserError, match="not been trained"):
        as_it_stands(training, emoji(), cache, CPU)
    cache.mkdir()
    vae = train_vae(training, emoji(), cache, CPU)
    latents = first_latents(training, Painter(vae, emoji(), CPU), cache)
    train_denoiser(training, Lessons(training, emoji(), latents), cache, CPU)
    export(training, *as_it_stands(training, emoji(), cache, CPU), emoji(), out, CPU)
    file = open_weights(out)
    assert sd1.detect(file) and len(ldm.preview_of(file, (), 16)[0]) == 16
    model, _ = loaded(training, out, CPU)
    assert model.seen.sum() > 10
    assert state_folder(training) != state_folder(ON_CPU)


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
