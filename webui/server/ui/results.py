"""The right side of a generation tab: progress, preview, pictures, what can be done with them, their infotext.

The places are laid out here; `assets/results.js` fills them from the event stream alone, and draws the buttons that
need nothing of the form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from webui.server.ui.components import Component


@dataclass(frozen=True)
class ResultsPanel:
    """`picked` carries the number of the picture that a button is pressed for; `row` has the buttons."""

    notice: Component
    picked: Component
    row: Component


def results(tab: str, above: Callable[[], None] = lambda: None) -> ResultsPanel:
    """Lay out the places of a tab's results. `above` lays out what stands over them."""
    with gr.Column(scale=1, min_width=320, elem_id=f"{tab}_results", elem_classes="results"):
        above()
        notice = gr.HTML(elem_id=f"{tab}_notice", elem_classes="notices")
        _place("results", tab, "Results")
        with gr.Row(elem_id=f"{tab}_image_buttons", elem_classes="image-buttons") as row:
            gr.HTML(f"<div class='gesso-picture-buttons' data-tab='{tab}'></div>", elem_classes="bare picture-buttons")
            picked = gr.Textbox(visible="hidden", elem_id=f"{tab}_picked", label="Picked picture", container=False)
        gr.HTML(
            f"<section class='gesso-infotext' data-tab='{tab}' aria-label='Infotext'></section>", elem_classes="bare"
        )
    return ResultsPanel(notice, picked, row)


def _place(what: str, tab: str, name: str) -> None:
    gr.HTML(f"<section class='gesso-{what}' data-tab='{tab}' aria-label='{name}'></section>", elem_classes="bare")
