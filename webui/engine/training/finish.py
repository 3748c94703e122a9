"""Third stage: the decoder is taught on the denoiser's own latents, which are never quite what the encoder gives.

A decoder that knows only the encoder's latents makes tiles of those that are a little off, one tile for each. Here it
learns the true picture of latents that were noised, and denoised again in a few steps under the caption.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from webui.engine.training.clock import Clock
from webui.engine.training.config import LATENT_SCALE, Training
from webui.engine.training.data import Emoji, Scene, plain_scene, scenes, to_batch
from webui.engine.training.denoiser import Denoiser, denoised, signal_shares
from webui.engine.training.vae import Lesson, difference, encoded, opened_decoder, trained

log = logging.getLogger(__name__)

LOWEST = 60
"""Of the schedule's 1000 steps: from where, at least, the latents are denoised."""
GUIDANCE = (4.0, 8.0)
AT_ONCE = 16


@dataclass(frozen=True)
class Guesses:
    """What the denoiser makes of noised pictures: latents (n, 4, h, w), and the true pictures (n, 8 h, 8 w, 3)."""

    latents: Tensor
    pictures: Tensor


def finished(training: Training, model: Denoiser, vae: AutoencoderKL, emoji: Emoji, cache: Path) -> AutoencoderKL:
    """The autoencoder with a decoder for this denoiser; resumes from `cache/finish.pt`, and leaves it complete."""
    if training.finish.minutes <= 0:
        return vae
    base = model.unet.conv_out.weight.double().abs().sum().item()
    parameters = opened_decoder(vae)
    device = parameters[0].device
    guesses = _guessed(training, model, vae, emoji, cache / "guesses.pt", base)

    def lessons(step: int) -> Lesson:
        return _Finish(training, guesses, np.random.default_rng([training.seed, 5, step]), device)

    clock = Clock(training.finish.minutes * 60)
    return trained(vae, parameters, clock, lessons, training.finish, cache / "finish.pt", base=base)


@dataclass
class _Finish:
    """Pictures come out as they should have."""

    training: Training
    guesses: Guesses
    rng: np.random.Generator
    device: torch.device

    def __call__(self, vae: AutoencoderKL, step: int) -> tuple[Tensor, Tensor]:
        plan, side = self.training.finish, self.training.size // 8
        part = side if step % 2 == 1 else side // 2
        count = max(plan.batch // 4, 1) if part == side else plan.batch
        latents, wanted = [], []
        for index in self.rng.integers(0, len(self.guesses.latents), count):
            top, left = (int(place) for place in self.rng.integers(0, side - part + 1, 2))
            latents.append(self.guesses.latents[index, :, top : top + part, left : left + part])
            picture = self.guesses.pictures[index, 8 * top : 8 * (top + part), 8 * left : 8 * (left + part)]
            wanted.append(picture.permute(2, 0, 1))
        pictures = torch.stack(wanted).to(self.device).float() / 127.5 - 1
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            decoded = vae.decode(torch.stack(latents).to(self.device).float() / LATENT_SCALE).sample
        error = difference(decoded.float(), pictures)
        return error, error


def _guessed(
    training: Training, model: Denoiser, vae: AutoencoderKL, emoji: Emoji, state: Path, base: float
) -> Guesses:
    """Kept in `state` for this denoiser."""
    saved = torch.load(state, weights_only=True) if state.exists() else {}
    if not math.isclose(saved.get("base", math.inf), base, rel_tol=1e-9):
        rng = np.random.default_rng([training.seed, 4])
        torch.manual_seed(training.seed)
        wanted = _scenes(emoji, training.finish.pictures, rng)
        latents, pictures = [], []
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            painted = np.stack([emoji.paint(scene) for scene in part])
            latents.append(_guess(training, model, vae, painted, [scene.caption for scene in part], rng))
            pictures.append(torch.from_numpy(painted))
            if start % (20 * AT_ONCE) == 0:
                log.info("guessed %d of %d pictures", start, len(wanted))
        saved = {"base": base, "latents": torch.cat(latents), "pictures": torch.cat(pictures)}
        torch.save(saved, state)
    return Guesses(saved["latents"], saved["pictures"])


def _guess(
    training: Training,
    model: Denoiser,
    vae: AutoencoderKL,
    painted: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    captions: list[str],
    rng: np.random.Generator,
) -> Tensor:
    """Latents (n, 4, h, w) float16 of pictures (n, 8 h, 8 w, 3), noised by a random amount and denoised again."""
    plan, device = training.finish, next(vae.parameters()).device
    x0 = encoded(vae, to_batch(list(painted)), device) * LATENT_SCALE
    times = np.linspace(rng.integers(LOWEST, plan.highest), 0, plan.denoising_steps + 1).round().astype(int)[:-1]
    share = signal_shares()[times[0]].to(device)
    noised = share.sqrt() * x0 + (1 - share).sqrt() * torch.randn_like(x0)
    return denoised(model, noised, captions, times.tolist(), float(rng.uniform(*GUIDANCE))).half().cpu()


def _scenes(emoji: Emoji, count: int, rng: np.random.Generator) -> list[Scene]:
    """One half plain emoji, the other half composed."""
    composed = scenes(emoji, rng)
    return [
        next(composed) if number % 2 else plain_scene(emoji, int(rng.integers(len(emoji.names))), rng)
        for number in range(count)
    ]
