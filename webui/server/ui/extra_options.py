"""Settings that people want in a form: there they hold for the jobs of that form alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import gradio as gr

from webui.request.params import parsed
from webui.request.settings import Settings
from webui.server.ui.components import Component, Data, Updates
from webui.server.ui.controls import Controls
from webui.server.ui.quicksettings import effective, same, settings_form

if TYPE_CHECKING:
    from webui.app import App


def extra_options(app: App, controls: Controls) -> None:
    """Lay out the settings that the form of these controls has beside its own parameters, if it has any."""
    ui, tab = app.settings.current.ui, controls.prefix
    wanted = {"txt2img": ui.extra_options_txt2img, "img2img": ui.extra_options_img2img}.get(tab, ())
    places = places_of(app, wanted)
    if not places:
        return
    forms = {section: settings_form(app, section, explained=False, prefix=f"{tab}_extra") for section, _ in places}
    frame: AbstractContextManager[object] = nullcontext()
    if ui.extra_options_accordion:
        frame = gr.Accordion("Options", open=False, elem_id=f"{tab}_extra_options_accordion", elem_classes="fold")
    columns = max(1, ui.extra_options_cols)
    with frame, gr.Column(elem_id=f"{tab}_extra_options", elem_classes="extra-options"):
        for first in range(0, len(places), columns):
            with gr.Row():
                for section, name in places[first : first + columns]:
                    forms[section].add(name, min_width=120)
    controls.embedded = EmbeddedSettings(app, forms)


def places_of(app: App, keys: Sequence[str]) -> list[tuple[str, str]]:
    """(section, field) of each of these settings that a job may have otherwise, once each."""
    known, freeze = Settings.keys(), app.settings.freeze
    return list(dict.fromkeys(known[key] for key in keys if key in known and not freeze.hides(key)))


class EmbeddedSettings:
    """See `webui.server.ui.controls.Embedded`. forms: controls of settings by their section."""

    def __init__(self, app: App, forms: Mapping[str, Controls]) -> None:
        self._app, self._forms = app, forms
        self._place = {key: place for key, place in Settings.keys().items() if self._has(*place)}

    def _has(self, section: str, name: str) -> bool:
        return section in self._forms and name in self._forms[section]

    @property
    def components(self) -> list[Component]:
        return [component for form in self._forms.values() for component in form.components]

    def overrides(self, data: Data, /) -> dict[str, object]:
        found: dict[str, object] = {}
        for section, form in self._forms.items():
            usual = form.told_of(self._values(section))
            found |= {name: value for name, value in form.values(data).items() if not same(value, usual[name])}
        return found

    def shown(self, overrides: Mapping[str, object], /) -> Updates:
        found: Updates = {}
        for section, form in self._forms.items():
            values = self._values(section)
            for key, value in overrides.items():
                if key in self._place and self._place[key][0] == section:
                    name = self._place[key][1]
                    values[name] = parsed(form.declared, name, value)
            found |= form.show(values)[0]
        return found

    def without(self, overrides: Mapping[str, object], /) -> dict[str, object]:
        return {key: value for key, value in overrides.items() if key not in self._place}

    def _values(self, section: str) -> dict[str, object]:
        holds = getattr(self._app.settings.current, section)
        return {name: effective(self._app, name, getattr(holds, name)) for name in self._forms[section]}
