"""Messages in the page itself: what went wrong, with which control, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from webui.base.errors import WebuiError


def failure(error: WebuiError) -> str:
    """An error with its hint, as markup for a message area."""
    hint = f"<span class='hint'>{escape(error.hint)}</span>" if error.hint else ""
    return f"<div class='notice bad' role='alert'><b>{escape(error.message)}</b>{hint}</div>"


def remarks(sentences: Iterable[str]) -> str:
    """Remarks that stop nothing; "" for none."""
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<div class='notice' role='status'><ul>{lines}</ul></div>" if lines else ""


def done(sentence: str) -> str:
    """That something worked."""
    return f"<div class='notice good' role='status'>{escape(sentence)}</div>"
