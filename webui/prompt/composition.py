"""Composition: `a cat AND a dog :0.5`, several prompts whose guidance is added up.

Composable diffusion: Liu et al. 2022, arXiv:2206.01714.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Part(NamedTuple):
    """One of the prompts between `AND`, and the factor of its guidance."""

    text: str
    weight: float


_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"\s*+([-+]?(?:\d++(?:\.\d*+)?|\.\d++))")


def split_and(text: str) -> tuple[Part, ...]:
    """The parts between the upper-case words `AND`, at least one; a part may end in `:weight`. Never raises.

    White space at a part's end is dropped, at its beginning it stays.
    """
    return tuple(_part(text) for text in _AND.split(text))


def _part(text: str) -> Part:
    # A1111: applies to a prompt without AND too, so "at 10:30" is "at 10" with 30 times its guidance.
    text = text.rstrip()
    before, colon, after = text.rpartition(":")
    match = _WEIGHT.fullmatch(after) if colon else None
    return Part(before.rstrip(), float(match[1])) if match else Part(text, 1.0)
