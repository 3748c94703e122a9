"""Attention: `(word)`, `[word]`, `(word:1.3)`, `BREAK`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

ROUND_BRACKET_WEIGHT = 1.1
SQUARE_BRACKET_WEIGHT = 1 / 1.1

DEEPEST = 100
"""A bracket inside this many others of its kind is paired but weighs nothing more: keeps hostile text linear."""


class Span(NamedTuple):
    """A stretch of text that has one weight."""

    text: str
    weight: float

    @property
    def is_break(self) -> bool:
        """Whether a new chunk of tokens begins here; there is no text then."""
        return self == BREAK


# A1111: the marker is a span like any other, so that brackets around it multiply its weight: it becomes the word.
BREAK = Span("BREAK", -1.0)

_TOKEN = re.compile(
    r"""
      \\ (?P<escaped> [\\()\[\]]? )                                         # any other backslash is dropped
    | (?P<opening> [(\[] )
    | : \s*+ (?P<weight> [+-]? (?: \d++ (?: \.\d*+ )? | \.\d++ ) ) \s*+ \)  # the ":1.3)" of "(word:1.3)"
    | [^\\()\[\]:]++
    | [)\]:]
    """,
    re.VERBOSE,
)
_BREAK_WORD = re.compile(r"\bBREAK\b")


def parse_attention(text: str) -> tuple[Span, ...]:
    r"""The text without its brackets, as spans of differing weight: at least one, also for empty text. Never raises.

    `(x)` weighs 1.1, `[x]` 1/1.1, `(x:1.3)` 1.3; the weights of nested brackets multiply. An unclosed bracket reaches
    to the end, an unmatched closing one is text. `\(`, `\)`, `\[`, `\]`, `\\` are the characters themselves. What
    looks like a weight but is no number, as in `(x:1.2.3)`, is text in plain brackets: "x:1.2.3" at 1.1.
    The word `BREAK` outside of brackets gives a span of its own: see `Span.is_break`.
    """
    texts: list[str] = []
    weights: list[float] = []
    round_starts: list[int] = []
    square_starts: list[int] = []

    def weigh_from(start: int, factor: float) -> None:
        weights[start:] = [weight * factor for weight in weights[start:]]

    def close(starts: list[int], factor: float) -> None:
        start = starts.pop()
        if len(starts) < DEEPEST:
            weigh_from(start, factor)

    for match in _TOKEN.finditer(text):
        token, escaped, weight = match[0], match["escaped"], match["weight"]
        if escaped is not None:
            texts.append(escaped)
            weights.append(1.0)
        elif match["opening"]:
            (round_starts if token == "(" else square_starts).append(len(texts))
        elif weight and round_starts:
            close(round_starts, float(weight))
        elif token == ")" and round_starts:
            close(round_starts, ROUND_BRACKET_WEIGHT)
        elif token == "]" and square_starts:
            close(square_starts, SQUARE_BRACKET_WEIGHT)
        else:
            for span in _split_at_breaks(token):
                texts.append(span.text)
                weights.append(span.weight)
    for start in round_starts[:DEEPEST]:
        weigh_from(start, ROUND_BRACKET_WEIGHT)
    for start in square_starts[:DEEPEST]:
        weigh_from(start, SQUARE_BRACKET_WEIGHT)

    alike = groupby(zip(weights, texts, strict=True), key=lambda piece: piece[0])
    spans = tuple(Span("".join(text for _, text in pieces), weight) for weight, pieces in alike)
    return spans or (Span("", 1.0),)


def _split_at_breaks(text: str) -> Iterator[Span]:
    """Text, marker, text for "a BREAK b"; white space around the word belongs to the marker."""
    first, *others = _BREAK_WORD.split(text)
    yield Span(first.rstrip() if others else first, 1.0)
    for position, part in enumerate(others, start=1):
        yield BREAK
        yield Span(part.lstrip() if position == len(others) else part.strip(), 1.0)
