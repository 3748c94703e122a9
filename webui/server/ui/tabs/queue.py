"""The Queue tab: what runs, what waits, what is over. `assets/jobs.js` draws it from the event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.request.jobs import request_classes
from webui.server.ui.wiring import QueuePane

if TYPE_CHECKING:
    from webui.app import App


def queue(_app: App) -> QueuePane:
    """Build the tab, inside a `gr.Tab`. The buttons that edit are pressed by the script."""
    notice = gr.HTML(elem_id="queue_notice", elem_classes="notices")
    gr.HTML("<section class='gesso-jobs' aria-label='Queue'></section>", elem_classes="bare")
    editors = {
        kind: gr.Button(f"Edit in {kind}", visible="hidden", elem_id=f"queue_edit_{kind}") for kind in request_classes()
    }
    picked = gr.Textbox(visible="hidden", elem_id="queue_picked", label="Picked job", container=False)
    return QueuePane(notice, picked, editors)
