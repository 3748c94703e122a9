"""The tiles, two controls in a row; what img2img alone has follows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.controls import Controls
from webui.server.ui.drawing import drawn

if TYPE_CHECKING:
    from webui.app import App

REGIONS = "regions"
ROWS = (("tile_width", "tile_height"), ("overlap", "batch_size"))


def panel(_app: App, form: Controls) -> None:
    """Lay out the controls."""
    form.add("method")
    for names in ROWS:
        with gr.Row():
            form.add_all(names, min_width=140)
    form.add_all((REGIONS, "draw_background"))
    drawn(form, REGIONS)
