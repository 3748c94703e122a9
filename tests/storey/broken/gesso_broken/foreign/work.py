"""Fails."""

from __future__ import annotations

from gesso_broken.raising import raises as work

__all__ = ["work"]
