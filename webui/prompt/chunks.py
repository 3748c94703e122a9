"""Chunks: a prompt's tokens in portions of the text encoder's size, each token with its weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from webui.prompt.attention import Span, parse_attention
from webui.prompt.comments import strip_comments
from webui.prompt.composition import split_and
from webui.prompt.networks import extract_networks
from webui.prompt.schedule import prompt_schedule
from webui.prompt.tokens import COMMA, END, START, ClipTokenizer, bracket_weights, clip_tokenizer

CHUNK_LENGTH = 75
"""Tokens of a chunk between its start and its end."""
COMMA_BACKTRACK = 20
"""A1111's default of `comma_padding_backtrack`."""


class FoundEmbedding(NamedTuple):
    """A textual inversion embedding whose name stands in the tokens."""

    name: str
    vectors: int
    """How many tokens it gives to the encoder."""
    length: int
    """How many tokens its name takes in the text."""


FindEmbedding = Callable[[Sequence[int], int], FoundEmbedding | None]
"""(tokens, position) -> the embedding whose name begins there, if any."""


class Fix(NamedTuple):
    """Where an embedding's vectors replace those of the tokens: the first at `offset + 1`, past the start token."""

    offset: int
    embedding: str


class PromptChunk(NamedTuple):
    """What one call of the text encoder gets: 77 tokens, start and end among them, and as many multipliers."""

    tokens: tuple[int, ...]
    multipliers: tuple[float, ...]
    fixes: tuple[Fix, ...]


class Chunks(NamedTuple):
    """At least one chunk, and the number of tokens as the counter shows it: all chunks but the last count as full."""

    chunks: tuple[PromptChunk, ...]
    token_count: int
    ends: tuple[int, ...] = ()
    """Behind how many chunks each part between the words `BREAK` ends; the last one behind all of them."""


class Count(NamedTuple):
    """The token counter beside a prompt: "12/75"."""

    used: int
    max: int


def chunk_tokens(
    spans: Iterable[Span],
    tokenizer: ClipTokenizer,
    *,
    comma_backtrack: int = COMMA_BACKTRACK,
    find_embedding: FindEmbedding | None = None,
) -> Chunks:
    """The tokens of `parse_attention`'s spans in chunks of 75, padded with END.

    Where a chunk is full and its last comma at most `comma_backtrack` tokens back, what follows the comma goes to the
    next chunk; 0 turns that off. `BREAK` ends a chunk. An embedding is never parted. Never raises.
    """
    filling = _Filling()
    for span in spans:
        if span.is_break:
            filling.end_part()
            continue
        tokens = tokenizer.encode(span.text)
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token == COMMA:
                filling.last_comma = len(filling.tokens)
            elif comma_backtrack and filling.is_full and filling.has_comma_within(comma_backtrack):
                filling.end_chunk_after_comma()
            if filling.is_full:
                filling.end_chunk()
            found = find_embedding(tokens, position) if find_embedding else None
            if found is None:
                filling.add(token, span.weight)
                position += 1
            else:
                filling.add_embedding(found, span.weight)
                position += found.length
    return filling.result()


def chunk_with_brackets(
    text: str, tokenizer: ClipTokenizer, *, emphasis: bool = True, find_embedding: FindEmbedding | None = None
) -> PromptChunk:
    """The one chunk of a text as in 2022: brackets weigh as tokens, `:1.5` is text, and what is too long is cut off."""
    changes = bracket_weights() if emphasis else {}
    filling, weight, position = _Filling(), 1.0, 0
    tokens = tokenizer.encode(text)
    while position < len(tokens):
        found = find_embedding(tokens, position) if find_embedding else None
        if tokens[position] in changes:
            weight *= changes[tokens[position]]
            position += 1
        elif len(filling.tokens) + (found.vectors if found else 1) > CHUNK_LENGTH:
            break
        elif found:
            filling.add_embedding(found, weight)
            position += found.length
        else:
            filling.add(tokens[position], weight)
            position += 1
    return filling.result().chunks[0]


