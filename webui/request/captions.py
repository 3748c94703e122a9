"""Captions: text files beside pictures, which training reads; and what becomes of one that is there already."""

from __future__ import annotations

from typing import Annotated

from webui.request.params import Choice

IGNORE, KEEP, PREPEND, APPEND = ACTIONS = ("Ignore", "Keep", "Prepend", "Append")
"""A1111's names."""
ENDING = ".txt"
BETWEEN = ", "
"""What stands between two captions."""
LONGEST = 100_000
"""Letters of a caption that is read."""
ExistingCaption = Annotated[str, Choice(ui="Existing captions", choices=ACTIONS, radio=True)]


def joined(existing: str, made: str, action: str) -> str:
    """The caption of a picture that has one, or "". action: one of `ACTIONS`."""
    existing = existing.strip()
    if action == IGNORE or not existing:
        return made
    if action == KEEP or not made:
        return existing
    return BETWEEN.join((existing, made) if action == PREPEND else (made, existing))
