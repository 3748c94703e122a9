"""The bar at the top: the checkpoint, and whichever settings a person wants at hand; a change is saved at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from webui import entry_points
from webui.base.errors import NotFound, UserError, WebuiError
from webui.request.params import Choice, Colour, Declared, Number, Param, Slider, Text
from webui.request.settings import Settings
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Event, Shown, Updates, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.script import calls
from webui.server.ui.toprow import tool_button

if TYPE_CHECKING:
    from webui.app import App

CHECKPOINT = "sd_model_checkpoint"
MOST_BROKEN = 5
"""Broken files that are named after a refresh."""
LOGO = (
    "<h1><a class='logo' href='./' aria-label='Gesso'><svg viewBox='0 0 64 64' aria-hidden='true'>"
    "<rect x='3' y='3' width='58' height='58' rx='14' fill='#4a47dc'/>"
    "<path d='M46 22c-4-5-9-7.5-15-7C21 16 15 23.5 15.5 33S23 49.5 32 49c8.5-.5 14-6 14.5-14.5l-14 .5' fill='none' "
    "stroke='#fbfaf8' stroke-width='7' stroke-linecap='round' stroke-linejoin='round'/>"
    "<circle cx='48.5' cy='14.5' r='4.5' fill='#f2b134'/></svg><b>Gesso</b></a></h1>"
)


@dataclass(frozen=True)
class SettingsForm:
    """Controls of settings by section, and a note of what they showed last, which lies in the browser: so that what
    was changed on a page can be told from what was changed elsewhere meanwhile, whatever becomes of the server."""

    controls: Mapping[str, Controls]
    note: Component
    effective: Callable[[str, object], object]
    """What a setting that leaves the choice open comes to."""

    @property
    def components(self) -> list[Component]:
        return [self.note, *(component for controls in self.controls.values() for component in controls.components)]

    def shown(self, settings: Settings) -> Updates:
        """Updates that bring all controls to these settings."""
        found: Updates = {}
        for section, controls in self.controls.items():
            found |= controls.refreshed()
            found |= controls.show(self._values(settings, section))[0]
        return {**found, self.note: gr.update(value=self.noted(settings))}

    def noted(self, settings: Settings) -> str:
        """The note of controls that show these settings."""
        told: dict[str, object] = {}
        for section, controls in self.controls.items():
            told |= controls.told_of(self._values(settings, section))
        return json.dumps(told)

    def noted_with(self, data: Data, told: Mapping[str, object]) -> str:
        """The page's note, where these values are known to it as well."""
        try:
            return json.dumps({**json.loads(text_in(data[self.note])), **told})
        except (TypeError, ValueError, RecursionError):
            return "{}"  # It was none: `changed` will ask for a reload.

    def changed(self, data: Data) -> dict[str, object]:
        """Field -> value of what has another value than the page showed.

        Raises:
            UserError: the page does not know what it showed.
        """
        try:
            before = json.loads(text_in(data[self.note]))
            told = {name: value for controls in self.controls.values() for name, value in controls.values(data).items()}
            return {name: value for name, value in told.items() if not same(value, before[name])}
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UserError("The page is older than the server.", hint="Reload it.") from error

    def _values(self, settings: Settings, section: str) -> dict[str, object]:
        values = getattr(settings, section)
        return {name: self.effective(name, getattr(values, name)) for name in self.controls[section]}


def same(one: object, other: object) -> bool:
    """Whether two values of a setting are one, as far as a browser keeps it: its numbers have 53 bits."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(one) == float(other)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return list(one) == list(other)
    return bool(one == other)


@dataclass(frozen=True)
class Quicksettings(SettingsForm):
    """The bar's controls by section, and where it says what went wrong."""

    notice: Component

    @property
    def checkpoint(self) -> Component | None:
        """Where the checkpoint is chosen, if it stands here."""
        return next((controls[CHECKPOINT] for controls in self.controls.values() if CHECKPOINT in controls), None)

    @property
    def names(self) -> frozenset[str]:
        """The settings that stand here (and not on the Settings tab)."""
        return frozenset(name for controls in self.controls.values() for name in controls)


def effective(app: App, name: str, value: object) -> object:
    """A checkpoint by its title, the first one for ""."""
    if name != CHECKPOINT:
        return value
    try:
        return app.catalog.checkpoints.find(str(value)).title
    except NotFound:
        return value