def embedding_finder(vectors: Mapping[str, int], tokenizer: ClipTokenizer) -> FindEmbedding:
    """What finds the embeddings of these names (each with its number of vectors) in tokens; longer names go first."""
    by_first: dict[int, list[tuple[list[int], str]]] = {}
    for name in vectors:
        if tokens := tokenizer.encode(name):
            by_first.setdefault(tokens[0], []).append((tokens, name))
    for names in by_first.values():
        names.sort(key=lambda entry: len(entry[0]), reverse=True)

    def find_embedding(tokens: Sequence[int], position: int) -> FoundEmbedding | None:
        for ids, name in by_first.get(tokens[position], ()):
            if list(tokens[position : position + len(ids)]) == ids:
                return FoundEmbedding(name, vectors[name], len(ids))
        return None

    return find_embedding


def count_tokens(
    text: str,
    steps: int = 20,
    *,
    positive: bool = True,
    emphasis: bool = True,
    comma_backtrack: int = COMMA_BACKTRACK,
    find_embedding: FindEmbedding | None = None,
) -> Count:
    """The tokens of a prompt, to which its styles have been applied, in the longest of the texts that it stands for.

    `emphasis`: whether brackets mean anything (in A1111's mode "None" they do not). Comments and tags of networks do
    not count. Never raises.
    """
    text, _ = extract_networks(strip_comments(text))
    parts = [part.text for part in split_and(text)] if positive else [text]
    texts = {edit.text for part in parts for edit in prompt_schedule(part, steps)}
    used = max(
        chunk_tokens(
            parse_attention(text) if emphasis else [Span(text, 1.0)],
            clip_tokenizer(),
            comma_backtrack=comma_backtrack,
            find_embedding=find_embedding,
        ).token_count
        for text in texts
    )
    return Count(used, ceil(max(used, 1) / CHUNK_LENGTH) * CHUNK_LENGTH)


class _Filling:
    """The chunk that is being filled, and those that are done."""

    def __init__(self) -> None:
        self.done: list[PromptChunk] = []
        self.tokens: list[int] = []
        self.multipliers: list[float] = []
        self.fixes: list[Fix] = []
        self.last_comma: int | None = None
        self.ends: list[int] = []

    @property
    def is_full(self) -> bool:
        return len(self.tokens) == CHUNK_LENGTH

    def has_comma_within(self, backtrack: int) -> bool:
        return self.last_comma is not None and len(self.tokens) - self.last_comma <= backtrack

    def add(self, token: int, weight: float) -> None:
        self.tokens.append(token)
        self.multipliers.append(weight)

    def add_embedding(self, embedding: FoundEmbedding, weight: float) -> None:
        vectors = min(embedding.vectors, CHUNK_LENGTH)  # of a longer one only the beginning fits
        if len(self.tokens) + vectors > CHUNK_LENGTH:
            self.end_chunk()
        self.fixes.append(Fix(len(self.tokens), embedding.name))
        for _ in range(vectors):
            self.add(0, weight)

    def end_part(self) -> None:
        self.end_chunk()
        self.ends.append(len(self.done))

    def end_chunk(self) -> None:
        missing = CHUNK_LENGTH - len(self.tokens)
        tokens = (START, *self.tokens, *[END] * missing, END)
        multipliers = (1.0, *self.multipliers, *[1.0] * missing, 1.0)
        self.done.append(PromptChunk(tokens, multipliers, tuple(self.fixes)))
        self.tokens, self.multipliers, self.fixes, self.last_comma = [], [], [], None

    def end_chunk_after_comma(self) -> None:
        """Move what stands behind the last comma to the next chunk."""
        assert self.last_comma is not None
        split = self.last_comma + 1
        moved = self.tokens[split:], self.multipliers[split:]
        del self.tokens[split:], self.multipliers[split:]
        # A1111: an embedding among the moved tokens stays behind, where it replaces padding.
        self.end_chunk()
        self.tokens, self.multipliers = moved

    def result(self) -> Chunks:
        full, rest = len(self.done), len(self.tokens)
        if rest or not full:
            self.end_chunk()
        return Chunks(tuple(self.done), full * CHUNK_LENGTH + rest, (*self.ends, len(self.done)))
