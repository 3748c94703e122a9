"""The History tab: every picture that was made or found; `assets/history.js` draws it from the history's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.sending import AS_PICTURE, PARAMETERS, Sending, sends_shown_picture
from webui.server.ui.wiring import PicturePane

if TYPE_CHECKING:
    from webui.app import App


def history(app: App) -> PicturePane:
    """Build the tab, inside a `gr.Tab`. The script draws the buttons that send beside the picture, as it finds them
    here, and presses these for the picture that it shows."""
    notice = gr.HTML(elem_id="history_notice", elem_classes="notices")
    gr.HTML("<section class='gesso-history' aria-label='History'></section>", elem_classes="bare")
    picked = gr.Textbox(visible="hidden", elem_id="history_picked", label="Picked picture", container=False)
    with gr.Row(elem_id="history_senders") as row:
        pass
    sends = AS_PICTURE | {PARAMETERS}
    return PicturePane(
        "history", Sending(sends=(sends_shown_picture(app, "history", row, picked, notice, sends=sends),))
    )
