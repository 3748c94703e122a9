"""The right side of a generation tab: progress, preview, pictures, what can be done with them, their infotext.

The places are laid out here; `assets/results.js` fills them from the event stream alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from webui.server.ui.components import Component
from webui.server.ui.controls import QUIET
from webui.server.ui.script import calls
from webui.server.ui.toprow import tool_button


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
            _client_button("save", "Save the picture as a file", f"{tab}_save", calls("results.save", tab))
            _client_button("zip", "Save all pictures as a zip file", f"{tab}_zip", calls("results.zip", tab))
            _client_button("fullscreen", "Open full screen", f"{tab}_enlarge", calls("results.enlarge", tab))
            picked = gr.Textbox(visible="hidden", elem_id=f"{tab}_picked", label="Picked picture", container=False)
        gr.HTML(
            f"<section class='gesso-infotext' data-tab='{tab}' aria-label='Infotext'></section>", elem_classes="bare"
        )
    return ResultsPanel(notice, picked, row)


def _place(what: str, tab: str, name: str) -> None:
    gr.HTML(f"<section class='gesso-{what}' data-tab='{tab}' aria-label='{name}'></section>", elem_classes="bare")


def _client_button(icon: str, name: str, elem_id: str, script: str) -> None:
    tool_button(icon, name, elem_id).click(None, None, None, js=script, **QUIET)
