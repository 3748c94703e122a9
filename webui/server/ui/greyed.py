"""Controls that have no effect with the chosen checkpoint are greyed out, with the reason under them; those that it
alone can honour come up, and so do prompts to begin with, where it has some."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from webui import registry
from webui.base.errors import NotFound
from webui.request.capabilities import FIELDS, SETTINGS, Capabilities, Capability, of_family, without_effect
from webui.server.ui.components import Component, Data, Updates, text_in
from webui.server.ui.controls import QUIET
from webui.server.ui.quicksettings import Quicksettings
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App

REFUSED = frozenset({Capability.UNET})
"""What needs these is refused, not passed over, so that it must stay possible to switch it off."""


@dataclass(frozen=True)
class Looks:
    """The controls that not every family of checkpoints honours, and those for checkpoints that edit pictures."""

    app: App
    needs: Mapping[Component, frozenset[Capability]]
    kind: Component
    """Markup that says of which kind the checkpoint is, and which prompts it has to begin with; the stylesheet and
    `assets/examples.js` go by it, also in tabs that open later."""

    @property
    def affected(self) -> list[Component]:
        return [*self.needs, self.kind]

    @property
    def refused(self) -> list[Component]:
        """Those whose values must be known."""
        return [control for control, needs in self.needs.items() if needs & REFUSED]

    def now(self, title: str) -> Updates:
        """Updates for a page that comes: it was built with all controls in use, but for those that edit."""
        family = family_of(self.app, title)
        without = {c: needs for c, needs in self.needs.items() if without_effect(family, needs)}
        return {**looks(without, family, {}), **self._edited(title)}

    def updates(self, title: str, data: Data) -> Updates:
        """Updates for this checkpoint; "" is the first one. data: the values of those that are `refused`."""
        return {**looks(self.needs, family_of(self.app, title), data), **self._edited(title)}

    def _edited(self, title: str) -> Updates:
        # A1111: Image CFG scale is there for InstructPix2Pix checkpoints alone.
        try:
            checkpoint = self.app.catalog.checkpoints.find(title)
        except NotFound:
            return {self.kind: gr.update(value="")}
        said = "<i class='edits'></i>" if checkpoint.edits else ""
        if prompts := checkpoint.examples:
            said += f"<i class='examples' data-prompts='{html.escape(json.dumps(prompts), quote=True)}'></i>"
        return {self.kind: gr.update(value=said)}


def grey_out(app: App, bar: Quicksettings, forms: list[Pane]) -> Looks:
    """When a checkpoint is chosen, grey out what it cannot honour."""
    needs: dict[Component, frozenset[Capability]] = {}
    for pane in forms:
        needs |= {pane.controls[name]: frozenset({what}) for name, what in FIELDS.items() if name in pane.controls}
        for entry in registry.carried():
            if entry.params.needs:
                needs |= dict.fromkeys(pane.controls.switches.get(entry.name, ()), entry.params.needs)
    free = {name: what for name, what in SETTINGS.items() if not app.settings.freeze.why(name)}
    for controls in bar.controls.values():
        needs |= {controls[name]: frozenset({what}) for name, what in free.items() if name in controls}
    found = Looks(app, needs, gr.HTML(visible="hidden", elem_id="checkpoint_kind"))
    chosen = bar.checkpoint
    if chosen is not None:
        chosen.change(
            lambda data: found.updates(text_in(data[chosen]), data), {chosen, *found.refused}, found.affected, **QUIET
        )
    return found


def family_of(app: App, title: str) -> Capabilities | None:
    """What the checkpoint of this title can bear, where that is known without loading it."""
    try:
        return of_family(app.catalog.checkpoints.family(app.catalog.checkpoints.find(title)))
    except NotFound:
        return None


def looks(needs: Mapping[Component, frozenset[Capability]], family: Capabilities | None, data: Data) -> Updates:
    """Updates for controls that need something of a family. One that is on, and refused, can still be switched off."""
    found: Updates = {}
    for control, wanted in needs.items():
        why = without_effect(family, wanted)
        is_on = bool(wanted & REFUSED) and bool(data.get(control, control.value))
        usable = not why or (is_on and family is not None and not family.is_whole)
        is_switch = isinstance(control, gr.Checkbox)
        found[control] = gr.update(interactive=usable) if is_switch else gr.update(interactive=usable, info=why)
    return found
