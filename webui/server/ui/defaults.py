"""Settings, Defaults: what the forms begin with. The forms as they stand can be made so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.request.params import parsed
from webui.server.ui import notices
from webui.server.ui.components import Data
from webui.server.ui.controls import QUIET
from webui.server.ui.wiring import ExtrasPane, Pane, owner_of

if TYPE_CHECKING:
    from webui.app import App

LONGEST = 60
"""Characters that are shown of a value."""


@dataclass(frozen=True)
class Change:
    """A control that stands otherwise than the form begins."""

    kind: str
    name: str
    title: str
    before: object
    now: object

    def __str__(self) -> str:
        return f"{self.kind}, {self.title}: {_shown(self.before)} becomes {_shown(self.now)}"


def defaults_page(app: App, panes: Iterable[Pane | ExtrasPane]) -> None:
    """Lay it out, inside its tab, once all forms are built."""
    forms = {pane.kind: pane.controls for pane in panes}
    gr.HTML(
        "<p>Make the current values of the txt2img, img2img and Extras forms their defaults. They are saved in "
        "ui-config.json and take effect after a restart.</p>",
        elem_classes="bare",
    )
    with gr.Row(elem_classes="wide-buttons"):
        view = gr.Button("View changes", elem_id="settings_defaults_view", size="sm", min_width=120, scale=0)
        apply = gr.Button(
            "Apply", variant="primary", elem_id="settings_defaults_apply", size="sm", min_width=120, scale=0
        )
    report = gr.HTML(elem_id="settings_defaults_report", elem_classes="notices")

    def changes(data: Data) -> Iterator[Change]:
        for kind, controls in forms.items():
            before = app.catalog.ui_defaults.values(kind)
            params = controls.declared.params()
            for name, value in controls.values(data).items():
                if name in before and (now := parsed(controls.declared, name, value)) != before[name]:
                    yield Change(kind, name, params[name].title, before[name], now)

    def look(data: Data) -> str:
        try:
            found = [str(change) for change in changes(data)]
        except WebuiError as error:
            return notices.failure(error)
        return notices.remarks(found) or notices.done("The forms already show their defaults.")

    def save(data: Data, request: gr.Request) -> str:
        try:
            app.access.require_admin(owner_of(request))
            found = list(changes(data))
            for kind in dict.fromkeys(change.kind for change in found):
                values = {change.name: change.now for change in found if change.kind == kind}
                app.catalog.ui_defaults.save(kind, values)
        except WebuiError as error:
            return notices.failure(error)
        if not found:
            return notices.done("The forms already show their defaults.")
        return notices.done("Saved. The new defaults take effect after a restart.") + notices.remarks(map(str, found))

    given = {component for controls in forms.values() for component in controls.components}
    view.click(look, given, report, **QUIET)
    apply.click(save, given, report, **QUIET)


def _shown(value: object) -> str:
    text = (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "nothing"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
