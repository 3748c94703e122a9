"""How good the demo model is: the right emoji, the right ground, both of two, how sharp; and a sheet to look at.

Pictures are made as the form makes them when nothing is changed: DPM++ 2M Karras, 20 steps, CFG scale 7.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from webui.base.files import write_atomically
from webui.engine.sampling.dpmpp import dpmpp_2m
from webui.engine.sampling.process import Diffusion, sd_alphas_cumprod
from webui.engine.sampling.schedules import karras
from webui.engine.sampling.types import Denoiser, denoiser
from webui.engine.training.config import LATENT_SCALE
from webui.engine.training.data import COLOURS, Emoji, Scene, ScenePart, article
from webui.engine.training.denoiser import TextConditionedUNet
from webui.engine.training.tokens import token_ids
from webui.engine.training.usual import USUAL
from webui.engine.training.vae import autocast

log = logging.getLogger(__name__)

SHEET = (
    "a red apple", "a blue apple", "a red apple on a blue background", "a cat and a dog", "a cat face", "a red heart",
    "a grinning face", "a smiling face with sunglasses", "a dog face on a yellow background", "an octopus", "a rocket",
    "a pizza", "a hamburger on a pink background", "a unicorn", "a purple heart on a black background", "a sunflower",
    "an automobile", "a green automobile", "a frog", "a robot", "a small red apple", "a strawberry", "a guitar",
    "an avocado on an orange background", "a cat and a rocket on a blue background", "a red car", "two dogs", "an owl",
    "a tiny house", "a birthday cake on a turquoise background", "a tree", "a bird and a flower", "a snowman",
    "a picture of a lion", "a blue butterfly", "a wizard", "a soccer ball", "an elephant on a gray background",
    "a castle above a cloud", "ice cream",
)  # fmt: skip


@dataclass(frozen=True)
class Share:
    hits: int
    of: int

    def __str__(self) -> str:
        return f"{self.hits} of {self.of} ({self.hits / max(self.of, 1):.1%})"


@dataclass(frozen=True)
class Figures:
    """Counts of hits among prompts."""

    nearest: Share
    """"a NAME": the right emoji is the nearest of all."""
    near: Share
    """... is among the 5 nearest."""
    usual: Share
    """"a NOUN", of the usual nouns: among the 5 nearest."""
    grounds: Share
    """"a NAME on a COLOUR background": the frame has this colour."""
    pairs: Share
    """"a NAME and a NAME": each among the 10 nearest in its half."""
    sharpness: float
    """Mean energy of the gradients over that of the originals."""

    def __str__(self) -> str:
        return (
            f"right emoji nearest {self.nearest}, among the 5 nearest {self.near}; usual nouns {self.usual}; "
            f"right ground {self.grounds}; two things {self.pairs}; sharpness {self.sharpness:.2f} of the originals'"
        )


@torch.no_grad()
def generated(
    model: TextConditionedUNet,
    vae: AutoencoderKL,
    captions: Sequence[str],
    *,
    side: int,
    seed: int,
    guidance: float = 7.0,
    steps: int = 20,
    device: torch.device,
) -> NDArray[np.uint8]:
    """Pictures (n, factor side, factor side, 3) uint8; picture i starts from the noise of seed + i."""
    process = Diffusion(sd_alphas_cumprod(), "v")
    sigmas = karras(steps, process.sigma_min, process.sigma_max, process)
    channels = int(vae.config.latent_channels)
    pictures = []
    for start in range(0, len(captions), 20):
        part = captions[start : start + 20]
        generators = [torch.Generator().manual_seed(seed + start + number) for number in range(len(part))]
        noise = torch.stack([torch.randn(channels, side, side, generator=one) for one in generators]).to(device)
        x = dpmpp_2m(_guided(model, process, part, guidance, device), noise * sigmas[0], sigmas, _no_noise)
        decoded = torch.cat([vae.decode(latent[None] / LATENT_SCALE).sample for latent in x]).clamp(-1, 1)
        pictures.append(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(pictures)


def _guided(
    model: TextConditionedUNet, process: Diffusion, captions: Sequence[str], guidance: float, device: torch.device
) -> Denoiser:
    ids = torch.cat([token_ids([""]).expand(len(captions), -1), token_ids(captions)]).to(device)
    with autocast(device):
        context = model.text(input_ids=ids).last_hidden_state

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        t = process.timestep(sigma).to(device)
        with autocast(device):
            output = model.unet(process.to_input(x, sigma).repeat(2, 1, 1, 1), t.repeat(2), context).sample
        empty, asked = output.float().chunk(2)
        return process.to_x0(x, sigma, empty + guidance * (asked - empty))

    return denoiser(process, answer)


def _no_noise(_before: Tensor | float, _after: Tensor | float) -> Tensor:
    raise ValueError("DPM++ 2M draws no noise.")


def thumbnails(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each picture (n, h, w, 3) at 32x32 by area, as one row of numbers."""
    small = [Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX) for picture in pictures]
    return np.stack([np.asarray(picture, dtype=np.float32).ravel() for picture in small])


