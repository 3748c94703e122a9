"""`python -m webui train-demo`: fetch the pictures, train, export, measure.

    python -m webui train-demo [--lessons N] [--from FILE] [--cache DIR] [--out FILE] [--fresh] [--measure FILE]

A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from webui.base.paths import PROGRAM
from webui.engine.training.config import ON_CPU, ON_CUDA, Training
from webui.engine.training.data import Emoji, load_emoji
from webui.engine.training.denoiser import (
    Lessons,
    Painter,
    TextConditionedUNet,
    first_latents,
    new_denoiser,
    train_denoiser,
)
from webui.engine.training.export import preview_factors, read_checkpoint, sd1_tensors, write_checkpoint
from webui.engine.training.finish import finished
from webui.engine.training.measure import measured, write_sheet
from webui.engine.training.networks import build_vae
from webui.engine.training.strange_words import answered_by_near_ones
from webui.engine.training.vae import normalise, sample_latents, train_vae

log = logging.getLogger(__name__)

PREVIEWED = 300
"""About so many pictures of each kind tell how latents look."""


def main(argv: Sequence[str]) -> int:
    """Train the demo checkpoint and write it with its contact sheet; the exit code.

    Raises:
        UserError: the training pictures cannot be fetched.
        ModelError: the file of `--from` or `--measure` is not such a checkpoint.
        StorageError: the checkpoint cannot be written.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = planned(ON_CUDA if device.type == "cuda" else ON_CPU, options.lessons)
    emoji = load_emoji(options.cache, training.size)
    if options.measure is not None:
        model, vae = loaded(training, options.measure, device)
        log.info("%s", measured(model, vae, emoji, seed=training.seed, device=device))
        return 0
    cache = options.cache / str(training.size)
    if options.fresh and cache.exists():
        shutil.rmtree(cache)
    cache.mkdir(parents=True, exist_ok=True)
    run(training, emoji, cache, options.out, device, begun=options.begun)
    return 0


def run(
    training: Training, emoji: Emoji, cache: Path, out: Path, device: torch.device, *, begun: Path | None = None
) -> None:
    """All stages, each resumed from `cache` where it is there already. begun: a checkpoint to go on from."""
    if begun is None:
        model, vae = None, train_vae(training, emoji, cache, device)
        normalise(vae, sample_latents(vae, emoji, training, device))
    else:
        model, vae = loaded(training, begun, device)
    painter = Painter(vae, emoji, device)
    latents = first_latents(training, painter, cache)
    lessons = Lessons(training, emoji, latents, np.random.default_rng([training.seed, 2]), painter)
    model = train_denoiser(training, lessons, cache, device, model)
    answered_by_near_ones(model)
    vae = finished(training, model, vae, emoji, cache)
    some = torch.cat([kind[:: max(len(kind) // PREVIEWED, 1)] for kind in (latents.plain, latents.composed)])
    preview = preview_factors(vae, some.to(device))
    write_checkpoint(out, sd1_tensors(model.unet, vae, model.text), training.size, preview)
    log.info("%s: %.1f MB", out, out.stat().st_size / 1e6)
    log.info("%s", measured(model, vae, emoji, seed=training.seed, device=device))
    write_sheet(out.with_suffix(".png"), model, vae, size=training.size, seed=7, device=device)


def loaded(training: Training, path: Path, device: torch.device) -> tuple[TextConditionedUNet, AutoencoderKL]:
    """The networks of a checkpoint that this command wrote. Raises ModelError: it is another kind of file."""
    model, vae = new_denoiser(training), build_vae(training.networks)
    read_checkpoint(path, model.unet, vae, model.text)
    model.seen |= model.text.get_input_embeddings().weight.abs().sum(1) > 0
    return model.to(device), vae.to(device, memory_format=torch.channels_last)


def planned(training: Training, lessons: int | None) -> Training:
    """The training with so many lessons of the UNet."""
    if lessons is None:
        return training
    return dataclasses.replace(training, denoiser=dataclasses.replace(training.denoiser, lessons=lessons))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webui train-demo", description="Train the demo checkpoint.")
    parser.add_argument("--lessons", type=int, help="lessons of the UNet, in all runs together (default: 2,700,000)")
    parser.add_argument(
        "--from", dest="begun", type=Path, metavar="FILE", help="continue from this checkpoint's weights"
    )
    parser.add_argument("--measure", type=Path, metavar="FILE", help="only measure this checkpoint")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache/gesso/train-demo",
        help="folder for downloads and half-trained networks (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=PROGRAM / "models/Stable-diffusion/emoji-3d.safetensors",
        help="the checkpoint to write (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="continue a stopped run (the default)")
    parser.add_argument("--fresh", action="store_true", help="start over, keeping only the downloads")
    return parser
