"""What stands in the forms outlives the page: a reload, a crash of the browser, a restart of the server.

A script (`assets/remembering.js`) presses two hidden buttons for each form: one keeps what stands in it, one brings it
back. With logins, forms belong to whoever is logged in, on any machine; without, to the browser.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import unquote

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.request.params import by_name
from webui.server.ui.components import Component, Shown, all_in, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.visitors import copy_for, owner_of, upload

if TYPE_CHECKING:
    from webui.app import App

log = logging.getLogger(__name__)

BUILT = "built"
"""Instead of what was kept: the form as the page was built with it."""
SLOTS = ("now", "before")
"""What stands in a form, and what stood there before something filled it."""
PRESET = "preset="
"""How a slot begins that is a preset of the form's fields, by its name, percent-encoded."""
RECALL = "_recall"
"""How the id of the button ends that brings a form back."""
PLACE = re.compile(r"([0-9a-f]{32})/([0-9a-f]{32})")
"""A browser and one of its pages, by names that they gave themselves."""


@dataclass(frozen=True)
class KeptForm:
    """What of a form is kept."""

    kind: str
    """The tab's name."""
    controls: Controls
    pictures: tuple[Component, ...] = ()
    """Places for files of pictures that are no controls."""
    plain: tuple[Component, ...] = ()
    """Components whose values are kept as they are: numbers and texts."""
    scripts: Scripts | None = None

    @property
    def components(self) -> list[Component]:
        scripts = () if self.scripts is None else self.scripts.components
        return list(dict.fromkeys((*self.controls.components, *self.pictures, *self.plain, *scripts)))


@runtime_checkable
class Rememberable(Protocol):
    """A pane whose form outlives the page."""

    def memory(self) -> KeptForm: ...


def connect_remembering(app: App, panes: Iterable[object]) -> None:
    """Give each form its two buttons, unless the server is to keep no prompts."""
    if not app.catalog.job_pictures.remembers:
        return
    memories = [pane.memory() for pane in panes if isinstance(pane, Rememberable)]
    # What the script answers takes its place.
    asked: Component = gr.Textbox(visible="hidden", label="Slot and place", elem_id="remember_asked", container=False)
    for memory in memories:
        _keeps(app, memory, asked)
        _recalls(app, memory, asked)


def _keeps(app: App, memory: KeptForm, asked: Component) -> None:
    components = memory.components

    def keep(request: gr.Request, told: str, *values: object) -> None:
        slot, _, place = text_in(told).partition(" ")
        whose = _whose(app, request, place)
        if whose is None or slot not in SLOTS:
            return
        data = dict(zip(components, values, strict=True))
        try:
            found = {
                "values": memory.controls.values(data),
                "script": {} if memory.scripts is None else memory.scripts.values(data),
                "pictures": [upload(app, text_in(data[each])) for each in memory.pictures],
                "plain": [data[each] for each in memory.plain],
            }
            app.catalog.forms.keep(*whose, f"{memory.kind} {slot}", json.dumps(found))
        except WebuiError as error:
            # Half a word in a field is no mistake yet; whoever generates with it is told.
            log.debug("The form %s was not kept: %s", memory.kind, error)

    name = f"{memory.kind}_keep"
    button = gr.Button("Keep the form", visible="hidden", elem_id=name)
    button.click(keep, [asked, *components], None, js=calls("remembering.asked", name), **QUIET)


def _recalls(app: App, memory: KeptForm, asked: Component) -> None:
    def recall(request: gr.Request, told: str) -> Shown:
        slot, _, place = text_in(told).partition(" ")
        button_alone: Shown = {button: gr.update()}  # Gradio takes an empty answer for one that lacks values.
        if slot == BUILT:
            return {component: gr.update(value=component.value) for component in memory.components}
        if slot.startswith(PRESET):
            return {**button_alone, **_preset(app, memory, request, unquote(slot.removeprefix(PRESET)))}
        whose = _whose(app, request, place)
        if whose is None or slot not in SLOTS:
            return button_alone
        try:
            content = app.catalog.forms.last(*whose, f"{memory.kind} {slot}")
            return {**button_alone, **(_shown(app, memory, request, by_name(json.loads(content))) if content else {})}
        except WebuiError as error:
            log.warning("The form %s cannot be brought back: %s", memory.kind, error)
            return button_alone

    name = f"{memory.kind}{RECALL}"
    button: Component = gr.Button("Bring the form back", visible="hidden", elem_id=name)
    shown = [*memory.components, button]
    button.click(recall, [asked], shown, js=calls("remembering.asked", name), **QUIET).then(
        None, None, None, js=calls("remembering.recalled", memory.kind), **QUIET
    )


def _preset(app: App, memory: KeptForm, request: gr.Request, name: str) -> Shown:
    """What a preset of the form's fields says."""
    try:
        preset = app.catalog.form_presets.get(owner_of(request), memory.kind, name)
    except WebuiError as error:
        log.warning("A preset cannot be shown: %s", error)
        return {}
    return {**memory.controls.show(preset.values)[0]}


def _shown(app: App, memory: KeptForm, request: gr.Request, found: Mapping[str, object]) -> Shown:
    def copied(name: str) -> str:
        try:
            return copy_for(app, request, app.catalog.picture(name), f"{name[:12]}.png")
        except NotFound:
            return ""  # Nobody asked for it for days, and it was swept away.

    updates, _ = memory.controls.show(by_name(found.get("values")), copied)
    shown: Shown = {**updates}
    if memory.scripts is not None:
        script = by_name(found.get("script"))
        with suppress(WebuiError):  # what the script had then, it need not have now
            shown |= memory.scripts.show(text_in(script.get("script")), by_name(script.get("script_values")))
    for place, name in zip(memory.pictures, all_in(found.get("pictures")), strict=False):
        shown[place] = copied(name) or None if name else None
    plain = found.get("plain")
    for component, value in zip(memory.plain, plain if isinstance(plain, list) else [], strict=False):
        shown[component] = value
    return shown


def _whose(app: App, request: gr.Request, place: str) -> tuple[str, str] | None:
    """(whose form it is, which page's); None: the place is none."""
    named = PLACE.fullmatch(place)
    if named is None:
        return None
    return owner_of(request) if app.access.required else f"browser {named[1]}", named[2]
