"""Settings, Defaults: what the forms begin with. The forms as they stand can be made so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.catalog.ui_defaults import NAME
from webui.request.params import parsed
from webui.server.ui import notices
from webui.server.ui.components import Data
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.visitors import owner_of
from webui.server.ui.wiring import ExtrasPane, Pane

if TYPE_CHECKING:
    from webui.app import App

EXPLAINED = (
    "<p>Make the current values of the txt2img, img2img and Extras forms their defaults. They are saved in "
    "ui-config.json and take effect after a restart. Reset takes all of it out of the file again.</p>"
    "<p>The file can be edited by hand, too: value, visible, minimum, maximum and step of every control, and "
    "choices (the only ones that a list offers). Write the whole file adds a line for each of them.</p>"
)
BUTTONS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("View changes", "view", {}),
    ("Apply", "apply", {"variant": "primary"}),
    ("Reset", "reset", {}),
    ("Write the whole file", "whole", {}),
)
"""Title, name, look."""
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
    gr.HTML(EXPLAINED, elem_classes="bare")
    with gr.Row(elem_classes="wide-buttons"):
        view, apply, reset, whole = (
            gr.Button(title, elem_id=f"settings_defaults_{name}", size="sm", min_width=120, scale=0, **look)
            for title, name, look in BUTTONS
        )
    report = gr.HTML(elem_id="settings_defaults_report", elem_classes="notices")
    page = DefaultsPage(app, {pane.kind: pane.controls for pane in panes})
    given = {component for controls in page.forms.values() for component in controls.components}
    view.click(page.look, given, report, **QUIET)
    apply.click(page.save, given, report, **QUIET)
    reset.click(page.reset, None, report, **QUIET)
    whole.click(page.write_whole, None, report, **QUIET)


class DefaultsPage:
    """What its buttons do. forms: by the kind of job."""

    def __init__(self, app: App, forms: Mapping[str, Controls]) -> None:
        self._app, self.forms = app, forms
        self._defaults = app.catalog.ui_defaults

    def _changes(self, data: Data) -> Iterator[Change]:
        for kind, controls in self.forms.items():
            before = self._defaults.values(kind)
            params = controls.declared.params()
            for name, value in controls.values(data).items():
                if name in before and (now := parsed(controls.declared, name, value)) != before[name]:
                    yield Change(kind, name, params[name].title, before[name], now)

    def look(self, data: Data) -> str:
        """Name what is not as the forms begin."""
        try:
            found = [str(change) for change in self._changes(data)]
        except WebuiError as error:
            return notices.failure(error)
        return notices.remarks(found) or notices.done("The forms already show their defaults.")

    def save(self, data: Data, request: gr.Request) -> str:
        """Let the forms begin as they stand."""
        try:
            self._app.access.require_admin(owner_of(request))
            found = list(self._changes(data))
            for kind in dict.fromkeys(change.kind for change in found):
                self._defaults.save(kind, {change.name: change.now for change in found if change.kind == kind})
        except WebuiError as error:
            return notices.failure(error)
        if not found:
            return notices.done("The forms already show their defaults.")
        return notices.done("Saved. The new defaults take effect after a restart.") + notices.remarks(map(str, found))

    def reset(self, request: gr.Request) -> str:
        """Take out of the file what it says of the forms."""
        try:
            self._app.access.require_admin(owner_of(request))
            count = self._defaults.reset(self.forms)
        except WebuiError as error:
            return notices.failure(error)
        return notices.done(f"{_lines(count)} removed from {NAME}. The forms begin as usual after a restart.")

    def write_whole(self, request: gr.Request) -> str:
        """Write a line for everything that the file can say."""
        try:
            self._app.access.require_admin(owner_of(request))
            count = self._defaults.write_whole(self.forms)
        except WebuiError as error:
            return notices.failure(error)
        return notices.done(f"{_lines(count)} added to {NAME}, which now says everything that it can.")


def _lines(count: int) -> str:
    return f"{count} line{'' if count == 1 else 's'}"


def _shown(value: object) -> str:
    text = (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "nothing"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
