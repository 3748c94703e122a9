"""The network sees tiles of the latents, and their answers are averaged where they overlap.

MultiDiffusion: Bar-Tal et al. 2023, arXiv:2302.08113, eq. 7 with equal weights. Mixture of Diffusers: Jiménez 2023,
arXiv:2302.02412: weights fall off from a tile's middle as a Gaussian. Both average the network's answers, in which the
predicted picture is linear, so that predicted pictures may be averaged alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from webui.engine.batch import Loaded, Services
from webui.engine.conditioning import Encoder, Prompts
from webui.engine.denoisers import Ask, Call, Window
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.networks.patches import AddedWeights
from webui.engine.passes import encoder_of
from webui.engine.upscalers.resize import enlarged
from webui.features.lora.scoped import ScopedLoras, Size, Tags, acting, on_text
from webui.features.tiled_diffusion.inversion import Inverting
from webui.features.tiled_diffusion.parameters import (
    BACKGROUND,
    MIXTURE,
    NO_UPSCALER,
    Grid,
    Params,
    TiledRegion,
    batches,
)
from webui.prompt.networks import LORA_KINDS, extract_networks

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


def feathered(height: int, width: int, ratio: float) -> Tensor:
    """How much a region of this size covers what lies below it: (height, width), 0 at its edge, 1 from `ratio` of half
    its shorter side on. As in the extension, the middle row and column of odd sides cover all along."""
    radius = int(min(width // 2, height // 2) * ratio)
    if not radius:
        return torch.ones(height, width)
    near = torch.minimum(_to_edge(height, radius)[:, None], _to_edge(width, radius)[None])
    covers = (near / radius).clamp(max=1) ** 2
    for side, line in ((height, covers), (width, covers.T)):
        if side % 2:
            line[side // 2] = 1
    return covers


def _to_edge(side: int, most: int) -> Tensor:
    along = torch.arange(side, dtype=torch.float32)
    return torch.minimum(along, along.flip(0)).clamp(max=most)


class PlacedRegion(NamedTuple):
    """A region in a pass."""

    window: Window
    region: TiledRegion
    prompts: Prompts
    worn: int | None
    """Which set of LoRAs acts in it."""


class WithRegions(PassFeature):
    """One pass with regions: each is looked at with its own texts, and the tiles with those of the picture.

    Those in the background are averaged with all else that lies there, those in the foreground laid over it.
    """

    def __init__(self, params: Params, context: PassContext, grid: Grid, size: tuple[int, int]) -> None:
        self.params, self.context, self.size = params, context, size
        self.grid = windows_of(grid) if params.draw_background else ()
        self.batches = batches(len(self.grid), params.batch_size) if self.grid else ()
        self.is_mixture = params.method == MIXTURE
        self.placed: tuple[PlacedRegion, ...] = ()
        self.texts = {region: extract_networks(region.prompt) for region in params.control}
        self.loras = ScopedLoras(context, list(dict.fromkeys(filter(None, map(self._tags, params.control)))))
        self.worn: int | None = None
        """The set of LoRAs that acts in the present call."""

    @property
    def bends(self) -> bool:
        return bool(self.loras.sets)

    def _tags(self, region: TiledRegion) -> Tags:
        return tuple(tag for tag in self.texts[region][1] if tag.kind in LORA_KINDS)

    def enter(self, loaded: Loaded) -> None:
        this, sets = self.context.this, self.loras.sets

        def behind(texts: Sequence[str], own: str) -> list[str]:
            return [f"{text}, {own}" if own else text for text in texts]

        def read(region: TiledRegion, encoder: Encoder) -> Prompts:
            positive, negative = behind(this.positive, self.texts[region][0]), behind(this.negative, region.neg_prompt)
            return encoder.prompts(positive, negative, this.timeline)

        known: dict[TiledRegion, Prompts] = {}
        for tags in sets:
            encoder = self.loras.encoder(loaded, [on_text(tag) for tag in tags])
            known |= {region: read(region, encoder) for region in self.params.control if self._tags(region) == tags}
        if sets:
            self.loras.learn(loaded)
            encoder = self.loras.encoder(loaded, ())
        else:
            encoder = encoder_of(self.context.batch, this, loaded, self.context.services)
        found = []
        for region in self.params.control:
            window, tags = Window(*region.on(*self.size)), self._tags(region)
            if window.height < 1 or window.width < 1:
                continue
            prompts = known.get(region) or read(region, encoder)
            found.append(PlacedRegion(window, region, prompts, sets.index(tags) if tags else None))
        self.placed = tuple(found)

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        """Compiled blocks run as they are written where LoRAs act in them."""
        unet, changes = loaded.model.parts.get("unet"), self.loras.changes.get(id(loaded.model))
        return nullcontext() if unet is None or changes is None else self._patched(unet, changes)

    @contextmanager
    def _patched(self, unet: nn.Module, changes: Sequence[dict[str, AddedWeights]]) -> Iterator[None]:
        with torch.compiler.set_stance("force_eager"), acting(unet, changes, {}, self._strength):
            yield

    def _strength(self, number: int, _output: Tensor, _size: Size | None) -> float:
        return float(number == self.worn)

    @contextmanager
    def _wearing(self, worn: int | None) -> Iterator[None]:
        self.worn = worn
        try:
            yield
        finally:
            self.worn = None

    def predict(self, ask: Ask) -> Ask:
        placed = self.placed

        def asked(call: Call) -> Tensor:
            if call.windows or call.x.shape[-2:] != self.size:
                return ask(call)
            whole, weight = torch.zeros_like(call.x), torch.zeros(self.size, device=call.x.device)
            over, cover, count = torch.zeros_like(call.x), torch.zeros_like(weight), torch.zeros_like(weight)
            for batch in self.batches:
                self.context.services.watch.check()
                answers = ask(call.through(*(self.grid[number] for number in batch)))
                for number, answer in zip(batch, answers.chunk(len(batch)), strict=True):
                    self._averaged(whole, weight, self.grid[number], answer)
            for window, region, prompts, worn in placed:
                self.context.services.watch.check()
                with self._wearing(worn):
                    answer = _told(ask, call, window, prompts)
                if region.blend_mode == BACKGROUND:
                    self._averaged(whole, weight, window, answer)
                    continue
                mask = feathered(window.height, window.width, region.feather_ratio).to(weight)
                over[window.at(over)] += answer
                cover[window.at(cover)] += mask
                count[window.at(count)] += 1
            # Mixture averages what the network answers: where that is nothing, there is nothing to take off x
            empty = call.x if self.is_mixture else torch.zeros_like(call.x)
            below = torch.where(weight > 0, whole / weight.clamp(min=1e-30), empty)
            many = count.clamp(min=1)
            return torch.lerp(below, over / many, cover / many)

        return asked

    def _averaged(self, whole: Tensor, weight: Tensor, window: Window, answer: Tensor) -> None:
        own = torch.ones(window.height, window.width, dtype=torch.float64)
        if self.is_mixture:
            own = bell(window.height, window.width).clamp(min=-60).exp()
        own = own.to(weight)
        whole[window.at(whole)] += answer * own
        weight[window.at(weight)] += own


def _told(ask: Ask, call: Call, window: Window, prompts: Prompts) -> Tensor:
    """What the network answers to a part of what a call sees, with other texts: rows of one length are asked
    together. A part between AND that the region's text has more of than the picture's does not count."""
    texts = {"positive": prompts.positive_at(call.number), "negative": prompts.negative_at(call.number)}
    places = {
        (side, row.picture, row.part): place for side, told in texts.items() for place, row in enumerate(told.rows)
    }
    by_length: dict[int, list[int]] = {}
    for number, row in enumerate(call.rows):
        by_length.setdefault(texts[row.side].tokens.shape[1], []).append(number)
    found: Tensor | None = None
    for rows in by_length.values():
        own = [(texts[row.side], places[row.side, row.picture, row.part]) for row in (call.rows[each] for each in rows)]
        vectors = [told.vector[place] for told, place in own if told.vector is not None]
        tokens = torch.stack([told.tokens[place] for told, place in own])
        answers = ask(call.told(rows, tokens, torch.stack(vectors) if vectors else None).through(window))
        if found is None:
            found = torch.empty(len(call.rows), *answers.shape[1:], dtype=answers.dtype, device=answers.device)
        found[rows] = answers
    assert found is not None
    return found


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
        inverts = self.params.inverts(request)
        if self.params.control:
            inner: PassFeature = WithRegions(self.params, context, grid, size)
        elif grid.tiles > 1 or inverts:
            inner = Tiled(self.params, context, grid, size)
        else:
            return None
        return Inverting(inner, self.params, context) if inverts else inner
