"""Noise inversion: img2img begins with the noise of which the model itself would make the given picture, so that little
of it is lost.

The walk is DDIM's, backwards: Song et al. 2021, arXiv:2010.02502, section 4.3, by Euler steps along the noise levels.
Where the picture has few details, drawn noise is mixed in; what details are, the guided filter says: He et al. 2013,
doi:10.1109/TPAMI.2012.213, the picture being its own guide.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from webui.engine.batch import Loaded
from webui.engine.denoisers import Ask, Prompted, Source, on_device
from webui.engine.feature import PassContext, PassFeature
from webui.engine.passes import begun_with
from webui.features.tiled_diffusion.parameters import Params

SMOOTH = 0.01
"""The guided filter's epsilon, for values from 0 to 1."""


class Inverting(PassFeature):
    """A pass in tiles that begins with the given picture's own noise."""

    def __init__(self, inner: PassFeature, params: Params, context: PassContext) -> None:
        self.inner, self.params, self.context = inner, params, context
        self.source: Source | None = None

    @property
    def bends(self) -> bool:
        return self.inner.bends

    def enter(self, loaded: Loaded) -> None:
        self.inner.enter(loaded)

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        return self.inner.patch(loaded)

    def predict(self, ask: Ask) -> Ask:
        return self.inner.predict(ask)

    def network(self, source: Source) -> Source:
        self.source = source
        return source

    def first(self, x: Tensor) -> Tensor:
        """x, with that noise in the place of the drawn one."""
        context, start = self.context, self.context.this.start
        if start is None:
            return x
        level = float(context.way.whole.max())
        own = self.inverted(start.latents) - start.latents / level
        mask = torch.stack([self.share(given.picture, x) for given in start.givens]).to(x)
        mixed = ((1 - mask) * own + mask * context.noise) / (mask**2 + (1 - mask) ** 2) ** 0.5
        before, after = (begun_with(context.way, each, context.this, context.batch) for each in (context.noise, mixed))
        return x + after - before

    def share(self, picture: Image.Image, x: Tensor) -> Tensor:
        """How much of the noise is the drawn one: (1, h, w), from 0 to 1."""
        found = torch.from_numpy(details(picture, self.params.renoise_kernel))
        plain = 1 - interpolate(found[None, None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0]
        return (plain * self.params.renoise_strength).clamp(0, 1)

    def inverted(self, latents: Tensor) -> Tensor:
        """The noise of which these latents come: (b, c, h, w), of variance 1."""
        assert self.source is not None
        process = on_device(self.context.process, latents.device)
        x, levels = latents, process.spaced(self.params.inversion_steps).flip(0).to(latents)
        for before, level in pairwise(levels):
            self.context.services.watch.check()
            sigma = level.expand(len(x))
            x = x + self.noise(self.source(sigma), x, sigma) * (level - before)
        return x / levels[-1]

    def noise(self, network: Prompted, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network takes for noise in x, by the prompt alone, told an earlier time by the factor of Retouch."""
        process = network.process
        told = sigma
        if self.params.retouch != 1:
            told = process.sigma(process.position(sigma) / self.params.retouch).to(sigma)
            one = torch.ones_like(x)
            x = x * process.to_input(one, sigma) / process.to_input(one, told)
        rows = network.prompts.positive_at(0)
        answers = network.asked(x, told, rows)
        weights = torch.tensor(rows.weights).to(x)[:, None, None, None]
        whole, total = torch.zeros_like(x), torch.zeros(len(x), 1, 1, 1).to(x)
        index = torch.tensor(rows.images, device=x.device)
        whole.index_add_(0, index, answers * weights)
        total.index_add_(0, index, weights)
        return (x - whole / total) / told[:, None, None, None]


def details(picture: Image.Image, kernel: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """How much of each pixel a guided filter takes away: (h, w), from 0 to 1.

    A1111: what is darker than its surroundings counts from the other end, as numbers below 0 do in 8 bits.
    """
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    box = (kernel, kernel)
    mean, square = cv2.blur(grey, box), cv2.blur(grey * grey, box)
    variance = square - mean * mean
    slope = variance / (variance + SMOOTH)
    change = slope * grey + (mean - slope * mean) - grey
    found = ((change * 255).astype(np.int32) & 255).astype(np.float32)
    found /= 255
    return found
