"""The History tab: every picture that was made or found; `assets/history.js` draws it from the history's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.results import TARGETS, Results
from webui.server.ui.wiring import PicturePane

if TYPE_CHECKING:
    from webui.app import App

SENT = ("txt2img", *TARGETS)
"""Where a picture, or what it was made with, can be sent."""


def history(_app: App) -> PicturePane:
    """Build the tab, inside a `gr.Tab`. The buttons that send are pressed by the script, for the picture it shows."""
    notice = gr.HTML(elem_id="history_notice", elem_classes="notices")
    gr.HTML("<section class='gesso-history' aria-label='History'></section>", elem_classes="bare")
    senders = {
        target: gr.Button(f"Send to {target}", visible="hidden", elem_id=f"history_send_to_{target}") for target in SENT
    }
    picked = gr.Textbox(visible="hidden", elem_id="history_picked", label="Picked picture", container=False)
    return PicturePane("history", Results(notice, picked, senders))
