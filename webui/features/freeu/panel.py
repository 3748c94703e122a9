"""What it scales in one row, and when in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.controls import Controls

if TYPE_CHECKING:
    from webui.app import App

ROWS = (("b1", "b2", "s1", "s2"), ("start", "end"))


def panel(_app: App, form: Controls) -> None:
    """Lay out the controls."""
    for names in ROWS:
        with gr.Row():
            form.add_all(names, min_width=140)
