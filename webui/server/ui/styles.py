"""The dialog in which saved styles are made, changed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.prompt.styles import Style
from webui.server.ui import notices
from webui.server.ui.components import Shown
from webui.server.ui.controls import NAMES, QUIET
from webui.server.ui.parts import late_column
from webui.server.ui.script import calls
from webui.server.ui.toprow import PROMPTS, STYLES, tool_button
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App


def styles_dialog(app: App, forms: list[Pane]) -> None:
    """Lay the dialog out (the page shows it over everything else) and wire it to the forms' buttons."""
    with gr.Column(elem_id="styles_dialog", elem_classes="dialog"), late_column("styles_sheet", "dialog-sheet"):
        with gr.Row(elem_classes="dialog-title"):
            gr.HTML("<h3 id='styles_title'>Styles</h3>", elem_classes="bare")
            tool_button("close", "Close", "styles_close")
        name = gr.Dropdown(
            app.catalog.styles.names(),
            value=None,
            label="Style",
            allow_custom_value=True,
            info="Choose a style to edit, or type a new name.",
            elem_id="styles_name",
            elem_classes=NAMES,
            interactive=True,
        )
        prompt = gr.Textbox(
            label="Prompt", lines=3, elem_id="styles_prompt", info="{prompt} is replaced by the prompt in the form."
        )
        negative = gr.Textbox(label="Negative prompt", lines=3, elem_id="styles_negative")
        notice = gr.HTML(elem_id="styles_notice", elem_classes="notices")
        with gr.Row(elem_classes="wide-buttons"):
            copies = [
                gr.Button(
                    "Copy the prompts from the form", elem_id=f"styles_copy_{pane.kind}", size="sm", min_width=120
                )
                for pane in forms
            ]
            delete = gr.Button("Delete", elem_id="styles_delete", size="sm", min_width=80)
            save = gr.Button("Save", variant="primary", elem_id="styles_save", size="sm", min_width=80)
    lists = [pane.controls[STYLES] for pane in forms]

    def names() -> Shown:
        offered = app.catalog.styles.names()
        return {box: gr.update(choices=offered) for box in (name, *lists)}

    def pick(chosen: str | None) -> Shown:
        style = app.catalog.styles.all().get(chosen or "")
        return {notice: "", **({prompt: style.prompt, negative: style.negative_prompt} if style else {})}

    def store(chosen: str | None, text: str, negative_text: str) -> Shown:
        try:
            app.catalog.styles.save(Style((chosen or "").strip(), text, negative_text))
        except WebuiError as error:
            return {notice: notices.failure(error)}
        return {**names(), notice: notices.done(f"Saved {chosen!r}.")}

    def remove(chosen: str | None) -> Shown:
        try:
            app.catalog.styles.delete(chosen or "")
        except WebuiError as error:
            return {notice: notices.failure(error)}
        offered = names()
        offered[name] = gr.update(choices=app.catalog.styles.names(), value=None)
        return {**offered, prompt: "", negative: "", notice: notices.done(f"Deleted {chosen!r}.")}

    fields = [name, prompt, negative]
    name.input(pick, name, [prompt, negative, notice], **QUIET)
    save.click(store, fields, [name, notice, *lists], **QUIET)
    delete.click(remove, name, [*fields, notice, *lists], **QUIET)
    for pane, copy in zip(forms, copies, strict=True):
        own = [pane.controls[field] for field in PROMPTS]
        copy.click(None, own, [prompt, negative], js="(p, n) => [p, n]", **QUIET)
        pane.toprow.edit_styles.click(None, None, None, js=calls("openStyles", pane.kind), **QUIET)
