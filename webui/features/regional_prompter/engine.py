"""Each part of the prompt holds in its region.

Attention: in each cross-attention the whole map looks at the text of each region, and of each answer only its region
is kept. Latent: each part is a prompt of its own, as AND has them, and guides in its region alone.

A LoRA that the text of a region names acts in that region alone: on its text, and on the network where the region is,
or where its part is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from webui.catalog.image_files import pixels_of
from webui.engine.batch import Loaded, Pass
from webui.engine.conditioning import Prompts, Row, Timed
from webui.engine.denoisers import Ask, Call, Prompted, Source
from webui.engine.families.family import Encoded, PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.networks.patches import AddedWeights, BrokenNetwork
from webui.engine.passes import encoder_of
from webui.features.lora.engine import apply_adapters, note_hashes, wanted_of
from webui.features.regional_prompter.areas import Size, areas_of
from webui.features.regional_prompter.attention import Group, Look, attending, sizes_noted
from webui.features.regional_prompter.loras import acting
from webui.features.regional_prompter.parameters import LATENT, MASK, Params
from webui.prompt.composition import split_and
from webui.prompt.networks import LORA_KINDS, NetworkTag, extract_networks, lora_weights
from webui.prompt.regions import Layout, breaks_in

Tags = tuple[NetworkTag, ...]
"""Of LoRAs that act together."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Of pictures with the same texts."""

    texts: tuple[str, ...]
    """The parts of the prompt."""
    negative: tuple[str, ...]
    """Those of the negative prompt: one, or one a region."""
    has_base: bool
    areas: Callable[[Size], Tensor]
    """size -> (parts, h, w)."""
    loras: tuple[Tags, ...] = ()
    """Of each part, those that act in it alone."""

    @property
    def counts(self) -> list[int]:
        """How many texts between AND each part is."""
        return [len(split_and(text)) for text in self.texts]

    @property
    def owners(self) -> list[int]:
        """The part to which each text between AND belongs."""
        return [part for part, count in enumerate(self.counts) for _ in range(count)]

    @property
    def is_dressed(self) -> bool:
        return any(self.loras)

    def guiding(self, size: Size) -> Tensor:
        """(parts, h, w) of all parts between AND."""
        return self.areas(size)[self.owners]


def _without_base(areas: Tensor, count: int, *, has_base: bool) -> Tensor:
    """Areas of `count` negative texts: those of the regions, without a share for a base; the last one has the rest."""
    regions = areas[1:] if has_base else areas
    whole = regions / regions.sum(dim=0, keepdim=True).clamp(min=1e-6)
    kept = whole[:count].clone()
    kept[-1] += 1 - kept.sum(dim=0)
    return kept