def border_colour(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean colour of the outer frame, a sixteenth of the picture wide."""
    width = picture.shape[0] // 16
    frame = np.ones(picture.shape[:2], dtype=bool)
    frame[width:-width, width:-width] = False
    colour: NDArray[np.float32] = picture[frame].astype(np.float32).mean(0)
    return colour


def sharpness(pictures: NDArray[np.uint8]) -> float:
    """Mean squared difference of neighbouring pixels, of (n, h, w, 3)."""
    levels = pictures.astype(np.float32)
    return float(np.square(np.diff(levels, axis=1)).mean() + np.square(np.diff(levels, axis=2)).mean())


def ranks(made: NDArray[np.uint8], known: NDArray[np.float32], wanted: Sequence[int]) -> list[int]:
    """How many known thumbnails (m, ...) are nearer to each picture (n, h, w, 3) than the wanted one is."""
    found = []
    for row, index in zip(thumbnails(made), wanted, strict=True):
        distances = np.square(known - row).sum(1)
        found.append(int((distances < distances[index]).sum()))
    return found


def measured(
    model: TextConditionedUNet, vae: AutoencoderKL, emoji: Emoji, *, seed: int, device: torch.device
) -> Figures:
    """120 names, 300 usual nouns, 80 grounds and 60 pairs, drawn by the seed, all alike likely."""
    rng = np.random.default_rng(seed)
    side = emoji.pixels.shape[1] // int(2 ** (len(vae.config.block_out_channels) - 1))

    def made(prompts: Sequence[str]) -> NDArray[np.uint8]:
        return generated(model, vae, prompts, side=side, seed=seed, device=device)

    plain = np.stack([emoji.paint(Scene("", (ScenePart(index),))) for index in range(len(emoji.names))])
    known = thumbnails(plain)
    chosen = [int(index) for index in rng.choice(len(emoji.names), 120, replace=False)]
    pictures = made([article(emoji.names[index]) for index in chosen])
    placed = ranks(pictures, known, chosen)
    sharp = sharpness(pictures) / sharpness(plain[chosen])

    asked = [(word, emoji.names.index(name)) for word, name in USUAL.items() if name in emoji.names]
    asked = [asked[int(number)] for number in rng.choice(len(asked), min(300, len(asked)), replace=False)]
    usual = ranks(made([article(word) for word, _ in asked]), known, [index for _, index in asked])

    names = [emoji.names[index] for index in rng.choice(len(emoji.names), 80, replace=False)]
    colours = [list(COLOURS)[number % len(COLOURS)] for number in range(80)]
    grounds = made([f"{article(name)} on {article(hue)} background" for name, hue in zip(names, colours, strict=True)])
    palette = np.array(list(COLOURS.values()), dtype=np.float32)
    found = [list(COLOURS)[int(np.square(palette - border_colour(one)).sum(1).argmin())] for one in grounds]

    drawn = [rng.choice(len(emoji.names), 2, replace=False, p=emoji.weights) for _ in range(60)]
    pairs = [(int(first), int(second)) for first, second in drawn]
    both = made([f"{article(emoji.names[first])} and {article(emoji.names[second])}" for first, second in pairs])
    half = emoji.pixels.shape[1] // 2
    rows = slice(half // 2, half // 2 + half)
    left = ranks(both[:, rows, :half], known, [first for first, _ in pairs])
    right = ranks(both[:, rows, half:], known, [second for _, second in pairs])
    return Figures(
        Share(sum(rank == 0 for rank in placed), len(placed)),
        Share(sum(rank < 5 for rank in placed), len(placed)),
        Share(sum(rank < 5 for rank in usual), len(usual)),
        Share(sum(one == hue for one, hue in zip(found, colours, strict=True)), len(colours)),
        Share(sum(a < 10 and b < 10 for a, b in zip(left, right, strict=True)), len(pairs)),
        sharp,
    )


def write_sheet(
    path: Path, model: TextConditionedUNet, vae: AutoencoderKL, *, size: int, seed: int, device: torch.device
) -> None:
    """A PNG with a picture and its prompt for each of `SHEET`, six in a row."""
    factor = int(2 ** (len(vae.config.block_out_channels) - 1))
    pictures = generated(model, vae, SHEET, side=size // factor, seed=seed, device=device)
    cell, columns = (size + 12, size + 30), 6
    sheet = Image.new("RGB", (columns * cell[0] + 12, -(-len(SHEET) // columns) * cell[1] + 6), (245, 245, 247))
    draw = ImageDraw.Draw(sheet)
    for number, (picture, prompt) in enumerate(zip(pictures, SHEET, strict=True)):
        left, top = 12 + number % columns * cell[0], 12 + number // columns * cell[1]
        sheet.paste(Image.fromarray(picture), (left, top))
        lines = _wrapped(prompt, size, draw)
        for row, line in enumerate(lines[:2]):
            draw.text((left, top + size + 1 + 8 * row), line, fill=(60, 60, 70), font_size=8)
    buffer = io.BytesIO()
    sheet.quantize(256).save(buffer, "PNG", optimize=True) if size > 128 else sheet.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def _wrapped(text: str, width: int, draw: ImageDraw.ImageDraw) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font_size=8) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
