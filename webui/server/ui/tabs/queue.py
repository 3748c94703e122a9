"""The Queue tab: what runs, what waits, what is over. `assets/jobs.js` draws it from the event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.editing import JobList

if TYPE_CHECKING:
    from webui.app import App


def queue(_app: App) -> JobList:
    """Build the tab, inside a `gr.Tab`. The buttons that edit are pressed by the script."""
    notice = gr.HTML(elem_id="queue_notice", elem_classes="notices")
    gr.HTML("<section class='gesso-jobs' aria-label='Queue'></section>", elem_classes="bare")
    with gr.Row(elem_id="queue_editors") as row:
        pass
    picked = gr.Textbox(visible="hidden", elem_id="queue_picked", label="Picked job", container=False)
    return JobList(row, picked, notice)
