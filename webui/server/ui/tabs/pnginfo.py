"""The PNG Info tab: what a picture says of itself, and the way back into the forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.server.ui import notices
from webui.server.ui.controls import QUIET
from webui.server.ui.wiring import InfoPane, described, file_content

if TYPE_CHECKING:
    from webui.app import App


def pnginfo(_app: App) -> InfoPane:
    """Build the tab, inside a `gr.Tab`."""
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320):
            image = gr.Image(
                label="Picture",
                type="filepath",
                image_mode=None,
                format="png",
                sources=["upload", "clipboard"],
                elem_id="pnginfo_image",
                elem_classes="source",
                height="60vh",
                interactive=True,
                buttons=[],
            )
            with gr.Row(elem_id="pnginfo_buttons", elem_classes="wide-buttons"):
                senders = {
                    target: gr.Button(f"Send to {target}", elem_id=f"pnginfo_send_to_{target}", size="sm")
                    for target in ("txt2img", "img2img", "inpaint", "extras")
                }
        with gr.Column(scale=1, min_width=320):
            report = gr.HTML(elem_id="pnginfo_report", elem_classes="report")
            text = gr.Textbox(visible="hidden", elem_id="pnginfo_text", label="Infotext", lines=3)

    def look(path: str | None) -> tuple[str, str]:
        if not path:
            return "", ""
        try:
            return described(file_content(path))
        except WebuiError as error:
            return notices.failure(error), ""

    image.input(look, image, [report, text], **QUIET)
    image.clear(lambda: ("", ""), None, [report, text], **QUIET)
    return InfoPane(image, report, text, senders)
