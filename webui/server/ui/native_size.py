"""Width and height follow the checkpoint: a model shows what it can at the size that it was trained at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import NotFound
from webui.request.params import default_of
from webui.server.ui.controls import QUIET, Component
from webui.server.ui.quicksettings import CHECKPOINT, Quicksettings
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App

Size = tuple[int, int]


def follow_checkpoint(app: App, page: Any, bar: Quicksettings, forms: list[Pane]) -> None:
    """Forms whose size nobody chose take the checkpoint's own: from the first, when the page comes, and on a change.

    A size that is the form's default or some checkpoint's own counts as not chosen.
    """
    fields = [pane.controls[side] for pane in forms for side in ("width", "height")]
    defaults = [_default(app, pane) for pane in forms]

    def fitted(title: str, *values: Any) -> dict[Component, Any]:
        checkpoints = app.catalog.checkpoints
        native = native_size(app, title)
        idle = {checkpoint.native_size for checkpoint in checkpoints.scan()}
        updates: dict[Component, Any] = {}
        for pane, default, now in zip(forms, defaults, zip(values[::2], values[1::2], strict=True), strict=True):
            width, height = native or default
            # What is right already is not sent: whoever types at this moment keeps what they typed.
            if now != (width, height) and (now == default or now in idle):
                updates |= pane.controls.show({"width": width, "height": height})[0]
        return updates or {fields[0]: gr.skip()}  # Gradio takes no empty answer.

    def first(*values: Any) -> dict[Component, Any]:
        return fitted(app.settings.current.render.sd_model_checkpoint, *values)

    # The page is served with these values, for whoever presses Generate before its load events have run.
    starting = [side for default in defaults for side in default]
    for component, update in first(*starting).items():
        component.value = update.get("value", component.value)
    page.load(first, fields, fields, **QUIET)
    chosen = next((controls[CHECKPOINT] for controls in bar.controls.values() if CHECKPOINT in controls), None)
    if chosen is not None:
        chosen.input(fitted, [chosen, *fields], fields, **QUIET)


def native_size(app: App, title: str) -> Size | None:
    """What the checkpoint of this title says of its size; "" is the first checkpoint."""
    try:
        return app.catalog.checkpoints.find(title).native_size
    except NotFound:
        return None


def _default(app: App, pane: Pane) -> Size:
    saved = app.catalog.ui_defaults.values(pane.kind)
    declared = pane.controls.declared
    width, height = (saved.get(side, default_of(declared, side)) for side in ("width", "height"))
    return int(width), int(height)
