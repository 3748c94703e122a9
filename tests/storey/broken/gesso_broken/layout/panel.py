"""Raises."""

from __future__ import annotations


def panel(*_: object) -> None:
    raise KeyError("the sky has fallen")
