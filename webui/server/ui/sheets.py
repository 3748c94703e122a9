"""The page's stylesheet: layers of rules, each above the one before it whatever its selectors say, Gradio's lowest.

A sheet lies in the folder of its layer (`assets/css/LAYER/NAME.css`).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from webui.server.ui import colours

ASSETS = Path(__file__).parent / "assets"
GRADIO = "gradio"
"""The layer of all that comes from Gradio."""
LAYERS = ("tokens", "base", "components", "tabs", "overrides")
"""Ours, from the lowest: variables; elements and what Gradio's blocks have in common; things that stand on several
tabs; one tab's own; what has to win over Gradio's scripts."""
ORDER = f"@layer {', '.join((GRADIO, *LAYERS))};"
"""Stands before any rule: the first mention of a layer decides on its place."""
UNLAYERED = re.compile(r"@(?:import|charset|namespace)\b")
"""What a layer cannot hold."""


def stylesheet() -> str:
    """All sheets, with a class for each icon: `glyph-NAME` draws it in the text's colour."""
    return "\n".join([ORDER, *(_layer(name) for name in LAYERS)])


def below_ours(sheet: str) -> str:
    """A sheet of Gradio's, in its layer.

    Raises:
        ValueError: it has what no layer can hold.
    """
    if found := UNLAYERED.search(sheet):
        raise ValueError(f"{found[0]} cannot stand in a layer.")
    return f"@layer {GRADIO} {{\n{sheet}\n}}"


def _layer(name: str) -> str:
    sheets = [path.read_text("utf-8") for path in sorted((ASSETS / "css" / name).glob("*.css"))]
    match name:
        case "tokens":
            sheets.append(colours.stylesheet())
        case "components":
            sheets += [
                f".glyph-{icon.stem}{{--icon:url('data:image/svg+xml,{quote(icon.read_text('utf-8').strip())}')}}"
                for icon in sorted((ASSETS / "icons").glob("*.svg"))
            ]
    return "\n".join([f"@layer {name} {{", *sheets, "}"])
