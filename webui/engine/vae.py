"""Pictures into latents and back: whole or in pieces, and what happens where half precision is not enough."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.families.family import PictureMaker
from webui.engine.memory import free_bytes, give_back, is_out_of_memory
from webui.engine.watch import Watch
from webui.request.settings import RenderSettings

log = logging.getLogger(__name__)

ROOM = 0.7
"""The share of the free memory that the VAE may take before it works in pieces."""


def decoded(model: PictureMaker, latents: Tensor, render: RenderSettings, watch: Watch) -> Tensor:
    """Pixels about -1..1: (1, 3, h, w). A half-precision VAE that gives NaN is used in a wider type from then on.

    Raises:
        UserError: it gives NaN in full precision too.
    """
    pixel_count = latents.shape[-2:].numel() * model.latent.factor**2
    return _finite(model, lambda pieces: model.decode(latents, tiled=pieces), pixel_count, render, watch)


def encoded(
    model: PictureMaker,
    pixels: Tensor,
    render: RenderSettings,
    watch: Watch,
    *,
    scaled: bool = True,
    posterior: torch.Generator | None = None,
) -> Tensor:
    """Latents of pixels (1, 3, h, w) in -1..1; not `scaled`: without the family's factor. NaN as in `decoded`.

    posterior: draws the latents from the encoder's distribution; None: its mean.

    Raises:
        UserError: it gives NaN in full precision too.
    """
    drawn: list[Tensor] = []

    def noise(shape: torch.Size) -> Tensor:
        if not drawn:  # another try has the same noise
            drawn.append(torch.randn(shape, generator=posterior))
        return drawn[0]

    draw = noise if posterior is not None else None

    def run(pieces: bool) -> Tensor:
        return model.encode_image(pixels, scaled=scaled, tiled=pieces, noise=draw)

    return _finite(model, run, pixels.shape[-2:].numel(), render, watch)


def _finite(
    model: PictureMaker, run: Callable[[bool], Tensor], pixel_count: int, render: RenderSettings, watch: Watch
) -> Tensor:
    """What the VAE gives, tried once more in each wider type that the settings allow while it gives NaN."""
    wider = [torch.bfloat16] if render.auto_vae_precision_bfloat16 else []
    wider += [torch.float32] if render.auto_vae_precision else []
    while not bool(torch.isfinite(found := _run(model, run, pixel_count, watch)).all()):
        dtype = next((each for each in wider if model.widen_vae(each)), None)
        if dtype is None:
            raise UserError(
                "The VAE produced invalid values (NaN).", hint="Start with --no-half-vae, or choose another VAE."
            )
        called = "full precision" if dtype == torch.float32 else "bfloat16"
        watch.remark(f"The VAE failed in half precision; it is used in {called} from now on.")
    return found


def _run(model: PictureMaker, run: Callable[[bool], Tensor], pixel_count: int, watch: Watch) -> Tensor:
    """In pieces when the whole would not fit, in the host's memory when the pieces do not either. What was computed
    before is not lost."""
    way = model.placement.vae_way
    pieces = way == "tiled" or pixel_count * model.vae_bytes_per_pixel > free_bytes(model.device) * ROOM
    with watch.stopwatch.running():
        if way == "host":
            with model.vae_on_host():
                return run(pieces)
        if not pieces:
            try:
                return run(False)
            except (RuntimeError, MemoryError) as error:
                _excuse(error, model)
            watch.remark(
                "The VAE processed the picture in tiles because there was not enough memory for the whole picture."
            )
        try:
            return run(True)
        except (RuntimeError, MemoryError) as error:
            _excuse(error, model)
        watch.remark("The VAE ran on the CPU because there was not enough memory on the device.")
        with model.vae_on_host():
            return run(True)


def _excuse(error: Exception, model: PictureMaker) -> None:
    """Make room for the next try, unless this was no lack of memory. (A device's convolutions say it in many ways.)"""
    if not is_out_of_memory(error) and model.device.type == "cpu":
        raise error
    log.warning("The VAE failed and is tried another way: %s", error)
    give_back(model.device)
