"""The operations that the settings name, each under its title; the others have no controls here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.features.postprocessing.parameters import Params, fields_of
from webui.server.ui.controls import Controls

if TYPE_CHECKING:
    from webui.app import App


def panel(app: App, form: Controls) -> None:
    """Lay out the controls."""
    shown = fields_of(Params.operations_shown(app.settings.current.ui))
    for title, rows in shown:
        if len(shown) > 1:
            gr.HTML(f"<h4>{title}</h4>", elem_classes="bare")
        for names in rows:
            with gr.Row():
                form.add_all(names, min_width=140)
    form.left_out = frozenset(name for name in Params.params() if name not in form)
