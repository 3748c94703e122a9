"""Third stage: the decoder is taught on the denoiser's own latents, which are never quite what the encoder gives.

A decoder that knows only the encoder's latents makes tiles of those that are a little off, one tile for each. Here it
learns the true picture of latents that were noised, and denoised again in a few steps under the caption; and to draw
so that an adversary takes it for true, see `adversary`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from webui.engine.training.adversary import Adversary, balanced, perceived
from webui.engine.training.config import LATENT_SCALE, Training
from webui.engine.training.data import Emoji, plain_scene, scenes
from webui.engine.training.denoiser import TextConditionedUNet, denoised, signal_shares
from webui.engine.training.streams import streamed, workers_for
from webui.engine.training.vae import Lesson, autocast, difference, encoded, opened_decoder, save_state, trained

log = logging.getLogger(__name__)

LOWEST = 60
"""Of the schedule's 1000 steps: from where, at least, the latents are denoised."""
GUIDANCE = (4.0, 8.0)


@dataclass(frozen=True)
class Guesses:
    """What the denoiser makes of noised pictures: latents (n, c, h, w), and the true pictures (n, h, w, 3)."""

    latents: Tensor
    pictures: Tensor


def finished(
    training: Training, model: TextConditionedUNet, vae: AutoencoderKL, emoji: Emoji, cache: Path
) -> AutoencoderKL:
    """The autoencoder with a decoder for this denoiser; resumes from `cache/finish.pt`, and leaves it complete."""
    base = _base(model)
    parameters = opened_decoder(vae)
    device = parameters[0].device
    guesses = _guessed(training, model, vae, emoji, cache / "guesses.pt", base)

    def lessons(done: int) -> Lesson:
        return _Finish(training, guesses, np.random.default_rng([training.seed, 5, done]), device)

    return trained(vae, parameters, lessons, training.finish, cache / "finish.pt", base=base)


def finished_before(model: TextConditionedUNet, vae: AutoencoderKL, cache: Path) -> AutoencoderKL:
    """The autoencoder as far as its decoder has been taught for this denoiser; else as it is."""
    state = cache / "finish.pt"
    if state.exists():
        saved = torch.load(state, map_location=next(vae.parameters()).device, weights_only=True)
        if math.isclose(saved["base"], _base(model), rel_tol=1e-9):
            vae.load_state_dict(saved["mean"])
    return vae


def _base(model: TextConditionedUNet) -> float:
    """Tells denoisers apart."""
    return model.unet.conv_out.weight.double().abs().sum().item()


@dataclass
class _Finish:
    """Pictures come out as they should have."""

    training: Training
    guesses: Guesses
    rng: np.random.Generator
    device: torch.device

    def __post_init__(self) -> None:
        torch.manual_seed(self.training.seed)
        self._sees_wholes = True
        self._adversary = Adversary().to(self.device)
        rate = self.training.finish.adversary_rate
        self._learning = torch.optim.AdamW(self._adversary.parameters(), rate, betas=(0.5, 0.99))
        self._alone = self.training.finish.adversary_alone
        """Lessons for which it still learns by itself: anew where a run is resumed, for it is not kept."""

    def __call__(self, vae: AutoencoderKL) -> tuple[Tensor, Tensor]:
        plan = self.training.finish
        self._sees_wholes = not self._sees_wholes
        latents, wanted = self._crops(whole=self._sees_wholes)
        with autocast(self.device):
            drawn = vae.decode(latents / LATENT_SCALE).sample
            perceptual = perceived(vae, drawn, wanted)
        drawn = drawn.float()
        error = difference(drawn, wanted)
        loss = error + plan.perceptual * perceptual
        self._alone -= plan.batch
        with autocast(self.device):
            mistaken = self._adversary.error(drawn, wanted)
        torch.autograd.backward(mistaken)
        self._learning.step()
        self._learning.zero_grad(set_to_none=True)
        if self._alone > 0:
            return error, loss
        self._adversary.requires_grad_(False)
        with autocast(self.device):
            opposing = -self._adversary(drawn).mean()
        self._adversary.requires_grad_(True)
        weight = balanced(loss, opposing, vae.decoder.conv_out.weight)
        return error, loss + plan.adversarial * weight * opposing

    def _crops(self, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Latents (n, c, h, w), and the true pictures (n, 3, factor h, factor w) in -1..1."""
        plan, factor = self.training.finish, self.training.networks.factor
        side = self.training.size // factor
        part = side if whole else side // 2
        count = max(plan.batch // 4, 1) if whole else plan.batch
        latents, wanted = [], []
        for index in self.rng.integers(0, len(self.guesses.latents), count):
            top, left = (int(place) for place in self.rng.integers(0, side - part + 1, 2))
            latents.append(self.guesses.latents[index, :, top : top + part, left : left + part])
            rows, columns = (slice(factor * start, factor * (start + part)) for start in (top, left))
            wanted.append(self.guesses.pictures[index, rows, columns].permute(2, 0, 1))
        return torch.stack(latents).to(self.device).float(), torch.stack(wanted).to(self.device).float() / 127.5 - 1


def _guessed(
    training: Training, model: TextConditionedUNet, vae: AutoencoderKL, emoji: Emoji, state: Path, base: float
) -> Guesses:
    """Kept in `state` for this denoiser."""
    saved = torch.load(state, weights_only=True) if state.exists() else {}
    if not math.isclose(saved.get("base", math.inf), base, rel_tol=1e-9):
        rng = np.random.default_rng([training.seed, 4])
        torch.manual_seed(training.seed)
        wanted, device = training.finish.pictures, next(vae.parameters()).device
        latents, pictures = [], []
        source = streamed(partial(_painted, emoji, training.together), (training.seed, 4, 0), workers_for(device))
        for start in range(0, wanted, training.together):
            painted, captions = next(source)
            latents.append(_guess(training, model, vae, painted, captions, rng))
            pictures.append(torch.from_numpy(painted))
            if start % (20 * training.together) == 0:
                log.info("guessed %d of %d pictures", start, wanted)
        saved = {"base": base, "latents": torch.cat(latents)[:wanted], "pictures": torch.cat(pictures)[:wanted]}
        save_state(saved, state)
    return Guesses(saved["latents"], saved["pictures"])


def _guess(
    training: Training,
    model: TextConditionedUNet,
    vae: AutoencoderKL,
    painted: NDArray[np.uint8],
    captions: list[str],
    rng: np.random.Generator,
) -> Tensor:
    """Latents (n, c, h, w) float16 of pictures (n, height, width, 3), noised by a random amount and denoised again."""
    plan, device = training.finish, next(vae.parameters()).device
    x0 = encoded(vae, painted, device) * LATENT_SCALE
    times = np.linspace(rng.integers(LOWEST, plan.highest), 0, plan.denoising_steps + 1).round().astype(int)[:-1]
    share = signal_shares()[times[0]].to(device)
    noised = share.sqrt() * x0 + (1 - share).sqrt() * torch.randn_like(x0)
    return denoised(model, noised, captions, times.tolist(), float(rng.uniform(*GUIDANCE))).half().cpu()


def _painted(emoji: Emoji, together: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Pictures (n, h, w, 3) and captions without end: one half plain emoji, the other half composed."""
    composed = scenes(emoji, rng)
    while True:
        wanted = [
            next(composed) if number % 2 else plain_scene(emoji, int(rng.integers(len(emoji.names))), rng)
            for number in range(together)
        ]
        yield np.stack([emoji.paint(scene) for scene in wanted]), [scene.caption for scene in wanted]
