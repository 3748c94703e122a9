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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from webui.engine.training.budget import Budget, averaged, decay
from webui.engine.training.config import END_TOKEN, LATENT_SCALE, VOCABULARY, DenoiserTraining, Training
from webui.engine.training.data import Emoji, Scene, phrase, plain_scene, scenes, to_batch
from webui.engine.training.networks import build_text_tower, build_unet
from webui.engine.training.tokens import token_ids
from webui.engine.training.vae import SAVED_EVERY, autocast, encoded, save_state

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
    """Pictures at hand, scaled to deviation 1, float16: each plain emoji, and composed scenes with captions."""

    plain: Tensor
    composed: Tensor
    captions: list[str]


@dataclass
class Painter:
    """Paints scenes and encodes them: (n, c, h, w) float16, scaled to deviation 1."""

    vae: AutoencoderKL
    emoji: Emoji
    device: torch.device

    def __call__(self, wanted: Sequence[Scene]) -> Tensor:
        pictures = to_batch([self.emoji.paint(scene) for scene in wanted])
        return (encoded(self.vae, pictures, self.device) * LATENT_SCALE).half().cpu()


def first_latents(training: Training, painter: Painter, cache: Path) -> Latents:
    """Every plain emoji, and the first composed scenes; kept in `cache/latents.pt` for this encoder."""
    emoji, state = painter.emoji, cache / "latents.pt"
    encoder = painter.vae.quant_conv.weight.double().sum().item()
    saved = torch.load(state, weights_only=True) if state.exists() else {}
    if not math.isclose(saved.get("encoder", math.inf), encoder, rel_tol=1e-5):  # other machines round otherwise
        log.info("encoding %d pictures", len(emoji.names) + training.composed)
        source = scenes(emoji, np.random.default_rng([training.seed, 1]))
        composed = [next(source) for _ in range(training.composed)]
        rng = np.random.default_rng(training.seed)
        plain = [plain_scene(emoji, index, rng) for index in range(len(emoji.names))]
        captions = [scene.caption for scene in composed]
        saved = {"encoder": encoder, "plain": _painted(plain, painter), "captions": captions}
        save_state({**saved, "composed": _painted(composed, painter)}, state)
        saved = torch.load(state, weights_only=True)
    return Latents(saved["plain"], saved["composed"], list(saved["captions"]))


def _painted(wanted: Sequence[Scene], painter: Painter) -> Tensor:
    return torch.cat([painter(wanted[start : start + 16]) for start in range(0, len(wanted), 16)])


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
    rng: np.random.Generator
    painter: Painter | None = None
    """Without it the composed scenes stay."""
    _due: float = field(default=0.0, init=False)
    """Scenes to be painted, as soon as they fill a batch."""

    def __post_init__(self) -> None:
        self._source = scenes(self.emoji, self.rng)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents (size, c, h, w) float32 and token ids (size, 77)."""
        plan, weights = self.training.denoiser, self.emoji.weights
        while True:
            self._renew(size)
            plain = self.rng.random(size) < plan.plain_pictures
            chosen = self.rng.choice(len(weights), size=size, p=weights)
            pictures, captions = [], []
            for number in range(size):
                if plain[number]:
                    index = int(chosen[number])
                    pictures.append(self.latents.plain[index])
                    caption = phrase(self.emoji, index, self.rng)
                else:
                    index = int(self.rng.integers(len(self.latents.captions)))
                    pictures.append(self.latents.composed[index])
                    caption = self.latents.captions[index]
                captions.append("" if self.rng.random() < plan.empty_captions else caption)
            yield torch.stack(pictures).float(), token_ids(captions)

    def _renew(self, size: int) -> None:
        self._due += size * self.training.renewed if self.painter is not None else 0.0
        while self.painter is not None and self._due >= 16:
            self._due -= 16
            fresh = [next(self._source) for _ in range(16)]
            places = self.rng.integers(0, len(self.latents.captions), 16)
            self.latents.composed[torch.from_numpy(places)] = self.painter(fresh)
            for place, scene in zip(places, fresh, strict=True):
                self.latents.captions[int(place)] = scene.caption


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
    budget, recent, last_save = Budget(plan.lessons), 1.0, time.monotonic()
    if state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        text.load_state_dict(saved["text"])
        head.load_state_dict(saved["head"])
        optimizer.load_state_dict(saved["optimizer"])
        budget.done, recent = saved["done"], saved["recent"]
    for step, (pictures, ids) in enumerate(lessons.batches(plan.batch), start=1):
        if budget.over:
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
        if budget.over or time.monotonic() - last_save > SAVED_EVERY:
            last_save = time.monotonic()
            kept = {"text": text.state_dict(), "head": head.state_dict(), "done": budget.done, "recent": recent}
            save_state({**kept, "optimizer": optimizer.state_dict()}, state)


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
    training: Training, lessons: Lessons, cache: Path, device: torch.device, begun: TextConditionedUNet | None = None
) -> TextConditionedUNet:
    """The trained networks, averaged over lessons; resumes from `cache/denoiser.pt` and leaves it complete.

    begun: weights to go on from, instead of random ones and a text tower that is taught first.
    """
    plan, state = training.denoiser, cache / "denoiser.pt"
    model = (begun or new_denoiser(training)).to(device)
    saved = torch.load(state, map_location=device, weights_only=True) if state.exists() else None
    if saved is None and begun is None:
        teach_text(model, lessons, cache, device)
    mean = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = _optimizer(model, plan)
    budget, step = Budget(plan.lessons), 0
    if saved is not None:
        model.load_state_dict(saved["model"])
        mean.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        budget.done, step = saved["done"], saved["step"]
    torch.manual_seed(training.seed + step)
    shares = signal_shares().to(device)
    recent, last_save = 0.0, time.monotonic()
    for pictures, ids in lessons.batches(plan.batch):
        if budget.over:
            break
        x0, ids = pictures.to(device), ids.to(device)
        t = (1000 * torch.rand(len(x0), device=device) ** 0.7).long()  # more of the high noise: there text is heard
        share = shares[t][:, None, None, None]
        noise = torch.randn_like(x0)
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * plan.rate * budget.rate(plan.warmup)
        with autocast(device):
            predicted = model(share.sqrt() * x0 + (1 - share).sqrt() * noise, t, ids)
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
        if budget.over or time.monotonic() - last_save > SAVED_EVERY:
            last_save = time.monotonic()
            mean.seen.copy_(model.seen)
            kept = {"model": model.state_dict(), "mean": mean.state_dict(), "done": budget.done, "step": step}
            save_state({**kept, "optimizer": optimizer.state_dict()}, state)
    mean.seen.copy_(model.seen)
    return mean
