"""A slider of the package's own, and a button beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.controls import Controls

if TYPE_CHECKING:
    from webui.app import App


def panel(_app: App, form: Controls) -> None:
    """Lay out the controls."""
    gr.Markdown("The sample panel says hello.")
    strength = gr.Slider(0, 1, 0.5, label="How grey", elem_id=f"{form.prefix}_strength", interactive=True)
    form.put("strength", strength)
    gr.Button("Grey", elem_id=f"{form.prefix}_grey").click(lambda: 1.0, None, strength, api_visibility="private")
