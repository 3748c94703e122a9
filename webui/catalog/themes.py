"""Themes of the page that can be chosen."""

from __future__ import annotations

from pathlib import Path

from webui.base.text import named

OURS = "Default"
GRADIOS = ("Base", "Glass", "Monochrome", "Soft", "Citrus", "Ocean", "Origin", "Cyberpunk", "Ember", "Neon")
"""Those that come with Gradio."""


def theme_names(folder: Path) -> list[str]:
    """All of them: ours, Gradio's, and the files NAME.json in the folder."""
    try:
        files = sorted(named(path.stem) for path in folder.glob("*.json"))
    except OSError:
        files = []
    return [OURS, *GRADIOS, *(name for name in files if name not in (OURS, *GRADIOS))]
