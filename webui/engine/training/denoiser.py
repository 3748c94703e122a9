"""Second stage: the UNet that draws, and the text tower that tells it what, trained together.

Ho et al. 2020 (arXiv:2006.11239) on latents as Rombach et al. 2022 (arXiv:2112.10752), with the velocity as what is
predicted, v = sqrt(a) noise - sqrt(1 - a) x0 (Salimans & Ho 2022, arXiv:2202.00512, appendix D): at the highest noise,
where it is decided which picture it shall be, that is the picture itself. A tenth of the captions is empty, for
guidance (Ho & Salimans 2022, arXiv:2207.12598).
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel

from webui.engine.training.budget import Budget, averaged, decay
from webui.engine.training.config import END_TOKEN, LATENT_SCALE, VOCABULARY, DenoiserTraining, TextTraining, Training
from webui.engine.training.data import Emoji, Scene, ScenePart, phrase, scenes
from webui.engine.training.networks import build_text_tower, build_unet
from webui.engine.training.streams import streamed, workers_for
from webui.engine.training.tokens import token_ids
from webui.engine.training.vae import SAVED_EVERY, autocast, encoded, save_state, standing

log = logging.getLogger(__name__)

GRID = 8
"""The text tower is taught by this many patches along either side of the latents."""


class TextConditionedUNet(nn.Module):
    """UNet and text tower: what the second stage trains."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text = unet, text
        self.register_buffer("seen", torch.zeros(VOCABULARY, dtype=torch.bool))
        self.seen: Tensor
        """Which tokens have been in a caption, (49408,) bool."""

    def forward(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """The velocity of x (n, c, h, w) at steps t (n,) under token ids (n, 77)."""
        velocity: Tensor = self.unet(x, t, self.text(input_ids=ids).last_hidden_state).sample
        return velocity


@dataclass
class Latents:
    """Pictures at hand, scaled to deviation 1, float16: each plain emoji, and composed scenes with their captions."""

    plain: Tensor
    composed: Tensor
    ids: Tensor
    """(scenes, 77) int64"""

    def to(self, device: torch.device) -> Latents:
        return Latents(self.plain.to(device), self.composed.to(device), self.ids.to(device))


@dataclass
class Painter:
    """Paints scenes and encodes them."""

    vae: AutoencoderKL
    emoji: Emoji
    device: torch.device
    together: int = 16

    def scenes(self, seed: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        """Composed scenes without end, `together` at a time: latents (n, c, h, w) float16 scaled to deviation 1, and
        token ids (n, 77), both on the device."""
        painted = partial(_painted, self.emoji, self.together)
        for pictures, ids in streamed(painted, seed, workers_for(self.device)):
            yield self.latents(pictures), torch.from_numpy(ids).to(self.device)

    def latents(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Of pictures (n, h, w, 3)."""
        return (encoded(self.vae, pictures, self.device) * LATENT_SCALE).half()


def _painted(
    emoji: Emoji, together: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    source = scenes(emoji, rng)
    while True:
        wanted = [next(source) for _ in range(together)]
        ids = token_ids([scene.caption for scene in wanted])
        yield np.stack([emoji.paint(scene) for scene in wanted]), ids.numpy()


def first_latents(training: Training, painter: Painter, cache: Path) -> Latents:
    """Every plain emoji, and the first composed scenes; kept in `cache/latents.pt` for this encoder."""
    emoji, state = painter.emoji, cache / "latents.pt"
    encoder = painter.vae.quant_conv.weight.double().sum().item()
    saved = torch.load(state, weights_only=True) if state.exists() else {}
    if not math.isclose(saved.get("encoder", math.inf), encoder, rel_tol=1e-5):  # other machines round otherwise
        log.info("encoding %d pictures", len(emoji.names) + training.composed)
        some = [
            np.stack([emoji.paint(Scene("", (ScenePart(index),))) for index in indices])
            for indices in np.array_split(np.arange(len(emoji.names)), -(-len(emoji.names) // painter.together))
        ]
        plain = torch.cat([painter.latents(pictures).cpu() for pictures in some])
        source = painter.scenes((training.seed, 1))
        parts = [next(source) for _ in range(-(-training.composed // painter.together))]
        composed, ids = (torch.cat(of_all)[: training.composed].cpu() for of_all in zip(*parts, strict=True))
        saved = {"encoder": encoder, "plain": plain, "composed": composed, "ids": ids}
        save_state(saved, state)
    return Latents(saved["plain"], saved["composed"], saved["ids"])


def signal_shares() -> Tensor:
    """The cumulative product of alphas of SD1's schedule: 1000 steps, roots of beta from 0.00085 to 0.012 evenly."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


@dataclass
class Lessons:
    """Batches without end: plain emoji under ever new phrases, and composed scenes, painted anew bit by bit."""

    training: Training
    emoji: Emoji
    latents: Latents
    painter: Painter | None = None
    """Without it the composed scenes stay."""

    def batches(self, plan: TextTraining | DenoiserTraining, done: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents (batch, c, h, w) float32 and token ids (batch, 77), where the latents are. done: lessons before; a
        run that goes on from them has others."""
        seed, size, share = (self.training.seed, 2, done), plan.batch, self.training.denoiser
        held, device = self.latents, self.latents.plain.device
        rng, due = np.random.default_rng(seed), 0.0
        asked = streamed(partial(_asked, self.emoji, size), (*seed, 0), workers_for(device))
        fresh = self.painter.scenes((*seed, 1)) if self.painter is not None else None
        empty = token_ids([""]).to(device)
        for chosen, said in asked:
            due += size * plan.renewed
            while fresh is not None and due >= self.training.together:
                pictures, ids = next(fresh)
                due -= len(ids)
                places = torch.from_numpy(rng.choice(len(held.ids), len(ids), replace=len(ids) > len(held.ids)))
                held.composed[places.to(device)], held.ids[places.to(device)] = pictures, ids
            latents, ids = held.plain[torch.from_numpy(chosen).to(device)], torch.from_numpy(said).to(device)
            composed = torch.from_numpy(np.flatnonzero(rng.random(size) >= share.plain_pictures)).to(device)
            places = torch.from_numpy(rng.integers(0, len(held.ids), len(composed))).to(device)
            latents[composed], ids[composed] = held.composed[places], held.ids[places]
            ids[torch.from_numpy(rng.random(size) < share.empty_captions).to(device)] = empty
            yield latents.float(), ids


def _asked(emoji: Emoji, size: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Plain emoji without end, as they are asked for: (size,), and the captions' token ids, (size, 77)."""
    while True:
        chosen = rng.choice(len(emoji.weights), size=size, p=emoji.weights)
        yield chosen, token_ids([phrase(emoji, int(index), rng) for index in chosen]).numpy()


def patches(latents: Tensor) -> Tensor:
    """Latents (n, c, h, w) as an 8x8 grid of patches, row by row: (n, 64, c h w / 64)."""
    n, channels, height, width = latents.shape
    tiles = latents.reshape(n, channels, GRID, height // GRID, GRID, width // GRID)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(n, GRID * GRID, -1)


def teach_text(model: TextConditionedUNet, lessons: Lessons, cache: Path, device: torch.device) -> None:
    """Train the text tower alone: each of a caption's last 64 ends foretells one patch of the picture's latents.

    A UNet learns nothing from a text tower of random weights for a long while, as the many ends that pad a caption all
    say the same. Afterwards each of them describes its own place, and the UNet has but to look there. Costs little: no
    UNet runs. Resumes from `cache/text.pt`, and leaves it complete.
    """
    plan, text, state = lessons.training.text, model.text, cache / "text.pt"
    head = nn.Linear(text.config.hidden_size, lessons.latents.plain[0].numel() // GRID**2).to(device)
    optimizer = torch.optim.AdamW([*text.parameters(), *head.parameters()], plan.rate, weight_decay=0.0)
    budget, recent, last_save = Budget.of(plan), 1.0, time.monotonic()
    if state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        text.load_state_dict(saved["text"])
        head.load_state_dict(saved["head"])
        optimizer.load_state_dict(saved["optimizer"])
        budget.done, recent = saved["done"], saved["recent"]
        if saved.get("enough", 0) >= plan.lessons:
            return
    over = budget.done >= budget.planned
    for step, (pictures, ids) in enumerate(lessons.batches(plan, budget.done), start=1):
        if over:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * budget.rate(plan.warmup)
        described = (ids[:, -GRID * GRID :] == END_TOKEN).to(device)
        with autocast(device):
            foretold = head(text(input_ids=ids.to(device)).last_hidden_state[:, -GRID * GRID :])
        loss = (foretold.float() - patches(pictures.to(device))).square().mean(2)[described].mean()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(text.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.seen[ids.to(device)] = True
        budget.done += plan.batch
        recent += (loss.item() - recent) * max(0.02, 1 / step)
        if step % 50 == 0:
            log.info("text: %d of %d lessons, left unexplained %.3f", budget.done, budget.planned, recent)
        over = budget.over
        if over or time.monotonic() - last_save > SAVED_EVERY:
            last_save = time.monotonic()
            kept = {"text": text.state_dict(), "head": head.state_dict(), "recent": recent}
            save_state({**kept, "optimizer": optimizer.state_dict(), **standing(budget)}, state)


def from_velocity(x: Tensor, velocity: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """(picture, noise) in x, all (n, c, h, w); share: of the signal, as it broadcasts."""
    keep, rest = share.sqrt(), (1 - share).sqrt()
    return keep * x - rest * velocity, rest * x + keep * velocity


@torch.no_grad()
def denoised(
    model: TextConditionedUNet, x: Tensor, captions: Sequence[str], times: Sequence[int], guidance: float
) -> Tensor:
    """Latents (n, c, h, w) of the captions' pictures, by DDIM without noise (Song et al. 2021, arXiv:2010.02502, (12)).

    x: noised latents (n, c, h, w) at the first of `times`, which fall. `guidance`: the classifier-free scale.
    """
    shares = signal_shares().to(x.device)
    ids = torch.cat([token_ids([""]).expand(len(captions), -1), token_ids(captions)]).to(x.device)
    with autocast(x.device):
        context = model.text(input_ids=ids).last_hidden_state
    for now, later in zip(times, [*times[1:], None], strict=True):
        after = torch.ones_like(shares[now]) if later is None else shares[later]
        with autocast(x.device):
            asked_twice = model.unet(torch.cat([x, x]), torch.tensor(now, device=x.device), context).sample
        empty, asked = asked_twice.float().chunk(2)
        x0, noise = from_velocity(x, empty + guidance * (asked - empty), shares[now])
        x = after.sqrt() * x0 + (1 - after).sqrt() * noise
    return x


def new_denoiser(training: Training) -> TextConditionedUNet:
    torch.manual_seed(training.seed)
    return TextConditionedUNet(build_unet(training.networks), build_text_tower(training.networks))


def _optimizer(model: TextConditionedUNet, plan: DenoiserTraining) -> torch.optim.AdamW:
    """Its groups have their `share` of the rate."""
    return torch.optim.AdamW(
        [
            {"params": list(model.unet.parameters()), "weight_decay": plan.weight_decay, "share": 1.0},
            {"params": list(model.text.parameters()), "weight_decay": 0.0, "share": plan.text_share},
        ],
        plan.rate,
        betas=(0.9, 0.99),
        fused=True,
    )


def train_denoiser(
    training: Training,
    lessons: Lessons,
    cache: Path,
    device: torch.device,
    begun: TextConditionedUNet | None = None,
    *,
    compiled: bool = False,
) -> TextConditionedUNet:
    """The trained networks, averaged over lessons; resumes from `cache/denoiser.pt` and leaves it complete.

    begun: weights to go on from, instead of random ones and a text tower that is taught first. compiled: the networks'
    calls are compiled before the first lesson.
    """
    plan, state = training.denoiser, cache / "denoiser.pt"
    model = (begun or new_denoiser(training)).to(device)
    model.unet.to(memory_format=torch.channels_last)
    predict = torch.compile(model) if compiled else model
    saved = torch.load(state, map_location=device, weights_only=True) if state.exists() else None
    if saved is None and begun is None:
        teach_text(model, lessons, cache, device)
    mean = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = _optimizer(model, plan)
    budget, step = Budget.of(plan), 0
    if saved is not None:
        model.load_state_dict(saved["model"])
        mean.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        budget.done, step = saved["done"], saved["step"]
        if saved.get("enough", 0) >= plan.lessons:
            return mean
    torch.manual_seed(training.seed + step)
    shares = signal_shares().to(device)
    recent, last_save = 0.0, time.monotonic()
    over = budget.done >= budget.planned
    for pictures, ids in lessons.batches(plan, budget.done):
        if over:
            break
        x0, ids = pictures.to(device), ids.to(device)
        t = (1000 * torch.rand(len(x0), device=device) ** 0.7).long()  # more of the high noise: there text is heard
        share = shares[t][:, None, None, None]
        noise = torch.randn_like(x0)
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * plan.rate * budget.rate(plan.warmup)
        with autocast(device):
            predicted = predict(share.sqrt() * x0 + (1 - share).sqrt() * noise, t, ids)
        loss = (predicted.float() - (share.sqrt() * noise - (1 - share).sqrt() * x0)).square().mean()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.seen[ids] = True
        averaged(mean, model, decay(plan.span, plan.batch, budget.done))
        step += 1
        budget.done += plan.batch
        recent += (loss.item() - recent) * max(0.01, 1 / step)
        if step % 50 == 0:
            log.info("denoiser: %d of %d lessons, loss %.4f", budget.done, budget.planned, recent)
        over = budget.over
        if over or time.monotonic() - last_save > SAVED_EVERY:
            last_save = time.monotonic()
            mean.seen.copy_(model.seen)
            kept = {"model": model.state_dict(), "mean": mean.state_dict(), "step": step}
            save_state({**kept, "optimizer": optimizer.state_dict(), **standing(budget)}, state)
    mean.seen.copy_(model.seen)
    return mean
