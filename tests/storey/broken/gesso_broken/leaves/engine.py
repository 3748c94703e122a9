"""Ends the program as soon as it is imported."""

from __future__ import annotations

raise SystemExit(3)
