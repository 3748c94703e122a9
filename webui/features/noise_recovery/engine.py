"""The sampler's walk backwards, from the given picture to noise.

Song et al. 2021, arXiv:2010.02502, section 4.3, by Euler steps along the noise levels.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from webui.engine.batch import Loaded, Pass
from webui.engine.conditioning import Prompts, Timeline
from webui.engine.denoisers import Prompted, Source, on_device
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.passes import begun_with, encoder_of
from webui.features.noise_recovery.parameters import Params


class Recovering(PassFeature):
    """A pass that begins with the given picture's own noise."""

    def __init__(self, params: Params, context: PassContext, share: tuple[float, float]) -> None:
        self.params, self.context, self.share = params, context, share
        self.source: Source | None = None
        self.prompts: Prompts | None = None

    def enter(self, loaded: Loaded) -> None:
        """The model that begins the pass reads the words for the given picture."""
        if self.prompts is None:
            context, count = self.context, len(self.context.this.positive)
            encoder = encoder_of(context.batch, context.this, loaded, context.services)
            positive, negative = self.params.original_prompt, self.params.original_negative_prompt
            self.prompts = encoder.prompts([positive] * count, [negative] * count, Timeline(1))

    def network(self, source: Source) -> Source:
        self.source = source
        return source

    def first(self, x: Tensor) -> Tensor:
        """x, with that noise in the place of the drawn one."""
        context, start = self.context, self.context.this.start
        if start is None or self.source is None:
            return x
        process, drawn = on_device(context.process, x.device), self.params.randomness
        levels = process.spaced(self.params.st).flip(0).to(start.latents)
        found = self.recovered(start.latents, levels, self.source(levels[-1].expand(len(x))))
        mixed = ((1 - drawn) * found + drawn * context.noise) / ((1 - drawn) ** 2 + drawn**2) ** 0.5
        # What is begun with has the picture in it, which the found noise has, too.
        own = mixed - start.latents / levels[-1]
        before, after = (begun_with(context.way, each, context.this, context.batch) for each in (context.noise, own))
        return x + after - before

    def recovered(self, latents: Tensor, levels: Tensor, network: Prompted) -> Tensor:
        """The noise of which these latents come: (b, c, h, w). levels: rising from 0, (steps + 1,)."""
        watch, x, steps = self.context.services.watch, latents, len(levels) - 1
        watch.enter("working", *self.share)
        for number, (before, level) in enumerate(pairwise(levels), 1):
            watch.check()
            at = before if self.params.sigma_adjustment else level
            # At the level 0 nothing is noise: the first of the adjusted steps changes nothing.
            if at > 0:
                x = x + (x - self.x0(network, x, at.expand(len(x)))) / at * (level - before)
            watch.step(number, steps)
        if self.params.sigma_adjustment:
            return x / levels[-1]
        return x / torch.std(x, dim=(1, 2, 3), keepdim=True)

    def x0(self, network: Prompted, x: Tensor, sigma: Tensor) -> Tensor:
        """The picture that the model sees in x by the original prompts."""
        assert self.prompts is not None
        rows, others = self.prompts.positive_at(0), self.prompts.negative_at(0)
        answers = network.asked(x, sigma, rows)
        weights = torch.tensor(rows.weights).to(x)[:, None, None, None]
        index = torch.tensor(rows.images, device=x.device)
        if self.params.cfg == 1 and set(rows.weights) == {1.0} and rows.images == tuple(range(len(x))):
            return answers
        unguided = network.asked(x, sigma, others)
        apart = (answers - unguided[index]) * weights * self.params.cfg
        return unguided.index_add(0, index, apart)


class Engine(FeatureEngine[Params]):
    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        """The walk back takes its share of the progress."""
        begin, end = this.share
        self.back = (begin, begin + (end - begin) * self.params.st / (self.params.st + max(this.walked, 1)))
        return replace(this, share=(self.back[1], end))

    def begin(self, context: PassContext) -> PassFeature | None:
        return Recovering(self.params, context, self.back) if context.this.start is not None else None
