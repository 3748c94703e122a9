"""Whose things are whose: by a login name, or, where nobody logs in, by the number of a browser's session."""

from __future__ import annotations

ANONYMOUS = "~"
"""What the owner begins with who has not logged in."""


def is_anonymous(owner: str) -> bool:
    """Nobody has logged in as this owner."""
    return not owner or owner.startswith(ANONYMOUS)
