"""The program's name and version; `pyproject.toml` says the same (tests/test_flags.py)."""

from __future__ import annotations

NAME = "Gesso"
VERSION = "0.1.0"
LABEL = f"{NAME} {VERSION}"
"""What infotexts say. The name keeps it from being taken for a version of A1111."""
