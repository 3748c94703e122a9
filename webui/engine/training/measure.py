"""How good the demo model is: is it the right emoji, is it the right background; and a sheet of pictures to look at."""

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

from webui.base.files import write_atomically
from webui.engine.training.config import LATENT_SCALE
from webui.engine.training.data import COLOURS, Emoji, Part, Scene, article
from webui.engine.training.denoiser import Denoiser, denoised

log = logging.getLogger(__name__)

SHEET = (
    "a red apple", "a blue apple", "a red apple on a blue background", "a cat and a dog", "a cat face", "a red heart",
    "a grinning face", "a smiling face with sunglasses", "a dog face on a yellow background", "an octopus", "a rocket",
    "a pizza", "a hamburger on a pink background", "a unicorn", "a purple heart on a black background", "a sunflower",
    "an automobile", "a green automobile", "a frog", "a robot", "a small red apple", "a strawberry", "a guitar",
    "an avocado on an orange background",
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Counts of hits among prompts. `nearest`: the right emoji is the nearest of all, `near`: among the 5 nearest."""

    names: int
    nearest: int
    near: int
    backgrounds: int
    right_backgrounds: int

    def __str__(self) -> str:
        return (
            f"right emoji nearest {self.nearest} of {self.names} ({self.nearest / self.names:.1%}), "
            f"among the 5 nearest {self.near} ({self.near / self.names:.1%}); "
            f"right background {self.right_backgrounds} of {self.backgrounds} "
            f"({self.right_backgrounds / self.backgrounds:.1%})"
        )


@torch.no_grad()
def generated(
    model: Denoiser,
    vae: AutoencoderKL,
    captions: Sequence[str],
    *,
    side: int,
    seed: int,
    guidance: float = 6.0,
    steps: int = 20,
    device: torch.device,
) -> NDArray[np.uint8]:
    """Pictures (n, 8 side, 8 side, 3) uint8, see `denoised`; picture i starts from the noise of seed + i."""
    times = torch.linspace(999, 0, steps + 1).round().long()[:-1].tolist()
    pictures = []
    for start in range(0, len(captions), 20):
        part = captions[start : start + 20]
        generators = [torch.Generator().manual_seed(seed + start + number) for number in range(len(part))]
        x = torch.stack([torch.randn(4, side, side, generator=generator) for generator in generators]).to(device)
        x = denoised(model, x, part, times, guidance)
        decoded = torch.cat([vae.decode(latent[None] / LATENT_SCALE).sample for latent in x]).clamp(-1, 1)
        pictures.append(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(pictures)


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


def measured(model: Denoiser, vae: AutoencoderKL, emoji: Emoji, *, seed: int, device: torch.device) -> Figures:
    """120 prompts "a NAME", and 80 "a NAME on a COLOUR background", of emoji drawn by the seed, all alike likely."""
    rng = np.random.default_rng(seed)
    side = emoji.pixels.shape[1] // 8
    known = thumbnails(np.stack([emoji.paint(Scene("", (Part(index),))) for index in range(len(emoji.names))]))
    chosen = rng.choice(len(emoji.names), 120, replace=False)
    prompts = [article(emoji.names[index]) for index in chosen]
    made = thumbnails(generated(model, vae, prompts, side=side, seed=seed, device=device))
    ranks = []
    for row, index in zip(made, chosen, strict=True):
        distances = np.square(known - row).sum(1)
        ranks.append(int((distances < distances[index]).sum()))
    names = [emoji.names[index] for index in rng.choice(len(emoji.names), 80, replace=False)]
    colours = [list(COLOURS)[number % len(COLOURS)] for number in range(80)]
    prompts = [f"{article(name)} on {article(colour)} background" for name, colour in zip(names, colours, strict=True)]
    palette = np.array(list(COLOURS.values()), dtype=np.float32)
    right = 0
    pictures = generated(model, vae, prompts, side=side, seed=seed, device=device)
    for picture, colour in zip(pictures, colours, strict=True):
        nearest = int(np.square(palette - border_colour(picture)).sum(1).argmin())
        right += list(COLOURS)[nearest] == colour
    return Figures(len(ranks), sum(rank == 0 for rank in ranks), sum(rank < 5 for rank in ranks), len(colours), right)


def write_sheet(path: Path, model: Denoiser, vae: AutoencoderKL, *, size: int, seed: int, device: torch.device) -> None:
    """A PNG with a picture and its prompt for each of `SHEET`, six in a row."""
    pictures = generated(model, vae, SHEET, side=size // 8, seed=seed, device=device)
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
