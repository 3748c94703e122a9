"""Presets of a feature's units: a list over the units, out of which one sets up the unit that is open, or all of them.

Each user has their own. The list is asked for when it is opened, so that it is right in every tab of every browser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.registry import FeatureEntry
from webui.request.params import Image
from webui.request.presets import Unit, unit_preset
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Shown, Update, text_in
from webui.server.ui.controls import NAMES, QUIET, Controls, Units
from webui.server.ui.script import calls
from webui.server.ui.toprow import tool_button
from webui.server.ui.visitors import owner_of

if TYPE_CHECKING:
    from webui.app import App


@dataclass(frozen=True)
class PresetBar:
    """The line over the units. `opened` takes the number of the unit that is open."""

    own: str
    name: Component
    save: Component
    save_all: Component
    delete: Component
    opened: Component
    notice: Component


def preset_bar(own: str) -> PresetBar:
    """Lay it out. own: the id of the feature's fold."""
    with gr.Row(elem_classes="with-tool unit-presets"):
        name = gr.Dropdown(
            [],
            value=None,
            label="Preset",
            allow_custom_value=True,
            elem_id=f"{own}_preset",
            elem_classes=["preset-name", NAMES],
            interactive=True,
        )
        with gr.Row(elem_classes="tools"):
            save = tool_button("save", "Save this unit under the name to the left", f"{own}_preset_save")
            save_all = tool_button("stack", "Save all units under the name to the left", f"{own}_preset_save_all")
            delete = tool_button("bin", "Delete this preset", f"{own}_preset_delete")
    opened = gr.Textbox("0", visible="hidden", elem_id=f"{own}_opened", label="Open unit")
    return PresetBar(
        own, name, save, save_all, delete, opened, gr.HTML(elem_id=f"{own}_preset_notice", elem_classes="notices")
    )


def connect_presets(app: App, entry: FeatureEntry, bar: PresetBar, units: Units, count: Callable[[int], Shown]) -> None:
    """Wire it, once the units are there. count: what changes with the number of units that are on."""
    name = entry.name
    switches = [switch for switch, _ in units]
    opens = calls("openedUnit", f"{bar.own}_units")

    def listed(request: gr.Request) -> Update:
        choices: Update = gr.update(choices=app.catalog.unit_presets.names(owner_of(request), name))
        return choices

    def load(data: Data, request: gr.Request) -> Shown:
        preset = app.catalog.unit_presets.get(owner_of(request), name, text_in(data[bar.name]), entry.params)
        wanted = dict(enumerate(preset.units))
        if len(wanted) == 1:
            wanted = {_opened(data, bar, units): preset.units[0]}
        found, remarks = _shown(units, wanted)
        on = sum(
            bool(data[switch] if number not in wanted else wanted[number]) for number, switch in enumerate(switches)
        )
        return {**found, **count(on), bar.notice: notices.remarks(remarks)}

    def store(data: Data, request: gr.Request, *, everything: bool) -> Shown:
        opened = _opened(data, bar, units)
        told = [_told(controls, data) if data[switch] else None for switch, controls in units]
        preset = unit_preset(data[bar.name], told if everything else [_told(units[opened][1], data)], entry.params)
        app.catalog.unit_presets.save(owner_of(request), name, preset)
        said = f"Saved {'all units' if everything else f'unit {opened}'} as {preset.name!r}, without the pictures."
        return {bar.name: gr.update(value=preset.name), bar.notice: notices.done(said)}

    def forget(data: Data, request: gr.Request) -> Shown:
        app.catalog.unit_presets.delete(owner_of(request), name, text_in(data[bar.name]))
        said = notices.done(f"Deleted the preset {data[bar.name]!r}.")
        return {bar.name: gr.update(value=None), bar.notice: said}

    shows = [component for switch, controls in units for component in (switch, *controls.components)]
    badge = list(count(0))
    bar.name.focus(listed, None, bar.name, **QUIET)
    bar.name.select(None, None, bar.opened, js=opens, **QUIET).then(
        _said(bar, load), {bar.name, bar.opened, *switches}, [*shows, *badge, bar.notice], **QUIET
    )
    bar.delete.click(_said(bar, forget), {bar.name}, [bar.name, bar.notice], **QUIET)
    for button, everything in ((bar.save, False), (bar.save_all, True)):
        button.click(None, None, bar.opened, js=opens, **QUIET).then(
            _said(bar, partial(store, everything=everything)),
            {bar.name, bar.opened, *shows},
            [bar.name, bar.notice],
            **QUIET,
        )


def _said(bar: PresetBar, act: Callable[[Data, gr.Request], Shown]) -> Callable[[Data, gr.Request], Shown]:
    """The handler, which tells what goes wrong."""

    def handler(data: Data, request: gr.Request) -> Shown:
        try:
            return act(data, request)
        except WebuiError as error:
            return {bar.notice: notices.failure(error)}

    return handler


def _opened(data: Data, bar: PresetBar, units: Units) -> int:
    """The number of the unit that is open."""
    told = text_in(data[bar.opened])
    return int(told) if told.isdecimal() and int(told) < len(units) else 0


def _told(controls: Controls, data: Data) -> dict[str, object]:
    """The values of a unit, without its pictures."""
    params = controls.declared.params()
    return controls.values({controls[n]: data[controls[n]] for n in controls if not isinstance(params[n], Image)})


def _shown(units: Units, wanted: Mapping[int, Unit]) -> tuple[Shown, list[str]]:
    """What puts these values into the units of these numbers, and what could not be shown."""
    found: Shown = {}
    remarks: list[str] = []
    if max(wanted) >= len(units):
        remarks.append(f"The preset has {len(wanted)} units, of which {len(units)} are shown.")
    for number, values in wanted.items():
        if number < len(units):
            switch, controls = units[number]
            found[switch] = gr.update(value=values is not None)
            shown, more = controls.show(values or {})
            found |= shown
            remarks += more
    return found, remarks
