"""Which text conditions which call of the network: schedules, AND, and their batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from webui.engine.families.family import Encoded, PictureMaker, TextOptions
from webui.engine.networks.embeddings import Embedding
from webui.prompt.composition import split_and
from webui.prompt.schedule import prompt_schedule

Side = Literal["positive", "negative"]


@dataclass(frozen=True, eq=False)
class Timed:
    """One text with its schedule: (until which call, what then holds)."""

    entries: tuple[tuple[int, Encoded], ...]

    def at(self, call: int) -> Encoded:
        """What holds at this call, counted from 0."""
        # A1111: the call counts from 0 but ends count from 1, so "5" lasts 6 calls; past the end it begins again.
        return next((encoded for until, encoded in self.entries if call <= until), self.entries[0][1])


@dataclass(frozen=True)
class Timeline:
    """How a prompt's schedule counts its steps: in calls of the denoiser."""

    steps: int
    hires_steps: int | None = None
    """In the hires pass: its calls; `steps` are then those of the first pass."""
    old: bool = False


class TextCache:
    """Encoded texts by value: what was asked of which model. The least recently used go first."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, Timed] = OrderedDict()

    def timed(
        self,
        text: str,
        timeline: Timeline,
        model: PictureMaker,
        model_key: Hashable,
        options: TextOptions,
        embeddings: Mapping[str, Embedding],
    ) -> Timed:
        """The text's schedule, encoded now or before."""
        known = tuple((e.name, e.sha256) for e in embeddings.values())
        key = (model_key, model.device, text, timeline, options, known)
        if key not in self._kept:
            edits = prompt_schedule(text, timeline.steps, timeline.hires_steps, timeline.old)
            encoded = model.encode_prompts([edit.text for edit in edits], options, embeddings)
            self._kept[key] = Timed(tuple((e.until_step, c) for e, c in zip(edits, encoded, strict=True)))
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget(self) -> None:
        self._kept.clear()


class Row(NamedTuple):
    """What a row of a call stands for."""

    picture: int
    """Of the batch."""
    side: Side
    part: int
    """Of the prompt's parts between AND, from 0."""
    weight: float
    """Of that part."""
    ends: tuple[int, ...] = ()
    """As `Encoded` has them."""


@dataclass(frozen=True, eq=False)
class Stacked:
    """Texts of one call, as many rows as `images`: tokens (rows, n, width)."""

    tokens: Tensor
    vector: Tensor | None
    images: tuple[int, ...]
    """Which picture of the batch each row belongs to."""
    weights: tuple[float, ...]
    sides: tuple[Side, ...]
    """Whether it is the prompt's, or the negative prompt's."""
    ends: tuple[tuple[int, ...], ...] = ()
    """As `Encoded` has them, of each row; (): nobody knows."""

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The same, one by one; a row of a picture that another one of the same side came before is its next part."""
        found: list[Row] = []
        ends = self.ends or ((),) * len(self.images)
        for picture, side, weight, own in zip(self.images, self.sides, self.weights, ends, strict=True):
            part = sum(1 for row in found if (row.picture, row.side) == (picture, side))
            found.append(Row(picture, side, part, weight, own))
        return tuple(found)


@dataclass(eq=False)
class Prompts:
    """The texts of a batch: per picture the parts between AND with their weights, and one negative text."""

    positive: tuple[tuple[tuple[Timed, float], ...], ...]
    negative: tuple[Timed, ...]
    _stacked: dict[Hashable, Stacked] = field(default_factory=dict)

    def positive_at(self, call: int) -> Stacked:
        """All parts of all pictures, in order."""
        rows = [(image, timed.at(call), weight) for image, parts in enumerate(self.positive) for timed, weight in parts]
        return self._stack("positive", rows)

    def negative_at(self, call: int) -> Stacked:
        """One row a picture."""
        return self._stack("negative", [(image, timed.at(call), 1.0) for image, timed in enumerate(self.negative)])

    def _stack(self, side: Side, rows: Sequence[tuple[int, Encoded, float]]) -> Stacked:
        key = (side, *(id(encoded) for _, encoded, _ in rows))
        if key not in self._stacked:
            if len(self._stacked) > 8:
                self._stacked.clear()
            vectors = [encoded.vector for _, encoded, _ in rows if encoded.vector is not None]
            self._stacked[key] = Stacked(
                _even([encoded.tokens for _, encoded, _ in rows]),
                torch.stack(vectors) if vectors else None,
                tuple(image for image, _, _ in rows),
                tuple(weight for _, _, weight in rows),
                (side,) * len(rows),
                tuple(encoded.ends for _, encoded, _ in rows),
            )
        return self._stacked[key]

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of the textual inversion embeddings in use, one a use, in order."""
        sides = [timed for parts in self.positive[:1] for timed, _ in parts], list(self.negative[:1])
        return tuple(
            name for side in sides for timed in side for _, encoded in timed.entries for name in encoded.embeddings
        )


def _even(tokens: Sequence[Tensor]) -> Tensor:
    """Stacked to (rows, n, width). A1111: shorter ones are continued with their last token's vector."""
    longest = max(len(rows) for rows in tokens)
    return torch.stack(
        [
            torch.cat([rows, rows[-1:].expand(longest - len(rows), -1)]) if len(rows) < longest else rows
            for rows in tokens
        ]
    )


@dataclass(frozen=True)
class Encoder:
    """Encodes prompts for one model under one set of options."""

    model: PictureMaker
    model_key: Hashable
    options: TextOptions
    embeddings: Mapping[str, Embedding]
    cache: TextCache
    negative: TextOptions | None = None
    """Those of the negative texts, where they differ."""

    def prompts(self, positive: Sequence[str], negative: Sequence[str], timeline: Timeline) -> Prompts:
        """The texts of a batch's pictures; equal ones are encoded once."""
        return Prompts(
            tuple(
                tuple((self._timed(part.text, timeline, self.options), part.weight) for part in split_and(text))
                for text in positive
            ),
            tuple(self._timed(text, timeline, self.negative or self.options) for text in negative),
        )

    def empty(self) -> Tensor:
        """The tokens of an empty text: (77, width)."""
        return self._timed("", Timeline(1), self.options).entries[0][1].tokens

    def _timed(self, text: str, timeline: Timeline, options: TextOptions) -> Timed:
        return self.cache.timed(text, timeline, self.model, self.model_key, options, self.embeddings)
