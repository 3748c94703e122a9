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
from functools import partial
from typing import NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from webui.catalog.image_files import pixels_of
from webui.engine.batch import Loaded, Pass
from webui.engine.conditioning import Prompts, Row, Timed
from webui.engine.denoisers import Ask, Call, Prompted, Source
from webui.engine.families.family import Encoded, PictureMaker
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.sampling.types import Denoiser, denoiser
from webui.engine.start import encoded_png
from webui.features.drawn_regions import drawn
from webui.features.lora.scoped import ScopedLoras, Size, Tags, acting, on_text
from webui.features.regional_prompter.areas import areas_of
from webui.features.regional_prompter.attention import Group, Look, attending, sizes_noted
from webui.features.regional_prompter.parameters import DRAWN, LATENT, MASK, MATRIX, PROMPT, PROMPT_EX, Params
from webui.features.regional_prompter.words import POWER, POWER_XL, WordMap, WordMaps, heard, looked_at
from webui.prompt.attention import parse_attention
from webui.prompt.composition import split_and
from webui.prompt.networks import LORA_KINDS, NetworkTag, extract_networks, lora_weights
from webui.prompt.regions import Layout, breaks_in, places_of
from webui.prompt.tokens import clip_tokenizer
from webui.request.capabilities import Capability
from webui.request.messages import ExtraPicture

MISSING = (
    'Regional Prompter: the first part of the prompt has none of the words "{words}", so this region was not found.'
)
TOO_FEW = (
    "Regional Prompter: the regions were not found, because there were too few steps, or no words that say where they "
    "are."
)
IN_TILES = "Regional Prompter: regions by words of the prompt are not found in tiles. The base prompt holds everywhere."


class SeenTogether(NamedTuple):
    """The extension takes a call of two rows for one of the prompt and its negative prompt, whatever they are, and
    merges every two heads there. Two rows in a call have texts of one length: the prompt's and its negative prompt's,
    or, if these differ, those of two parts between AND (`KEEP_AND`), of which it takes the second for the negative
    prompt. Its recorded picture `att.and-kept` is that, within a level."""

    whole: int
    """The row looks at so many tokens, everywhere; 0: at its regions' texts."""


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
    targets: tuple[tuple[int, ...], ...] = ()
    """Tokens of the words that say where each region lies; (): it is known beforehand."""

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


def _leaving_rest(areas: Tensor, count: int) -> Tensor:
    """Areas of the first `count` parts, the first of which has the rest."""
    kept = areas[1:count]
    return torch.cat([1 - kept.sum(dim=0, keepdim=True), kept])


def _without_base(areas: Tensor, count: int, *, has_base: bool) -> Tensor:
    """Areas of `count` negative texts: those of the regions, without a share for a base; the last one has the rest."""
    regions = areas[1:] if has_base else areas
    whole = regions / regions.sum(dim=0, keepdim=True).clamp(min=1e-6)
    kept = whole[:count].clone()
    kept[-1] += 1 - kept.sum(dim=0)
    return kept