class Regional(PassFeature):
    """One pass with regions."""

    def __init__(self, params: Params, context: PassContext, regions: Sequence[Regions | None]) -> None:
        self.params, self.context, self.regions = params, context, regions
        self.is_latent = params.calculation == LATENT
        width, height = context.this.size
        factor = context.loaded.model.latent.factor
        self.size = (height // factor, width // factor)
        self.call: Call | None = None
        self.looked: tuple[Sequence[int], int | None] | None = None
        """The rows and the part that an attention is at."""
        worn = (tags for each in regions if each is not None for tags in each.loras if tags)
        self.sets = list(dict.fromkeys(worn))
        self.read: dict[int, Prompts] = {}
        """By the model that reads, where LoRAs of regions change what it reads."""
        self.changes: dict[int, list[dict[str, AddedWeights]]] = {}
        is_hires = context.this.phase == "hires"
        self.stops = params.stops_after(is_hires=is_hires)

    # -- texts

    def enter(self, loaded: Loaded) -> None:
        if not self.sets:
            return
        this, services, batch = self.context.this, self.context.services, self.context.batch
        remark, refs, model = services.watch.remark, services.networks, loaded.model
        is_first = loaded is self.context.loaded

        def reading(tags: Sequence[NetworkTag]) -> Prompts:
            told = apply_adapters(loaded.patches, model, [*this.networks, *tags], refs, remark, strict=is_first)
            if is_first:
                note_hashes(batch.facts, told)
            return encoder_of(batch, this, loaded, services).prompts(this.positive, this.negative, this.timeline)

        by_set = [reading([_on_text(tag) for tag in tags]) for tags in self.sets]
        negative = [
            _on_text(tag, self._negative(self.params.negative_te, n))
            for n, tags in enumerate(self.sets)
            for tag in tags
        ]
        plain = reading(negative) if self.is_latent and any(_te(tag) for tag in negative) else None
        bare = reading(())
        self.read[id(model)] = self._joined(bare, by_set, (plain or bare).negative)
        self.changes[id(model)] = [self._changes(loaded, tags) for tags in self.sets]

    def _changes(self, loaded: Loaded, tags: Tags) -> dict[str, AddedWeights]:
        services = self.context.services
        wanted = wanted_of(tags, services.networks, services.watch.remark)
        while True:
            try:
                return loaded.patches.changes(loaded.model, wanted)
            except BrokenNetwork as error:
                wanted = [one for one in wanted if one.ref != error.ref]  # remarked upon where it was read

    def _negative(self, said: str, number: int) -> float:
        ratios = self.params.negative_ratios(said)
        return ratios[min(number, len(ratios) - 1)]

    def _joined(self, bare: Prompts, by_set: Sequence[Prompts], negative: tuple[Timed, ...]) -> Prompts:
        """The texts, each part as the model reads it with its LoRAs."""
        positive = []
        for picture, (plain, regions) in enumerate(zip(bare.positive, self.regions, strict=True)):
            if regions is None or not regions.is_dressed:
                positive.append(plain)
                continue
            read = [by_set[self.sets.index(tags)].positive[picture] if tags else plain for tags in regions.loras]
            if self.is_latent:
                positive.append(tuple(read[owner][place] for place, owner in enumerate(regions.owners)))
            else:
                positive.append(tuple(_spliced(regions.texts, place, read) for place in range(len(plain))))
        return Prompts(tuple(positive), negative)

    def network(self, source: Source) -> Source:
        areas = [None if each is None else each.guiding(self.size) for each in self.regions] if self.is_latent else []
        known: dict[int, Prompted] = {}

        def regional(sigma: Tensor) -> Prompted:
            network = source(sigma)
            key = id(network.model)
            if key not in known:
                known[key] = replace(network, areas=areas, prompts=self.read.get(key, network.prompts))
            return known[key]

        return regional

    # -- the network

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        is_idle = self.is_latent and not self.sets
        return nullcontext() if unet is None or is_idle else self._patched(unet, loaded.model)

    @contextmanager
    def _patched(self, unet: torch.nn.Module, model: PictureMaker) -> Iterator[None]:
        """Compiled blocks run as they are written."""
        with ExitStack() as held, torch.compiler.set_stance("force_eager"):
            sizes = held.enter_context(sizes_noted(unet))
            if not self.is_latent:
                held.enter_context(attending(unet, sizes, self.groups, self.looking))
            if id(model) in self.changes:
                held.enter_context(acting(unet, self.changes[id(model)], sizes, self.strength))
            yield

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.call = call
            try:
                return ask(call)
            finally:
                self.call = None

        return asked

    @contextmanager
    def looking(self, rows: Sequence[int], part: int | None) -> Iterator[None]:
        """For `attending`."""
        self.looked = (rows, part)
        try:
            yield
        finally:
            self.looked = None

    def groups(self, size: Size) -> list[Group]:
        """For `attending`: rows are alike whose texts end at the same tokens, and whose regions lie alike."""
        found: dict[object, list[int]] = {}
        if self.call is None:
            return []
        for number, row in enumerate(self.call.rows):
            key = (id(self.regions[row.picture]), row.side, self._ends(row), self._window(number))
            found.setdefault(key, []).append(number)
        return [group for rows in found.values() if (group := self._group(rows, size)) is not None]

    def _group(self, rows: list[int], size: Size) -> Group | None:
        assert self.call is not None
        row = self.call.rows[rows[0]]
        regions = self.regions[row.picture]
        if regions is None:
            return None
        areas, ends = self._areas(rows[0], regions, size), self._ends(row)
        if row.side == "positive":
            spans = list(_spans(regions.texts, ends))
        elif len(regions.negative) > 1:
            areas = _without_base(areas, len(regions.negative), has_base=regions.has_base)
            spans = list(_spans(regions.negative, ends))[: len(areas)]
        elif regions.is_dressed:
            spans = [(0, ends[-1])] * len(areas)
        else:
            return None
        first = int(regions.has_base) if row.side == "negative" and len(regions.negative) > 1 else 0
        looks = [
            Look(first + part, begin, end, area)
            for part, ((begin, end), area) in enumerate(zip(spans, areas, strict=True))
        ]
        return Group(rows, looks)

    def _window(self, number: int) -> int:
        assert self.call is not None
        return number * len(self.call.windows) // len(self.call.rows) if self.call.windows else -1

    def _areas(self, number: int, regions: Regions, size: Size) -> Tensor:
        """(parts, h, w) of what a row sees."""
        assert self.call is not None
        if not self.call.windows:
            return regions.areas(size)
        seen = self.call.windows[self._window(number)].of(regions.areas(self.size))
        return interpolate(seen[None], size=size, mode="nearest-exact")[0]

    def _ends(self, row: Row) -> tuple[int, ...]:
        """Where the parts of a row's text end; of several between AND, those of the longest hold."""
        assert self.call is not None
        alike = (each.ends for each in self.call.rows if (each.picture, each.side) == (row.picture, row.side))
        return max(alike, key=len)

    # -- LoRAs

    def strength(self, number: int, output: Tensor, size: Size | None) -> Tensor | float:
        """For `acting`."""
        call = self.call
        if call is None or (self.stops and call.step >= self.stops):
            return 0.0
        rows, part = self.looked or (range(len(call.rows)), None)
        if len(output) != len(rows):
            return 0.0
        if self.is_latent:
            each = [self._of_row(call.rows[row], number) for row in rows]
            return torch.tensor(each, device=output.device).reshape(-1, *[1] * (output.ndim - 1))
        if part is not None:
            regions = self.regions[call.rows[rows[0]].picture]
            return float(regions is not None and self._wears(regions, part, number))
        here = (output.shape[-2], output.shape[-1]) if output.ndim == 4 else size
        if here is None or output.ndim == 2 or (output.ndim == 3 and output.shape[1] != here[0] * here[1]):
            return 0.0
        found = torch.stack([self._where(row, number, here) for row in rows])
        return found[:, None] if output.ndim == 4 else found.flatten(1)[..., None]

    def _of_row(self, row: Row, number: int) -> float:
        regions = self.regions[row.picture]
        if regions is None:
            return 0.0
        if row.side == "negative":
            return self._negative(self.params.negative_unet, number)
        return float(self._wears(regions, regions.owners[row.part], number))

    def _wears(self, regions: Regions, part: int, number: int) -> bool:
        return regions.loras[part] == self.sets[number]

    def _where(self, row: int, number: int, size: Size) -> Tensor:
        """How strongly a set acts at each place of a map: (h, w)."""
        assert self.call is not None
        regions = self.regions[self.call.rows[row].picture]
        if regions is None:
            return torch.zeros(size)
        areas = self._areas(row, regions, size)
        worn = [self._wears(regions, part, number) for part in range(len(areas))]
        whole = areas[int(regions.has_base) :].sum(dim=0).clamp(min=1e-6) if regions.has_base else 1.0
        return areas[worn].sum(dim=0) / whole


def _spans(texts: Sequence[str], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The tokens of each text: from, to. A text may have a BREAK of its own; where there are fewer parts than texts,
    the last ones look at the last part."""
    begin, last = 0, 0
    for text in texts:
        last += breaks_in(text) + 1
        end = ends[min(last, len(ends)) - 1]
        yield (begin, end) if end > begin else (ends[-2] if len(ends) > 1 else 0, ends[-1])
        begin = end


def _spliced(texts: Sequence[str], place: int, read: Sequence[tuple[tuple[Timed, float], ...]]) -> tuple[Timed, float]:
    """The text at a place between AND, each part from where it was read with its LoRAs."""
    entries = []
    for same in zip(*(parts[place][0].entries for parts in read), strict=True):
        until, first = same[0]
        spans = list(_spans(texts, first.ends)) if len(first.ends) > 1 else [(0, len(first.tokens))]
        pieces = [encoded.tokens[begin:end] for (begin, end), (_, encoded) in zip(spans, same, strict=False)]
        tokens = torch.cat(pieces)
        whole = tokens if len(tokens) == len(first.tokens) else first.tokens
        entries.append((until, Encoded(whole, first.vector, first.embeddings, first.ends)))
    return Timed(tuple(entries)), read[0][place][1]


def _te(tag: NetworkTag) -> float:
    try:
        return lora_weights(tag).te
    except ValueError:
        return 0.0


def _on_text(tag: NetworkTag, times: float = 1.0) -> NetworkTag:
    """The same for the text encoder alone; one whose weight is no number stays as it is, to be remarked upon."""
    try:
        te, _, rank = lora_weights(tag)
    except ValueError:
        return tag
    return tag._replace(positional=(tag.name, str(te * times), "0", *([] if rank is None else [str(rank)])), named=())


class Engine(FeatureEngine[Params]):
    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.first: Pass | None = None
        """The batch's: that of hires fix has the same texts."""

    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        """The texts as the network reads them: parted by AND or by BREAK. LoRAs of regions are none of the pass's."""
        first = self.first = self.first or this
        layouts = [self.params.layout(text) for text in first.positive]
        if not any(layouts):
            return this
        word = " AND " if self.params.calculation == LATENT else " BREAK "
        told = [
            text if known is None else word.join(known.texts)
            for text, known in zip(first.positive, layouts, strict=True)
        ]
        negative = tuple(" BREAK ".join(self.params.negative(text)) for text in first.negative)
        scoped = {tag for text in first.tagged for tags in self._loras(text, first) for tag in tags}
        networks = tuple(tag for tag in dict.fromkeys(first.networks) if tag not in scoped)
        return replace(this, positive=tuple(told), negative=negative, networks=networks)

    def begin(self, context: PassContext) -> PassFeature | None:
        first = self.first or context.this
        is_followed = context.batch.request.hires is not None
        if not self.params.holds_in(context.this.phase, is_followed=is_followed):
            return None
        mask = self._mask(context)
        known: dict[tuple[str, str, str], Regions | None] = {}
        texts = list(zip(first.positive, first.tagged, first.negative, strict=True))
        for each in texts:
            if each not in known:
                known[each] = self._regions(*each, first, mask)
        regions = [known[each] for each in texts]
        return Regional(self.params, context, regions) if any(regions) else None

    def _mask(self, context: PassContext) -> Image.Image | None:
        plan = context.services.plan
        if self.params.mode != MASK or plan is None or not self.params.mask:
            return None
        return pixels_of(plan.images[self.params.mask])

    def _regions(
        self, positive: str, tagged: str, negative: str, first: Pass, mask: Image.Image | None
    ) -> Regions | None:
        layout: Layout | None = self.params.layout(positive)
        if layout is None:
            return None
        areas = areas_of(layout, self.params.shares(len(layout.regions)), mask)
        loras = self._loras(tagged, first)
        has_base = layout.base is not None
        return Regions(layout.texts, self.params.negative(negative), has_base, areas, loras)

    def _loras(self, tagged: str, first: Pass) -> tuple[Tags, ...]:
        """The LoRAs that act in each part of a prompt alone. Attention: those of the base prompt, or that all parts
        have, act in the whole picture."""
        layout = self.params.layout(tagged)
        if layout is None:
            return ()
        on = set(first.networks)
        tags = [
            tuple(tag for tag in extract_networks(text)[1] if tag.kind in LORA_KINDS and tag in on)
            for text in layout.texts
        ]
        if self.params.calculation == LATENT:
            return tuple(tags)
        whole = set(tags[0]) if layout.base is not None else set.intersection(*map(set, tags))
        return tuple(tuple(tag for tag in own if tag not in whole) for own in tags)
