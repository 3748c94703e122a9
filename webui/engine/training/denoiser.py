"""Second stage: the UNet that predicts the noise, and the text tower that tells it what to see, trained together.

Ho et al. 2020 (arXiv:2006.11239) on latents as Rombach et al. 2022; loss weights after Hang et al. 2023
(arXiv:2303.09556); 10 % empty captions for guidance as Ho & Salimans 2022 (arXiv:2207.12598).
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from webui.engine.training.clock import Clock, averaged
from webui.engine.training.config import END_TOKEN, LATENT_SCALE, VOCABULARY, Training
from webui.engine.training.data import Emoji, Scene, phrase, plain_scene, scenes, to_batch
from webui.engine.training.networks import build_text_tower, build_unet
from webui.engine.training.tokens import token_ids
from webui.engine.training.vae import encoded

log = logging.getLogger(__name__)

GRID = 8
"""The text tower is taught by this many patches along either side of the latents."""


class Denoiser(nn.Module):
    """UNet and text tower: what the second stage trains."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text = unet, text
        self.register_buffer("seen", torch.zeros(VOCABULARY, dtype=torch.bool))
        self.seen: Tensor
        """Which tokens have been in a caption, (49408,) bool."""
        self.text_learns = True

    def forward(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """The noise in x (n, 4, h, w) at steps t (n,) under token ids (n, 77)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.text_learns):
            context = self.text(input_ids=ids).last_hidden_state
        noise: Tensor = self.unet(x, t, context).sample
        return noise


@dataclass(frozen=True)
class Latents:
    """The cached pictures, scaled to deviation 1, float16: each plain emoji, and composed scenes with captions."""

    plain: Tensor
    composed: Tensor
    captions: tuple[str, ...]


def cached_latents(training: Training, vae: AutoencoderKL, emoji: Emoji, cache: Path, device: torch.device) -> Latents:
    """Every plain emoji, and `cached_pictures` composed scenes; kept in `cache/latents.pt` for this encoder."""
    state, encoder = cache / "latents.pt", vae.quant_conv.weight.double().sum().item()
    saved = torch.load(state, weights_only=True) if state.exists() else {}
    if not math.isclose(saved.get("encoder", math.inf), encoder, rel_tol=1e-5):  # other machines round otherwise
        log.info("encoding %d pictures", len(emoji.names) + training.cached_pictures)
        source = scenes(emoji, np.random.default_rng([training.seed, 1]))
        composed = [next(source) for _ in range(training.cached_pictures)]
        rng = np.random.default_rng(training.seed)
        plain = [plain_scene(emoji, index, rng) for index in range(len(emoji.names))]
        saved = {
            "encoder": encoder,
            "plain": _encoded_scenes(plain, vae, emoji, device),
            "composed": _encoded_scenes(composed, vae, emoji, device),
            "captions": [scene.caption for scene in composed],
        }
        torch.save(saved, state)
    return Latents(saved["plain"], saved["composed"], tuple(saved["captions"]))


def _encoded_scenes(wanted: Sequence[Scene], vae: AutoencoderKL, emoji: Emoji, device: torch.device) -> Tensor:
    latents = []
    for start in range(0, len(wanted), 16):
        pictures = to_batch([emoji.paint(scene) for scene in wanted[start : start + 16]])
        latents.append((encoded(vae, pictures, device) * LATENT_SCALE).half().cpu())
        if start % 800 == 0:
            log.info("encoded %d of %d pictures", start, len(wanted))
    return torch.cat(latents)


def signal_shares() -> Tensor:
    """The cumulative product of alphas of SD1's schedule: 1000 steps, roots of beta from 0.00085 to 0.012 evenly."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def loss_weights(shares: Tensor, gamma: float) -> Tensor:
    """Weight of the noise's squared error at each step.

    min(SNR, gamma) / SNR, arXiv:2303.09556 eq. 8, times sqrt(1 + 1 / SNR): which picture it shall be is decided at the
    highest noise, where a model of small latents learns to listen to the text, and where an error is faint.
    """
    snr = shares / (1 - shares)
    return snr.clamp(max=gamma) / snr * (1 + 1 / snr).sqrt()


@dataclass
class Lessons:
    """Batches without end: half plain emoji under ever new phrases, half composed scenes."""

    training: Training
    emoji: Emoji
    latents: Latents
    rng: np.random.Generator

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents (size, 4, h, w) float32 and token ids (size, 77)."""
        plan, weights = self.training.denoiser, self.emoji.weights
        while True:
            pictures, captions = [], []
            for _ in range(size):
                if self.rng.random() < plan.plain_pictures:
                    index = int(self.rng.choice(len(weights), p=weights))
                    pictures.append(self.latents.plain[index])
                    caption = phrase(self.emoji, index, self.rng)
                else:
                    index = int(self.rng.integers(len(self.latents.captions)))
                    pictures.append(self.latents.composed[index])
                    caption = self.latents.captions[index]
                captions.append("" if self.rng.random() < plan.empty_captions else caption)
            yield torch.stack(pictures).float(), token_ids(captions)


def patches(latents: Tensor) -> Tensor:
    """Latents (n, 4, h, w) as an 8x8 grid of patches, row by row: (n, 64, 4 h w / 64)."""
    n, channels, height, width = latents.shape
    tiles = latents.reshape(n, channels, GRID, height // GRID, GRID, width // GRID)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(n, GRID * GRID, -1)


def teach_text(text: CLIPTextModel, lessons: Lessons, device: torch.device) -> None:
    """Train the text tower alone: each of a caption's last 64 ends foretells one patch of the picture's latents.

    A UNet learns nothing from a text tower of random weights for a long while, as the many ends that pad a caption all
    say the same. Afterwards each of them describes its own place, and the UNet has but to look there. Costs little: no
    UNet runs.
    """
    plan = lessons.training.denoiser
    head = nn.Linear(text.config.hidden_size, lessons.latents.plain[0].numel() // GRID**2).to(device)
    optimizer = torch.optim.AdamW([*text.parameters(), *head.parameters()], plan.text_rate, weight_decay=0.0)
    clock, recent = Clock(plan.text_minutes * 60), 1.0
    for step, (pictures, ids) in enumerate(lessons.batches(plan.text_batch)):
        if clock.over:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.text_rate * clock.rate(step, 100)
        described = (ids[:, -GRID * GRID :] == END_TOKEN).to(device)
        foretold = head(text(input_ids=ids.to(device)).last_hidden_state[:, -GRID * GRID :])
        loss = (foretold - patches(pictures.to(device))).square().mean(2)[described].mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(text.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.tick()
        recent += (loss.item() - recent) * max(0.02, 1 / (step + 1))
        if step % 50 == 0:
            log.info("text step %d, %.1f min, left unexplained %.3f", step, clock.spent / 60, recent)


@torch.no_grad()
def denoised(model: Denoiser, x: Tensor, captions: Sequence[str], times: Sequence[int], guidance: float) -> Tensor:
    """Latents (n, 4, h, w) of the captions' pictures, by DDIM without noise (Song et al. 2021, arXiv:2010.02502, (12)).

    x: noised latents (n, 4, h, w) at the first of `times`, which fall. `guidance`: the classifier-free scale.
    """
    shares = signal_shares().to(x.device)
    ids = torch.cat([token_ids([""]).expand(len(captions), -1), token_ids(captions)]).to(x.device)
    context = model.text(input_ids=ids).last_hidden_state
    for time, next_time in zip(times, [*times[1:], None], strict=True):
        share = shares[time]
        after = torch.ones_like(share) if next_time is None else shares[next_time]
        empty, asked = model.unet(torch.cat([x, x]), torch.tensor(time, device=x.device), context).sample.chunk(2)
        noise = empty + guidance * (asked - empty)
        x0 = (x - (1 - share).sqrt() * noise) / share.sqrt()
        x = after.sqrt() * x0 + (1 - after).sqrt() * noise
    return x


def train_denoiser(training: Training, emoji: Emoji, latents: Latents, cache: Path, device: torch.device) -> Denoiser:
    """The trained networks, averaged over steps; resumes from `cache/denoiser.pt` and leaves it complete."""
    plan, state = training.denoiser, cache / "denoiser.pt"
    torch.manual_seed(training.seed)
    model = Denoiser(build_unet(training.networks), build_text_tower(training.networks)).to(device)
    model.text_learns = plan.text_share > 0
    mean = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(
        [
            {"params": list(model.unet.parameters()), "weight_decay": plan.weight_decay, "share": 1.0},
            {"params": list(model.text.parameters()), "weight_decay": 0.0, "share": plan.text_share},
        ],
        plan.rate,
        betas=(0.9, 0.99),
        fused=True,
    )
    clock, step = Clock(plan.minutes * 60), 0
    if state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        mean.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        clock.spent, step = saved["spent"], saved["step"]
    torch.manual_seed(training.seed + step)
    lessons = Lessons(training, emoji, latents, np.random.default_rng([training.seed, 2, step]))
    if step == 0:
        teach_text(model.text, lessons, device)
        mean.load_state_dict(model.state_dict())
        clock = Clock(plan.minutes * 60)
    shares = signal_shares().to(device)
    weights = loss_weights(shares, plan.min_snr_gamma)
    recent, last_save = 0.0, clock.spent
    for pictures, ids in lessons.batches(plan.batch):
        if clock.over:
            break
        x0, ids = pictures.to(device), ids.to(device)
        t = (1000 * torch.rand(len(x0), device=device) ** 0.7).long()  # more of the high noise, see loss_weights
        share = shares[t][:, None, None, None]
        noise = torch.randn_like(x0)
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * plan.rate * clock.rate(step, plan.warmup_steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            predicted = model(share.sqrt() * x0 + (1 - share).sqrt() * noise, t, ids)
        error = (predicted.float() - noise).square().mean((1, 2, 3))
        loss = (weights[t] * error).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mean.seen[ids] = True
        averaged(mean, model, min(plan.ema, (1 + step) / (10 + step)))
        step += 1
        clock.tick()
        recent += (loss.item() - recent) * max(0.02, 1 / step)
        if step % 50 == 0:
            log.info("denoiser step %d, %.1f min, loss %.4f", step, clock.spent / 60, recent)
        if clock.over or clock.spent - last_save > 150:
            last_save = clock.spent
            torch.save(
                {
                    "model": model.state_dict(),
                    "mean": mean.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "spent": clock.spent,
                    "step": step,
                },
                state,
            )
    return mean