def settings_form(app: App, section: str, *, explained: bool, prefix: str = "setting") -> Controls:
    """The controls of a section of the settings, at their current values."""
    values: Declared = getattr(app.settings.current, section)
    return Controls(
        type(values),
        prefix,
        app.catalog.choices,
        defaults={name: effective(app, name, getattr(values, name)) for name in type(values).params()},
        explained=explained,
        faithful=True,
        fixed=frozenset(name for name in type(values).params() if app.settings.freeze.why(name)),
    )


def form_of(app: App, controls: Mapping[str, Controls], elem_id: str) -> SettingsForm:
    """These controls, just made, with their note."""
    note = gr.Textbox(visible="hidden", elem_id=elem_id)
    form = SettingsForm(controls, note, lambda name, value: effective(app, name, value))
    note.value = form.noted(app.settings.current)
    return form


def quicksettings(app: App) -> Quicksettings:
    """Lay out the bar and wire it."""
    keys = Settings.keys()
    forms = {section: settings_form(app, section, explained=False) for section in Settings.sections()}
    with gr.Row(elem_id="quicksettings", elem_classes="quicksettings", equal_height=True):
        gr.HTML(LOGO, elem_classes="bare logo-box")
        refresh = None
        for key in app.settings.current.ui.quicksettings_list:
            # A1111: no bar where nothing in it could be changed.
            if key not in keys or app.settings.freeze.everything or app.settings.freeze.hides(key):
                continue
            section, name = keys[key]
            if name in forms[section]:
                continue
            forms[section].add(name, min_width=120, scale=0, elem_classes="quick")
            if name == CHECKPOINT:
                refresh = tool_button("refresh", "Refresh the list of checkpoints", "refresh_sd_model_checkpoint")
        gr.HTML("<span id='gesso_status' class='status' role='status'></span>", elem_classes="bare status-box")
        tool_button("moon", "Switch between dark and light", "theme_toggle")
    notice = gr.HTML(elem_id="quicksettings_notice", elem_classes="notices")
    show = gr.Button("Reload the settings", visible="hidden", elem_id="quicksettings_show")
    standing = {section: form for section, form in forms.items() if form.components}
    form = form_of(app, standing, "quicksettings_shown")
    bar = Quicksettings(standing, form.note, form.effective, notice)
    for section, controls in bar.controls.items():
        for name in controls:
            _saves(app, bar, section, name)
    show.click(lambda: bar.shown(app.settings.current), None, bar.components, **QUIET)
    if refresh is not None:
        refresh.click(lambda: _refreshed(app, bar), None, [*bar.components, bar.notice], **QUIET)
    return bar


def _saves(app: App, bar: Quicksettings, section: str, name: str) -> None:
    controls = bar.controls[section]
    component = controls[name]
    kind = type(controls.declared.params()[name])

    def save(data: Data, request: gr.Request) -> Shown:
        try:
            if issubclass(kind, Text | Number) and name not in bar.changed(data):
                return {bar.notice: ""}  # Who only went through a field has changed nothing.
            app.access.require_admin(str(request.username or ""))
            told = controls.values({component: data[component]})
            app.settings.change(told)
        except WebuiError as error:
            before = getattr(getattr(app.settings.current, section), name)
            return {bar.notice: notices.failure(error), **controls.show({name: before})[0]}
        return {bar.notice: "", bar.note: bar.noted_with(data, told)}

    for event in _finished_changing(component, kind):
        settling = calls("settling")
        saving = event(save, {component, bar.note}, [component, bar.note, bar.notice], js=settling, **QUIET)
        saving.then(None, None, None, js=calls("settled"), **QUIET)


def _finished_changing(component: Component, kind: type[Param]) -> list[Event]:
    """The events that say that a person has chosen a value, not that they are on the way to one."""
    if issubclass(kind, Slider):
        return [component.release]
    if issubclass(kind, Text | Number):
        return [component.submit, component.blur]
    if issubclass(kind, Choice | Colour):
        return [component.input]
    return [component.input]


def _refreshed(app: App, bar: Quicksettings) -> Shown:
    app.catalog.refresh()
    listed = (entry_points.KIND, "Stable-diffusion", "VAE", "Lora", "styles")
    return {**bar.shown(app.settings.current), bar.notice: broken_things(app, listed)}


def broken_things(app: App, listed: Collection[str], most: int = MOST_BROKEN) -> str:
    """What is known to be broken, of these kinds, as markup, at most so many; "" where nothing is."""
    broken = [str(problem) for problem in app.catalog.problems.all() if problem.kind in listed]
    more = [f"{len(broken) - most} more: /api/v1/problems lists them all."] if len(broken) > most else []
    return notices.remarks([*broken[:most], *more])
