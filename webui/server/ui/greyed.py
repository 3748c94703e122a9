"""Controls that the chosen checkpoint cannot honour are greyed out, with the reason under them; those that it alone
can honour come up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import NotFound
from webui.request.whole import FIELDS, REASON, SETTINGS
from webui.server.ui.controls import QUIET, Component
from webui.server.ui.quicksettings import Quicksettings
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App


@dataclass(frozen=True)
class Looks:
    """The controls that a pipeline passes over, and those for checkpoints that edit pictures by instruction."""

    app: App
    greyable: list[Component]
    kind: Component
    """Markup that says of which kind the checkpoint is; the stylesheet goes by it, also in tabs that open later."""

    @property
    def affected(self) -> list[Component]:
        return [*self.greyable, self.kind]

    def now(self, title: str) -> dict[Component, Any]:
        """Updates for a page that comes: it was built with all controls in use, but for those that edit."""
        greyed = looks(self.greyable, whole=True) if runs_whole(self.app, title) else {}
        return {**greyed, **self._edited(title)}

    def updates(self, title: str) -> dict[Component, Any]:
        """Updates for this checkpoint; "" is the first one."""
        return {**looks(self.greyable, whole=runs_whole(self.app, title)), **self._edited(title)}

    def _edited(self, title: str) -> dict[Component, Any]:
        # A1111: Image CFG scale is there for InstructPix2Pix checkpoints alone.
        return {self.kind: gr.update(value="<i class='edits'></i>" if edits(self.app, title) else "")}


def grey_out(app: App, bar: Quicksettings, forms: list[Pane]) -> Looks:
    """When a checkpoint is chosen, grey out what it cannot honour."""
    affected = [pane.controls[name] for pane in forms for name in FIELDS if name in pane.controls]
    affected += [controls[name] for controls in bar.controls.values() for name in SETTINGS if name in controls]
    found = Looks(app, affected, gr.HTML(visible="hidden", elem_id="checkpoint_kind"))
    if bar.checkpoint is not None:
        bar.checkpoint.change(found.updates, bar.checkpoint, found.affected, **QUIET)
    return found


def runs_whole(app: App, title: str) -> bool:
    """Whether the checkpoint of this title is a pipeline of diffusers."""
    try:
        return app.catalog.checkpoints.find(title).whole
    except NotFound:
        return False


def edits(app: App, title: str) -> bool:
    """Whether the checkpoint of this title edits pictures by instruction."""
    try:
        return app.catalog.checkpoints.find(title).edits
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
