"""Controls that the chosen checkpoint cannot honour are greyed out, with the reason under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import NotFound
from webui.request.whole import FIELDS, REASON, SETTINGS
from webui.server.ui.controls import QUIET, Component
from webui.server.ui.quicksettings import CHECKPOINT, Quicksettings
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App


def grey_out(app: App, page: Any, bar: Quicksettings, forms: list[Pane]) -> None:
    """From the first, when the page comes, and when another checkpoint is chosen."""
    chosen = next((controls[CHECKPOINT] for controls in bar.controls.values() if CHECKPOINT in controls), None)
    affected = [pane.controls[name] for pane in forms for name in FIELDS if name in pane.controls]
    affected += [controls[name] for controls in bar.controls.values() for name in SETTINGS if name in controls]

    def updates(title: str) -> dict[Component, Any]:
        return looks(affected, whole=runs_whole(app, title))

    def now() -> dict[Component, Any]:
        title = app.settings.current.render.sd_model_checkpoint
        return updates(title) if runs_whole(app, title) else dict.fromkeys(affected, gr.skip())

    page.load(now, None, affected, **QUIET)
    if chosen is not None:
        chosen.change(updates, chosen, affected, **QUIET)


def runs_whole(app: App, title: str) -> bool:
    """Whether the checkpoint of this title is a pipeline of diffusers."""
    try:
        return app.catalog.checkpoints.find(title).whole
    except NotFound:
        return False


def looks(controls: list[Component], *, whole: bool) -> dict[Component, Any]:
    """Updates for the controls that a pipeline passes over."""
    return {
        control: gr.update(interactive=not whole)
        if isinstance(control, gr.Checkbox)
        else gr.update(interactive=not whole, info=REASON if whole else "")
        for control in controls
    }
