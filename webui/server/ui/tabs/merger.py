"""The Checkpoint Merger tab: a new checkpoint out of one, two or three."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.catalog.headers import read_metadata
from webui.jobs.merge.request import ENDING, FORMULAS, NONE, Merge, resolve_merge
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Updates
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.toprow import tool_button
from webui.server.ui.visitors import owner_of
from webui.server.ui.wiring import FormPane

if TYPE_CHECKING:
    from webui.app import App

KIND = "merge"
MODELS = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
SWAPPED = "(a, b) => (a && b && b !== 'None' ? [b, a] : [a, b])"
METADATA = ("save_metadata", "add_merge_recipe", "copy_metadata_fields")


def merger(app: App) -> FormPane:
    """Build the tab, inside a `gr.Tab`."""
    saved = app.catalog.ui_defaults
    controls = Controls(Merge, KIND, app.catalog.choices, defaults=saved.values(KIND), looks=saved.looks(KIND))
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="merge_settings", elem_classes="settings"):
            with gr.Row(elem_classes="merge-models", equal_height=True):
                controls.add(MODELS[0], min_width=180)
                for letters, first, second in (("AB", *MODELS[:2]), ("BC", *MODELS[1:])):
                    swap = tool_button("swap", f"Swap {' and '.join(letters)}", f"merge_swap_{letters.lower()}")
                    controls.add(second, min_width=180)
                    pair = [controls[first], controls[second]]
                    swap.click(None, pair, pair, js=SWAPPED, **QUIET)
                refresh = tool_button("refresh", "Refresh the list of checkpoints", "merge_refresh")
            controls.add("custom_name")
            controls.add("interp_method")
            controls.add("multiplier")
            outcome = gr.HTML(elem_id="merge_outcome", elem_classes="bare")
            with gr.Row():
                controls.add("bake_in_vae", min_width=180)
                controls.add("discard_weights", min_width=220)
            controls.add("config_source")
            controls.add("save_as_half", container=False)
            with gr.Accordion("Metadata", open=False, elem_id="merge_metadata", elem_classes="fold"):
                with gr.Row(elem_classes="script-toggles"):
                    controls.add_all(METADATA, container=False, min_width=150)
                controls.add("metadata_json")
                look = gr.Button("Read metadata from selected checkpoints", size="sm", elem_id="merge_read_metadata")
        with gr.Column(scale=1, min_width=320, elem_classes="settings"):
            with gr.Row(elem_id="merge_generate_box", elem_classes="generate-box"):
                gr.Button("Interrupt", elem_id="merge_interrupt", elem_classes="while-running")
                run = gr.Button("Merge", elem_id="merge_generate", elem_classes="generate", variant="primary")
            notice = gr.HTML(elem_id="merge_notice", elem_classes="notices")
            status = f"<section class='gesso-job-status' data-kind='{KIND}' aria-live='polite'></section>"
            gr.HTML(status, elem_classes="bare")
    _submits(app, run, controls, notice)
    _foretells(app, controls, outcome)
    look.click(
        lambda *names: _told(app, names), [controls[name] for name in MODELS], controls["metadata_json"], **QUIET
    )
    refresh.click(lambda: _refreshed(app, controls), None, [*controls.refreshed()], **QUIET)
    return FormPane(KIND, controls, notice)


def _submits(app: App, trigger: Component, controls: Controls, notice: Component) -> None:
    def submit(data: Data, request: gr.Request) -> str:
        owner = owner_of(request)
        try:
            app.access.require_admin(owner)
            app.queue.submit(Merge.made(**controls.values(data)), owner=owner)
        except WebuiError as error:
            return notices.failure(error)
        return ""

    trigger.click(submit, {*controls.components}, notice, **QUIET)


def _foretells(app: App, controls: Controls, outcome: Component) -> None:
    """Say what the button would make, as the form stands."""

    def foretell(data: Data) -> str:
        try:
            wish = Merge.made(**controls.values(data))
            name = resolve_merge(wish, app.catalog, app.paths.new_checkpoints).name + ENDING
            said = f"{FORMULAS[wish.interp_method]}: {name}"
        except WebuiError as error:
            said = error.message
        return f"<p class='job-status-of'>{escape(said)}</p>"

    for name in (*MODELS, "custom_name", "interp_method", "multiplier"):
        controls[name].change(foretell, {*controls.components}, outcome, trigger_mode="always_last", **QUIET)


def _told(app: App, names: tuple[str, ...]) -> str:
    """What the files of these checkpoints say of themselves, the later over the earlier, as JSON."""
    found: dict[str, object] = {}
    for name in names:
        try:
            found |= read_metadata(Path(app.catalog.checkpoint(name).path)) if name not in NONE else {}
        except NotFound:
            continue
    return json.dumps(found, indent=1, ensure_ascii=False)


def _refreshed(app: App, controls: Controls) -> Updates:
    app.catalog.refresh()
    return controls.refreshed()