class Regional(PassFeature):
    """One pass with regions."""

    def __init__(
        self, params: Params, context: PassContext, regions: Sequence[Regions | None], words: WordMaps | None
    ) -> None:
        self.params, self.context, self.regions, self.words = params, context, regions, words
        self.is_latent = params.calculation == LATENT
        width, height = context.this.size
        factor = context.loaded.model.latent.factor
        self.size = (height // factor, width // factor)
        self.call: Call | None = None
        self.looked: tuple[Sequence[int], int | None] | None = None
        """The rows and the part that an attention is at."""
        worn = (tags for each in regions if each is not None for tags in each.loras if tags)
        self.sets = list(dict.fromkeys(worn))
        self.loras = ScopedLoras(context, self.sets)
        self.read: dict[int, Prompts] = {}
        """By the model that reads, where LoRAs of regions change what it reads."""
        is_hires = context.this.phase == "hires"
        self.stops = params.stops_after(is_hires=is_hires)
        self.prompts: Prompts | None = None
        """The texts of the present call."""
        self.found: dict[object, list[tuple[int, ...]]] = {}

    # -- texts

    def enter(self, loaded: Loaded) -> None:
        if not self.sets:
            return
        this = self.context.this

        def reading(tags: Sequence[NetworkTag]) -> Prompts:
            return self.loras.encoder(loaded, tags).prompts(this.positive, this.negative, this.timeline)

        by_set = [reading([on_text(tag) for tag in tags]) for tags in self.sets]
        negative = [
            on_text(tag, self._negative(self.params.negative_te, n)) for n, tags in enumerate(self.sets) for tag in tags
        ]
        plain = reading(negative) if self.is_latent and any(_te(tag) for tag in negative) else None
        bare = reading(())
        self.read[id(loaded.model)] = self._joined(bare, by_set, (plain or bare).negative)
        self.loras.learn(loaded)

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
        known: dict[int, Prompted] = {}

        def areas() -> Sequence[Tensor | None]:
            return [None if each is None else each.guiding(self.size) for each in self.regions]

        def regional(sigma: Tensor) -> Prompted:
            network = source(sigma)
            key = id(network.model)
            if key not in known:
                prompts = self.read.get(key, network.prompts)
                known[key] = replace(network, areas=areas() if self.is_latent else (), prompts=prompts)
            self.prompts = known[key].prompts
            moves = self.is_latent and self.words is not None
            return replace(known[key], areas=areas()) if moves else known[key]

        return regional

    def denoise(self, denoise: Denoiser) -> Denoiser:
        words, clock = self.words, self.context.clock
        if words is None:
            return denoise
        return denoiser(
            denoise.process,
            lambda x, sigma: denoise(*words.call_of(x, sigma, clock.told(clock.calls))),
            lambda x, sigma: denoise.both(*words.call_of(x, sigma, clock.told(clock.calls))),
        )

    # -- the network

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        is_idle = self.is_latent and not self.sets and self.words is None
        return nullcontext() if unet is None or is_idle else self._patched(unet, loaded.model)

    @contextmanager
    def _patched(self, unet: torch.nn.Module, model: PictureMaker) -> Iterator[None]:
        """Compiled blocks run as they are written."""
        with ExitStack() as held, torch.compiler.set_stance("force_eager"):
            sizes = held.enter_context(sizes_noted(unet))
            if self.words is not None:
                held.enter_context(heard(unet, sizes, partial(self.hear, self.words, _power(model))))
            if not self.is_latent:
                held.enter_context(attending(unet, sizes, self.groups, self.looking))
            if (changes := self.loras.changes.get(id(model))) is not None:
                held.enter_context(acting(unet, changes, sizes, self.strength))
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
            key = (id(self.regions[row.picture]), row.side, self._ends(row), self._window(number), self._together(row))
            found.setdefault(key, []).append(number)
        return [group for rows in found.values() if (group := self._group(rows, size)) is not None]

    def _group(self, rows: list[int], size: Size) -> Group | None:
        assert self.call is not None
        row = self.call.rows[rows[0]]
        regions = self.regions[row.picture]
        if regions is None:
            return None
        areas, ends = self._areas(rows[0], regions, size), self._ends(row)
        together = self._together(row)
        if together is not None and together.whole:
            return Group(rows, [Look(0, 0, together.whole, torch.ones(size))], merges=True)
        if row.side == "positive":
            spans = list(_spans(regions.texts, ends))
        elif len(regions.negative) > 1 and regions.targets:
            areas = _leaving_rest(areas, len(regions.negative))
            spans = list(_spans(regions.negative, ends))[: len(areas)]
        elif len(regions.negative) > 1:
            areas = _without_base(areas, len(regions.negative), has_base=regions.has_base)
            spans = list(_spans(regions.negative, ends))[: len(areas)]
        elif regions.is_dressed:
            spans = [(0, ends[-1])] * len(areas)
        else:
            return None
        is_apart = row.side == "negative" and len(regions.negative) > 1 and not regions.targets
        first = int(is_apart and regions.has_base)
        looks = [
            Look(first + part, begin, end, area)
            for part, ((begin, end), area) in enumerate(zip(spans, areas, strict=True))
        ]
        return Group(rows, looks, merges=together is not None)

    def _together(self, row: Row) -> SeenTogether | None:
        """Whether the extension sees this row in one call with one other; None: by itself, or with several.

        A1111: the prompt's parts and the negative prompt come in one call where all are equally long, else the parts
        two by two, and the negative prompt alone; each alone with `batch_cond_uncond` off. Both halves at scale 1, too.
        """
        regions, guidance = self.regions[row.picture], self.context.guidance
        if regions is None or self.prompts is None or self.call is None or self.params.mode not in (MATRIX, MASK):
            return None
        number = self.call.number
        parts = [len(text.at(number).tokens) for text, _ in self.prompts.positive[row.picture]]
        of_negative = len(self.prompts.negative[row.picture].at(number).tokens)
        there = {(each.side, each.part) for each in self.call.rows if each.picture == row.picture}
        if len(there) == 1 and guidance.scale == 1.0 and parts == [of_negative]:
            there.add(("negative", 0))
        if len(there) != 2 or not guidance.together:
            return None
        is_second = row.side == "negative" or row.part > 0
        if ("negative", 0) in there:
            return SeenTogether(of_negative if is_second and len(regions.negative) == 1 else 0)
        # of an extension that has parts of the negative prompt for regions there is no recorded picture
        return SeenTogether(of_negative if is_second else 0) if len(regions.negative) == 1 else None

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

    # -- regions by words

    def hear(self, words: WordMaps, power: float, attention: Attention, x: Tensor, tokens: Tensor, size: Size) -> None:
        """For `heard`: how the places of the map look at the words that say where the regions lie."""
        call = self.call
        if call is None or not call.clock.told(call.number) or len(x) != len(call.rows):
            return
        if call.windows:  # what a part looks at most says nothing of the whole
            self.context.services.watch.remark(IN_TILES)
            return
        for number, row in enumerate(call.rows):
            regions, known = self.regions[row.picture], words.maps[row.picture]
            if regions is None or known is None or row.side == "negative":
                continue
            if self.is_latent and regions.owners[row.part]:
                continue
            ends = self._ends(row)
            begin, end = (0, row.ends[-1]) if self.is_latent else next(_spans(regions.texts, ends))
            places = self._places(regions, row, begin, end)
            if any(places):
                with self.looking([number], None if self.is_latent else 0):
                    looks = looked_at(attention, x[number, None], tokens[number, None, begin:end], places, power)
                known.add(looks[0].reshape(-1, *size))

    def _places(self, regions: Regions, row: Row, begin: int, end: int) -> list[tuple[int, ...]]:
        """Where the words of each region stand in the base prompt."""
        assert self.call is not None and self.prompts is not None
        read = self.prompts.positive[row.picture][row.part][0].at(self.call.number).ids[begin:end]
        key = (regions.targets, read)
        if key not in self.found:
            self.found[key] = [places_of(words, read) for words in regions.targets]
            for part, places in enumerate(self.found[key], 1):
                if not places:
                    words = regions.texts[part].rpartition(",")[2].strip()
                    self.context.services.watch.remark(MISSING.format(words=words))
        return self.found[key]

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
        entries.append((until, Encoded(whole, first.vector, first.embeddings, first.ends, first.ids)))
    return Timed(tuple(entries)), read[0][place][1]


def _te(tag: NetworkTag) -> float:
    try:
        return lora_weights(tag).te
    except ValueError:
        return 0.0


def _tokens(words: str) -> tuple[int, ...]:
    """Those of some words, whatever they weigh."""
    return tuple(clip_tokenizer().encode("".join(span.text for span in parse_attention(words) if not span.is_break)))


def _power(model: PictureMaker) -> float:
    return POWER_XL if model.family.bears(Capability.SIZE_CONDITIONING) else POWER


def _pictured(mask: Tensor, size: tuple[int, int]) -> Image.Image:
    """(h, w) -> white where it is 1; size: (width, height)."""
    return Image.fromarray((mask * 255).byte().numpy()).resize(size)


class Engine(FeatureEngine[Params]):
    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.first: Pass | None = None
        """The batch's: that of hires fix has the same texts."""
        self.words: WordMaps | None = None
        """Those of both passes."""

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
        for text in dict.fromkeys(first.positive):
            for sentence in self.params.oddities(text):
                context.services.watch.remark(f"Regional Prompter: {sentence}")
        if self.params.mode == PROMPT:
            return self._by_words(context, first)
        mask = self._mask(context)
        known: dict[tuple[str, str, str], Regions | None] = {}
        texts = list(zip(first.positive, first.tagged, first.negative, strict=True))
        for each in texts:
            if each not in known:
                known[each] = self._regions(*each, first, mask)
        regions = [known[each] for each in texts]
        return Regional(self.params, context, regions, None) if any(regions) else None

    def _by_words(self, context: PassContext, first: Pass) -> PassFeature | None:
        """Each picture has regions of its own, whatever its texts."""
        words = self.words = self.words or WordMaps([self._map(text) for text in first.positive])
        words.enter()
        regions: list[Regions | None] = []
        for known, positive, tagged, negative in zip(
            words.maps, first.positive, first.tagged, first.negative, strict=True
        ):
            layout = self.params.layout(positive)
            if layout is None or known is None:
                regions.append(None)
                continue
            targets = tuple(_tokens(words) for words in layout.targets)
            loras, parts = self._loras(tagged, first), self.params.negative(negative)
            regions.append(Regions(layout.texts, parts, True, known.areas, loras, targets))
        return Regional(self.params, context, regions, words) if any(regions) else None

    def _map(self, positive: str) -> WordMap | None:
        layout = self.params.layout(positive)
        if layout is None or not layout.targets:
            return None
        count = len(layout.targets)
        return WordMap(
            self.params.thresholds(count),
            self.params.shares(count) if self.params.use_base else (0.0,) * count,
            overwrites=self.params.prompt_mode == PROMPT_EX,
            adds=self.params.calculation != LATENT,
        )

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        """The last of a job brings the masks of its batch along."""
        words = self.words
        if words is None or not finished.is_last:
            return finished
        if not words.are_heard:
            finished.watch.remark(TOO_FEW)
            return finished
        words.find()
        size = (finished.batch.request.width, finished.batch.request.height)
        masks = [mask for each in words.maps if each is not None and each.known is not None for mask in each.known]
        extras = (
            ExtraPicture(f"region-{number}", "png", encoded_png(_pictured(mask, size)))
            for number, mask in enumerate(masks, 1)
        )
        return replace(finished, extras=(*finished.extras, *extras))

    def _mask(self, context: PassContext) -> Image.Image | None:
        plan = context.services.plan
        if self.params.mode == DRAWN:
            return drawn(self.params.drawn, context.this.size)
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
        layout = self.params.layout(tagged, tagged=True)
        if layout is None:
            return ()
        # those of drawn regions are in no prompt, and so none of the pass's
        on = None if self.params.mode == DRAWN else set(first.networks)
        tags = [
            tuple(tag for tag in extract_networks(text)[1] if tag.kind in LORA_KINDS and (on is None or tag in on))
            for text in layout.texts
        ]
        if self.params.calculation == LATENT:
            return tuple(tags)
        whole = set(tags[0]) if layout.base is not None else set.intersection(*map(set, tags))
        return tuple(tuple(tag for tag in own if tag not in whole) for own in tags)
