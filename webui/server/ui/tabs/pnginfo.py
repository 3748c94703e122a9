"""The PNG Info tab: what a picture says of itself, and the way back into the forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.server.ui import notices
from webui.server.ui.components import Component, Shown
from webui.server.ui.controls import QUIET
from webui.server.ui.sending import AS_PICTURE, PARAMETERS, PICTURE, Receiver, Sender, Sending, Sent, opens
from webui.server.ui.visitors import copy_for, file_content
from webui.server.ui.wiring import InfoPane, described

if TYPE_CHECKING:
    from webui.app import App


def pnginfo(app: App) -> InfoPane:
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
            with gr.Row(elem_id="pnginfo_buttons", elem_classes="wide-buttons") as row:
                pass
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
    return InfoPane(Sending((_receives(app, image, report, text),), (_sends(row, image, text, report),)))


def _receives(app: App, image: Component, report: Component, text: Component) -> Receiver:
    def take(sent: Sent, request: gr.Request) -> Shown:
        shown, said = described(sent.picture)
        return {image: copy_for(app, request, sent.picture, sent.name), report: shown, text: said}

    picture = frozenset((PICTURE,))
    return Receiver("pnginfo", "Send to PNG Info", "info", picture, "pnginfo", (image, report, text), take, holds=image)


def _sends(row: Component, image: Component, text: Component, notice: Component) -> Sender:
    """All that a picture says, and the picture."""

    def button(receiver: Receiver) -> Component:
        made: Component = gr.Button(receiver.short, elem_id=f"pnginfo_send_to_{receiver.name}", size="sm")
        return made

    def gathered(_owner: str, said: str, path: str | None) -> Sent:
        return Sent(file_content(path), Path(path).name if path else "", said)

    return Sender(AS_PICTURE | {PARAMETERS}, row, button, (text, image), gathered, notice, opens, holds=image)
