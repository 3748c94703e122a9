"""`python -m webui train-demo`: fetch the pictures, train, export, measure.

    python -m webui train-demo [--lessons N] [--minutes M] [--threads N] [--from FILE] [--cache DIR] [--out FILE]
                               [--fresh] [--export] [--measure FILE] [--compile]

A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from webui.base.errors import UserError
from webui.base.paths import PROGRAM
from webui.engine.training.config import LATENT_SCALE, ON_CPU, ON_CUDA, Training, in_minutes
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
from webui.engine.training.finish import finished, finished_before
from webui.engine.training.measure import measured, write_sheet
from webui.engine.training.networks import build_vae
from webui.engine.training.strange_words import answered_by_near_ones
from webui.engine.training.vae import normalise, sample_latents, train_vae

log = logging.getLogger(__name__)

PREVIEWED = 320
"""So many pictures tell how latents look."""


def main(argv: Sequence[str]) -> int:
    """Train the demo checkpoint and write it with its contact sheet; the exit code.

    Raises:
        UserError: the training pictures cannot be fetched, or there is nothing yet to export.
        ModelError: the file of `--from` or `--measure` is not such a checkpoint.
        StorageError: the checkpoint cannot be written.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    training = planned(ON_CUDA if device.type == "cuda" else ON_CPU, options.lessons)
    if options.minutes:
        training = in_minutes(training, options.minutes)
    emoji = load_emoji(options.cache, training.size)
    cache = options.cache / state_folder(training)
    if options.measure is not None:
        model, vae = loaded(training, options.measure, device)
        _measure(training, model, vae, emoji, cache, device)
        return 0
    if options.export:
        model, vae = as_it_stands(training, emoji, cache, device)
        export(training, model, vae, emoji, options.out, device)
        return 0
    if options.fresh and cache.exists():
        shutil.rmtree(cache)
    cache.mkdir(parents=True, exist_ok=True)
    run(training, emoji, cache, options.out, device, begun=options.begun, compiled=options.compile)
    return 0


def state_folder(training: Training) -> str:
    """The name of the folder with a training's state: that of other networks is never taken for this one's."""
    return f"{training.size}-{zlib.crc32(repr(training.networks).encode()):08x}"


def run(
    training: Training,
    emoji: Emoji,
    cache: Path,
    out: Path,
    device: torch.device,
    *,
    begun: Path | None = None,
    compiled: bool = False,
) -> None:
    """All stages, each resumed from `cache` where it is there already. begun: a checkpoint to go on from."""
    if begun is None:
        model, vae = None, train_vae(training, emoji, cache, device)
        normalise(vae, sample_latents(vae, emoji, training, device))
    else:
        model, vae = loaded(training, begun, device)
    painter = Painter(vae, emoji, device, training.together)
    latents = first_latents(training, painter, cache).to(device)
    lessons = Lessons(training, emoji, latents, painter)
    model = train_denoiser(training, lessons, cache, device, model, compiled=compiled)
    answered_by_near_ones(model)
    export(training, model, vae, emoji, out, device)  # a run that is killed in its last stage has not been for nothing
    if training.finish.lessons > 0:
        vae = finished(training, model, vae, emoji, cache)
        export(training, model, vae, emoji, out, device)
    _measure(training, model, vae, emoji, cache, device)
    write_sheet(out.with_suffix(".png"), model, vae, size=training.size, seed=7, device=device)


def export(
    training: Training, model: TextConditionedUNet, vae: AutoencoderKL, emoji: Emoji, out: Path, device: torch.device
) -> None:
    """Write the checkpoint."""
    latents = sample_latents(vae, emoji, training, device, PREVIEWED) * LATENT_SCALE
    write_checkpoint(out, sd1_tensors(model.unet, vae, model.text), training.size, preview_factors(vae, latents))
    log.info("%s: %.1f MB", out, out.stat().st_size / 1e6)


def as_it_stands(
    training: Training, emoji: Emoji, cache: Path, device: torch.device
) -> tuple[TextConditionedUNet, AutoencoderKL]:
    """The averaged networks of a training that is not over, or is running elsewhere.

    Raises:
        UserError: it has not come to the UNet yet.
    """
    states = (cache / "vae.pt", cache / "denoiser.pt")
    if not all(state.exists() for state in states):
        raise UserError("The UNet has not been trained yet.", hint="Let the training run for longer.")
    of_vae, of_model = (torch.load(state, map_location=device, weights_only=True, mmap=True) for state in states)
    vae, model = build_vae(training.networks).to(device), new_denoiser(training).to(device)
    vae.load_state_dict(of_vae["mean"])
    model.load_state_dict(of_model["mean"])
    model.requires_grad_(False).eval()
    vae.requires_grad_(False).eval()
    normalise(vae, sample_latents(vae, emoji, training, device))
    answered_by_near_ones(model)
    return model, finished_before(model, vae, cache)


def _measure(
    training: Training, model: TextConditionedUNet, vae: AutoencoderKL, emoji: Emoji, cache: Path, device: torch.device
) -> None:
    """Told, and kept as a line of `figures.jsonl` beside the lessons that the UNet had had: the curve."""
    figures = measured(model, vae, emoji, seed=training.seed, device=device)
    log.info("%s", figures)
    state = cache / "denoiser.pt"
    done = torch.load(state, weights_only=True, mmap=True)["done"] if state.exists() else None
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "figures.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"lessons": done, **dataclasses.asdict(figures)}) + "\n")


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
    parser.add_argument("--minutes", type=float, metavar="M", help="be done after so many minutes of training")
    parser.add_argument("--threads", type=int, metavar="N", help="processors to use (default: all)")
    parser.add_argument("--compile", action="store_true", help="compile the UNet first: a minute, then faster")
    parser.add_argument("--export", action="store_true", help="only write the checkpoint as far as it is trained")
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
