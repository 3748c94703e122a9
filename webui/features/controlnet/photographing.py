"""A unit with PhotoMaker in one pass: its pictures become part of the prompt's word for the person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from webui.base.errors import UserError
from webui.engine.batch import Loaded
from webui.engine.conditioning import Encoder, Prompts, Timed
from webui.engine.control.networks import CONTROL, Control
from webui.engine.control.photo_maker import PhotoMaker
from webui.engine.denoisers import Ask, Call, Prompted, Source
from webui.engine.families.family import Encoded
from webui.engine.feature import PassContext
from webui.engine.passes import encoder_of
from webui.engine.preprocessors.picture import Bytes
from webui.features.controlnet.borrowing import Borrowing
from webui.features.controlnet.facing import recognised
from webui.features.controlnet.parameters import Params
from webui.prompt.composition import split_and
from webui.prompt.schedule import prompt_schedule
from webui.prompt.subject import Subject, subject_of, triggers_in
from webui.prompt.tokens import open_clip_tokenizer


class ReadTexts(NamedTuple):
    """The texts of a pass."""

    plain: Prompts
    """Without the trigger word."""
    fused: Prompts
    """And with the pictures in the person's word."""


def photographed(maker: PhotoMaker, wish: Params, pictures: Sequence[Bytes], context: PassContext) -> Tensor | None:
    """What stands for each use of the person's word; None: a face is to be followed, and there is none, which is
    remarked.

    Raises:
        ModelError: what recognises faces is missing, or damaged.
    """
    if not maker.face_width:
        return maker.told(pictures, [])
    there = recognised(maker, wish, pictures, context)
    return maker.told([each.picture for each in there], [each.embedded for each in there]) if there else None


def check_subjects(context: PassContext) -> None:
    """Raises UserError: a prompt does not say which of its words the pictures belong to, or says so twice."""
    line = context.this.timeline
    for prompt in context.this.positive:
        parts = [prompt_schedule(part.text, line.steps, line.hires_steps, line.old) for part in split_and(prompt)]
        _check_subject([edit.text for edits in parts for edit in edits])


def _check_subject(texts: Sequence[str]) -> None:
    if not any(map(triggers_in, texts)):
        raise UserError(
            "PhotoMaker was not told which word of the prompt its pictures belong to.",
            hint="Write img right after the word for the person: a photo of a woman img, smiling.",
            field="prompt",
        )
    for text in texts:
        if triggers_in(text) > 1:
            raise UserError(
                "The prompt has the word img more than once, but PhotoMaker knows one person.",
                hint="Leave one of them.",
                field="prompt",
            )
        if triggers_in(text) and subject_of(text) is None:
            raise UserError(
                "There is no word right before img in the prompt.",
                hint="Write img right after the word for the person: a photo of a woman img, smiling.",
                field="prompt",
            )


class Photographing(Borrowing):
    """As published, the file's changes to the UNet act from the beginning, and the pictures from the unit's start."""

    def __init__(self, params: Params, context: PassContext, pictured: Tensor) -> None:
        """pictured: (uses of the word, text width)."""
        super().__init__(params, context)
        self.pictured = pictured
        self.read: ReadTexts | None = None
        self.strength = 0.0

    def enter(self, loaded: Loaded) -> None:
        if loaded is not self.context.loaded:
            return
        residents, network = self.context.services.residents, self.params.network
        assert residents is not None and network is not None
        encoder = encoder_of(self.context.batch, self.context.this, loaded, self.context.services)
        with residents.lend(CONTROL, network) as maker:
            assert isinstance(maker, PhotoMaker)
            self.read = self._read(encoder, maker)

    def _read(self, encoder: Encoder, maker: PhotoMaker) -> ReadTexts:
        this = self.context.this
        negative = encoder.prompts((), this.negative, this.timeline).negative
        plain, fused = list[tuple[tuple[Timed, float], ...]](), list[tuple[tuple[Timed, float], ...]]()
        for text in this.positive:
            both = [(*self._timed(part.text, encoder, maker), part.weight) for part in split_and(text)]
            plain.append(tuple((without, weight) for without, _, weight in both))
            fused.append(tuple((within, weight) for _, within, weight in both))
        return ReadTexts(Prompts(tuple(plain), negative), Prompts(tuple(fused), negative))

    def _timed(self, text: str, encoder: Encoder, maker: PhotoMaker) -> tuple[Timed, Timed]:
        """A part of a prompt without the pictures, and with them."""
        line, times = self.context.this.timeline, len(self.pictured)
        edits = prompt_schedule(text, line.steps, line.hires_steps, line.old)
        subjects = [subject_of(edit.text) for edit in edits]

        def read(times: int) -> list[Encoded]:
            texts = [
                edit.text if own is None else own.written(times) for edit, own in zip(edits, subjects, strict=True)
            ]
            return encoder.model.encode_prompts(texts, encoder.options, encoder.embeddings)

        fused = [
            one if own is None else self._fused(one, own, maker) for one, own in zip(read(times), subjects, strict=True)
        ]
        until = [edit.until_step for edit in edits]
        return Timed(tuple(zip(until, read(1), strict=True))), Timed(tuple(zip(until, fused, strict=True)))

    def _fused(self, encoded: Encoded, subject: Subject, maker: PhotoMaker) -> Encoded:
        places = places_of_word(encoded.ids, subject, len(self.pictured))
        if not places:
            raise UserError(
                f"PhotoMaker's pictures cannot become part of the word {subject.word!r}.",
                hint="Write a plain word for the person before img, such as man, woman, girl or boy.",
                field="prompt",
            )
        tokens = maker.fused(encoded.tokens, places, self.pictured, self.params.weight)
        return Encoded(tokens, encoded.vector, encoded.embeddings, encoded.ends, encoded.ids)

    def network(self, source: Source) -> Source:
        def told(sigma: Tensor) -> Prompted:
            network, read, clock = source(sigma), self.read, self.context.clock
            if read is None or network.model is not self.context.loaded.model:
                return network
            done = clock.told(clock.calls) / max(clock.total // clock.per_step, 1)
            acts = self.params.guidance_start <= done <= self.params.guidance_end
            return replace(network, prompts=read.fused if acts else read.plain)

        return told

    @contextmanager
    def beside(self, lent: Control, loaded: Loaded) -> Iterator[None]:
        assert isinstance(lent, PhotoMaker)
        with lent.beside(loaded.model.parts["unet"], lambda: self.strength):
            yield

    def asking(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            is_over = call.clock.told(call.number) / call.steps > self.params.guidance_end
            self.strength = 0.0 if is_over else self.params.weight
            try:
                return ask(call)
            finally:
                self.strength = 0.0

        return asked


def places_of_word(ids: Sequence[int], subject: Subject, times: int) -> list[int]:
    """Where the last token of each use of the word stands in a text in which it was written so many times, by the
    numbers of the text's tokens; []: it is not found."""
    tokenizer = open_clip_tokenizer()
    word, earlier = tokenizer.encode(subject.word), tokenizer.encode(subject.before)
    before = len(_found(earlier, word))
    places = _found(ids, word)[before : before + times]
    return [place + len(word) - 1 for place in places] if len(places) == times else []


def _found(tokens: Sequence[int], word: Sequence[int]) -> list[int]:
    """Where a word begins."""
    found, place = list[int](), 0
    while word and place <= len(tokens) - len(word):
        if list(tokens[place : place + len(word)]) == list(word):
            found.append(place)
            place += len(word)
        else:
            place += 1
    return found
