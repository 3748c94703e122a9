"""First stage: the autoencoder between pictures and latents (Kingma & Welling 2014; Rombach et al. 2022)."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from webui.engine.training.budget import Budget, averaged, decay
from webui.engine.training.config import LATENT_SCALE, Training, TrainingPace
from webui.engine.training.data import Emoji, Scene, ScenePart, scenes
from webui.engine.training.networks import build_vae
from webui.engine.training.streams import streamed, workers_for

log = logging.getLogger(__name__)


def pictures(emoji: Emoji, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Pictures without end: composed scenes, and single emoji on white and on any colour."""
    composed = scenes(emoji, rng)
    while True:
        kind = rng.random()
        if kind < 0.5:
            yield emoji.paint(next(composed))
        else:
            red, green, blue = (int(level) for level in rng.integers(0, 256, 3)) if kind < 0.7 else (255, 255, 255)
            yield emoji.paint(Scene("", (ScenePart(int(rng.integers(len(emoji.names)))),), (red, green, blue)))


def cropped(picture: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    top, left = rng.integers(0, picture.shape[0] - side + 1, 2)
    return picture[top : top + side, left : left + side]


def difference(decoded: Tensor, wanted: Tensor) -> Tensor:
    """Absolute error at three scales, and of the slopes, so that edges stay sharp."""
    loss = F.l1_loss(decoded, wanted)
    for axis in (2, 3):
        loss = loss + F.l1_loss(decoded.diff(dim=axis), wanted.diff(dim=axis))
    for scale in (4, 8):
        loss = loss + 0.5 * F.l1_loss(F.avg_pool2d(decoded, scale), F.avg_pool2d(wanted, scale))
    return loss


def train_vae(training: Training, emoji: Emoji, cache: Path, device: torch.device) -> AutoencoderKL:
    """The autoencoder, averaged over lessons; resumes from `cache/vae.pt`, and leaves it complete."""
    torch.manual_seed(training.seed)
    vae = build_vae(training.networks).to(device, memory_format=torch.channels_last)

    def lessons(done: int) -> Lesson:
        batches = streamed(partial(_batches, training, emoji), (training.seed, done), workers_for(device))
        return _Reproduction(training, batches, device)

    return trained(vae, vae.parameters(), lessons, training.vae, cache / "vae.pt")


def _batches(training: Training, emoji: Emoji, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """(n, h, w, 3): crops of half the sides, and every second time a quarter as many whole pictures."""
    source, count = pictures(emoji, rng), training.vae.batch
    while True:
        yield np.stack([cropped(next(source), training.size // 2, rng) for _ in range(count)])
        yield np.stack([next(source) for _ in range(max(count // 4, 1))])


def on(device: torch.device, pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (n, h, w, 3) -> (n, 3, h, w) in -1..1 there."""
    sent = torch.from_numpy(pictures).to(device)
    return (sent.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def opened_decoder(vae: AutoencoderKL) -> list[nn.Parameter]:
    """The decoder's parameters; from now on they alone are trained."""
    vae.requires_grad_(False)
    ends = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    for parameter in ends:
        parameter.requires_grad_(True)
    return ends


Lesson: TypeAlias = Callable[[AutoencoderKL], tuple[Tensor, Tensor]]
"""Autoencoder -> the error of its pictures, and what is to be made less."""


@dataclass
class _Reproduction:
    """Pictures come out as they went in."""

    training: Training
    batches: Iterator[NDArray[np.uint8]]
    """(n, h, w, 3)"""
    device: torch.device

    def __call__(self, vae: AutoencoderKL) -> tuple[Tensor, Tensor]:
        plan = self.training.vae
        wanted = on(self.device, next(self.batches))
        with autocast(self.device):
            posterior = vae.encode(wanted).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        error = difference(decoded.float(), wanted)
        return error, error + plan.kl_weight * kl


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the device computes faster in it."""
    has = torch.cpu.get_capabilities()
    faster = device.type == "cuda" or bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.autocast(device.type, torch.bfloat16, enabled=faster)


SAVED_EVERY = 300.0
"""Seconds."""


def trained(
    vae: AutoencoderKL,
    parameters: Iterable[nn.Parameter],
    lessons: Callable[[int], Lesson],
    plan: TrainingPace,
    state: Path,
    *,
    base: float = 0.0,
) -> AutoencoderKL:
    """The running mean of `vae` while its `parameters` are trained.

    lessons: from this lesson on. base: tells what the training began with; what `state` has of another one is not used.
    """
    parameters = list(parameters)
    device = parameters[0].device
    mean = copy.deepcopy(vae).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(parameters, plan.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    budget, step = Budget.of(plan), 0
    saved = torch.load(state, map_location=device, weights_only=True) if state.exists() else None
    if saved is not None and math.isclose(saved.get("base", 0.0), base, rel_tol=1e-9):
        vae.load_state_dict(saved["vae"])
        mean.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        budget.done, step = saved["done"], saved["step"]
        if saved.get("enough", 0) >= plan.lessons:
            return mean
    lesson = lessons(budget.done)
    recent, last_save = 0.0, time.monotonic()
    over = budget.done >= budget.planned
    while not over:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * budget.rate(plan.warmup)
        error, loss = lesson(vae)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        averaged(mean, vae, decay(plan.span, plan.batch, budget.done))
        step += 1
        budget.done += plan.batch
        recent += (error.item() - recent) * max(0.02, 1 / step)
        if step % 50 == 0:
            log.info("%s: %d of %d lessons, error %.4f", state.stem, budget.done, budget.planned, recent)
        over = budget.over
        if over or time.monotonic() - last_save > SAVED_EVERY:
            last_save = time.monotonic()
            kept = {"base": base, "vae": vae.state_dict(), "mean": mean.state_dict(), "step": step}
            save_state({**kept, "optimizer": optimizer.state_dict(), **standing(budget)}, state)
    return mean


def standing(budget: Budget) -> dict[str, int]:
    """How far a training is; `enough` is the plan that it has fulfilled, if only by the clock."""
    return {"done": budget.done, "enough": budget.planned if budget.over else 0}


def save_state(kept: dict[str, object], state: Path) -> None:
    """Write what a training is to be resumed from, whole or not at all."""
    half = state.with_suffix(".half")
    torch.save(kept, half)
    half.replace(state)


def encoded(vae: AutoencoderKL, pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The encoder's means of pictures (n, h, w, 3): (n, c, h/factor, w/factor), not scaled, float32."""
    with torch.no_grad(), autocast(device):
        mean: Tensor = vae.encode(on(device, pictures)).latent_dist.mean
    return mean.float()


def sample_latents(
    vae: AutoencoderKL, emoji: Emoji, training: Training, device: torch.device, count: int = 512
) -> Tensor:
    """The encoder's means of so many pictures, the same at each call: what `normalise` measures."""
    source = pictures(emoji, np.random.default_rng([training.seed, 3]))
    batches = (np.stack([next(source) for _ in range(16)]) for _ in range(count // 16))
    return torch.cat([encoded(vae, batch, device) for batch in batches])


def normalise(vae: AutoencoderKL, latents: Tensor) -> None:
    """Shift and stretch the latent space so that `mean * LATENT_SCALE` has mean 0 and deviation 1 in each channel.

    latents: (n, c, h, w), the encoder's means before. Folded into quant_conv and post_quant_conv, so that the
    decoder's pictures stay the same and no extra factor needs to be stored beside SD1's.
    """
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    factor = 1 / (deviation * LATENT_SCALE)
    with torch.no_grad():
        quant, post = vae.quant_conv, vae.post_quant_conv
        count = len(mean)
        quant.weight[:count] *= factor[:, None, None, None]
        quant.bias[:count] = (quant.bias[:count] - mean) * factor
        quant.bias[count:] += 2 * factor.log()  # the other half are log variances
        post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
        post.weight /= factor[None, :, None, None]
