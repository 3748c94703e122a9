"""The network sees tiles of the latents, and their answers are averaged where they overlap.

MultiDiffusion: Bar-Tal et al. 2023, arXiv:2302.08113, eq. 7 with equal weights. Mixture of Diffusers: Jiménez 2023,
arXiv:2302.02412: weights fall off from a tile's middle as a Gaussian. Both average the network's answers, in which the
predicted picture is linear, so that predicted pictures may be averaged alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from PIL import Image
from torch import Tensor, nn

from webui.engine.batch import Loaded, Services
from webui.engine.denoisers import Ask, Call, Window
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.upscalers.resize import enlarged
from webui.features.tiled_diffusion.parameters import MIXTURE, NO_UPSCALER, Grid, Params, batches

VARIANCE = 0.01
"""Of the Gaussian, in widths of a tile."""


def windows_of(grid: Grid) -> tuple[Window, ...]:
    return tuple(Window(top, left, grid.height, grid.width) for top in grid.tops for left in grid.lefts)


def bell(height: int, width: int) -> Tensor:
    """The logarithm of the weight of each pixel of a tile: (height, width). The middle of its rows lies half a pixel
    lower than it might, as in the paper's own code."""
    across = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    down = torch.arange(height, dtype=torch.float64) - height / 2
    return -(across[None] ** 2 + down[:, None] ** 2) / (width**2 * 2 * VARIANCE)


def shares(windows: Sequence[Window], size: tuple[int, int], weight: Tensor) -> list[Tensor]:
    """What share of the whole (height, width) each window has in it, at each of its pixels; together 1 everywhere.

    weight: the logarithm of that of each pixel of a window, so that none is too small to be divided by.
    """
    together = torch.full(size, -torch.inf, dtype=torch.float64)
    for window in windows:
        at = window.at(together)
        together[at] = torch.logaddexp(together[at], weight)
    return [(weight - window.of(together)).exp().float() for window in windows]


class Tiled(PassFeature):
    """One pass in tiles."""

    def __init__(self, params: Params, context: PassContext, grid: Grid, size: tuple[int, int]) -> None:
        self.context, self.size = context, size
        self.wraps = context.batch.render.tiling
        self.windows = windows_of(grid)
        self.batches = batches(len(self.windows), params.batch_size)
        weight = bell(grid.height, grid.width) if params.method == MIXTURE else torch.zeros(grid.height, grid.width)
        device = context.loaded.model.device
        self.shares = [share.to(device) for share in shares(self.windows, size, weight.double())]

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        """A tile's own edges do not meet: where the picture's do, there are tiles across them."""
        unet = loaded.model.parts.get("unet")
        return unwrapped(unet) if self.wraps and unet is not None else nullcontext()

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            if call.windows or call.x.shape[-2:] != self.size:
                return ask(call)
            whole = torch.zeros_like(call.x)
            for batch in self.batches:
                self.context.services.watch.check()
                answers = ask(call.through(*(self.windows[number] for number in batch)))
                for number, answer in zip(batch, answers.chunk(len(batch)), strict=True):
                    whole[self.windows[number].at(whole)] += answer * self.shares[number].to(answer.dtype)
            return whole

        return asked


@contextmanager
def unwrapped(network: nn.Module) -> Iterator[None]:
    """Within the block no convolution wraps around; afterwards all is as before."""
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    before = [layer.padding_mode for layer in convolutions]
    for layer in convolutions:
        layer.padding_mode = "zeros"
    try:
        yield
    finally:
        for layer, mode in zip(convolutions, before, strict=True):
            layer.padding_mode = mode


class Engine(FeatureEngine[Params]):
    def given(self, picture: Image.Image, services: Services) -> Image.Image:
        if self.params.upscaler == NO_UPSCALER:
            return picture
        return enlarged(picture, self.params.scale_factor, self.params.upscaler, services.enlargers)

    def begin(self, context: PassContext) -> PassFeature | None:
        """A pass of another size than the request's is not tiled: that of hires fix."""
        request, factor = context.batch.request, context.loaded.model.latent.factor
        width, height = context.this.size
        if (width, height) != (request.width, request.height):
            return None
        size = (height // factor, width // factor)
        grid = self.params.grid(size, wraps=context.batch.render.tiling)
        return Tiled(self.params, context, grid, size) if grid.tiles > 1 else None
