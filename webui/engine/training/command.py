"""`python -m webui train-demo`: fetch the pictures, train, export, measure.

    python -m webui train-demo [--size 128|256] [--minutes N] [--cache DIR] [--out FILE] [--fresh]

A run that was stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from webui.base.paths import PROGRAM
from webui.engine.training.config import CPU_128, CUDA_256, Training
from webui.engine.training.data import load_emoji
from webui.engine.training.denoiser import Denoiser, cached_latents, train_denoiser
from webui.engine.training.export import preview_factors, sd1_tensors, write_checkpoint
from webui.engine.training.finish import finished
from webui.engine.training.measure import measured, write_sheet
from webui.engine.training.vae import normalise, sample_latents, train_vae

log = logging.getLogger(__name__)

PREVIEWED = 300
"""About so many pictures of each kind tell how latents look."""


def main(argv: Sequence[str]) -> int:
    """Train the demo checkpoint and write it with its contact sheet; the exit code.

    Raises:
        UserError: the training pictures cannot be fetched.
        StorageError: the checkpoint cannot be written.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = options.size or (256 if device.type == "cuda" else 128)
    training = planned(CUDA_256 if size == 256 else CPU_128, options.minutes)
    cache = options.cache / str(size)
    if options.fresh and cache.exists():
        shutil.rmtree(cache)
    cache.mkdir(parents=True, exist_ok=True)
    run(training, options.cache, cache, options.out, device)
    return 0


def run(training: Training, downloads: Path, cache: Path, out: Path, device: torch.device) -> None:
    """All stages, each resumed from `cache` where it is there already."""
    emoji = load_emoji(downloads, training.size)
    vae = train_vae(training, emoji, cache, device)
    normalise(vae, sample_latents(vae, emoji, training, device))
    latents = cached_latents(training, vae, emoji, cache, device)
    model = train_denoiser(training, emoji, latents, cache, device)
    forget_unseen_tokens(model)
    vae = finished(training, model, vae, emoji, cache)
    some = torch.cat([kind[:: max(len(kind) // PREVIEWED, 1)] for kind in (latents.plain, latents.composed)])
    preview = preview_factors(vae, some.to(device))
    write_checkpoint(out, sd1_tensors(model.unet, vae, model.text), training.size, preview)
    log.info("%s: %.1f MB", out, out.stat().st_size / 1e6)
    log.info("%s", measured(model, vae, emoji, seed=training.seed, device=device))
    write_sheet(out.with_suffix(".png"), model, vae, size=training.size, seed=7, device=device)


def planned(training: Training, minutes: float | None) -> Training:
    """The training with its minutes shared out in the same proportion over all stages."""
    if minutes is None:
        return training
    vae, denoiser, finish = training.vae, training.denoiser, training.finish
    factor = minutes / sum((vae.minutes, vae.decoder_minutes, denoiser.text_minutes, denoiser.minutes, finish.minutes))
    return dataclasses.replace(
        training,
        vae=dataclasses.replace(vae, minutes=vae.minutes * factor, decoder_minutes=vae.decoder_minutes * factor),
        denoiser=dataclasses.replace(
            denoiser, text_minutes=denoiser.text_minutes * factor, minutes=denoiser.minutes * factor
        ),
        finish=dataclasses.replace(finish, minutes=finish.minutes * factor),
    )


@torch.no_grad()
def forget_unseen_tokens(model: Denoiser) -> None:
    """Set the vectors of tokens that no caption had to zero: a strange word then says nothing, not something random."""
    embedding: Tensor = model.text.get_input_embeddings().weight
    embedding[~model.seen] = 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webui train-demo", description="Train the demo checkpoint.")
    parser.add_argument("--size", type=int, choices=(128, 256), help="pixels; 256 on a CUDA GPU, else 128")
    parser.add_argument("--minutes", type=float, help="of training, all stages together")
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
    parser.add_argument("--resume", action="store_true", help="go on with a stopped run (the default)")
    parser.add_argument("--fresh", action="store_true", help="begin anew, keeping only the downloads")
    return parser
