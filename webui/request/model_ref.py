"""How a model's file is named between the processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRef:
    """A file or folder of weights, known by its content; `path` is a hint: where the local engine finds it."""

    path: str
    title: str
    """What people call it."""
    sha256: str = ""
    """Of the file's content, as it was at `stamp`; empty while it is not computed."""
    stamp: tuple[int, int] = (0, 0)
    """(mtime in ns, size in bytes)"""
    family: str = ""
    """For which family of checkpoints it was made; "" where nothing tells before it is opened."""
