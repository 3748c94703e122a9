"""Words that no caption had are answered by the nearest known ones, never by noise."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.engine.training.denoiser import TextConditionedUNet
from webui.prompt.tokens import token_texts

LEAST_LIKENESS = 0.3
"""Tokens that share less with any known one say nothing."""


@torch.no_grad()
def answered_by_near_ones(model: TextConditionedUNet) -> None:
    """Give each token that was in no caption the vector of the seen token spelled most like it, or none at all."""
    embedding: Tensor = model.text.get_input_embeddings().weight
    seen = model.seen.nonzero().flatten().tolist()
    pieces = (*token_texts(), "", "")  # the start and the end of a caption spell nothing
    index: dict[str, list[int]] = {}
    grams = {token: _grams(pieces[token]) for token in seen if pieces[token].isalpha()}
    for token, parts in grams.items():
        for part in parts:
            index.setdefault(part, []).append(token)
    for token in (~model.seen).nonzero().flatten().tolist():
        near = _nearest(_grams(pieces[token]), grams, index) if pieces[token].isalpha() else None
        embedding[token] = embedding[near] if near is not None else 0


def _grams(word: str) -> frozenset[str]:
    """Pieces of three letters, of the word between two marks."""
    marked = f"<{word}>"
    return frozenset(marked[start : start + 3] for start in range(len(marked) - 2))


def _nearest(wanted: frozenset[str], known: dict[int, frozenset[str]], index: dict[str, list[int]]) -> int | None:
    """The token whose pieces are most alike (Jaccard's measure), where any is like enough."""
    candidates = {token for part in wanted for token in index.get(part, ())}
    likeness = {token: len(wanted & known[token]) / len(wanted | known[token]) for token in candidates}
    best = max(likeness, key=lambda token: (likeness[token], -token), default=None)
    return best if best is not None and likeness[best] >= LEAST_LIKENESS else None
