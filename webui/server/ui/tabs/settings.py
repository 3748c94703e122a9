"""The Settings tab: every setting, from its declaration; Apply saves what was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import WebuiError
from webui.request.settings import Settings
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Shown
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.quicksettings import form_of, settings_form
from webui.server.ui.script import calls
from webui.server.ui.visitors import owner_of
from webui.server.ui.wiring import SettingsPane

if TYPE_CHECKING:
    from webui.app import App

TITLES = {
    "render": "Pictures",
    "save": "Saving",
    "ui": "The page",
    "canvas": "Canvas",
    "cards": "Extra networks",
    "system": "System",
}
"""The sub-tabs' names by section."""


PLACES = {"tokens": "API tokens", "logins": "Logins", "about": "About"}
"""Sub-tabs that a script of the page fills."""


def settings(app: App) -> SettingsPane:
    """Build the tab, inside a `gr.Tab`."""
    current = app.settings.current
    keys = Settings.keys()
    freeze = app.settings.freeze
    in_the_bar = {keys[key] for key in current.ui.quicksettings_list if key in keys and not freeze.everything}
    apply, restart = _bar()
    notice = gr.HTML(elem_id="settings_result", elem_classes="notices")
    forms: dict[str, Controls] = {}
    with gr.Tabs(elem_id="settings_pages"):
        for section, declared in Settings.sections().items():
            form = forms[section] = settings_form(app, section, explained=True)
            with (
                gr.Tab(TITLES.get(section, section.capitalize()), id=section, elem_id=f"settings_{section}"),
                gr.Column(elem_classes="settings-page"),
            ):
                form.add_all(
                    name for name in declared.params() if (section, name) not in in_the_bar and not freeze.hides(name)
                )
                if section == "ui":
                    for name in ("language", "notifications"):
                        gr.HTML(f"<div id='gesso_{name}'></div>", elem_classes=f"bare {name}")
                if section == "system":
                    gr.HTML(
                        "<h3>Models in memory</h3><div id='memory_parts' aria-live='polite'></div>",
                        elem_classes="bare memory-panel",
                    )
        with gr.Tab("Defaults", id="defaults", elem_id="settings_defaults"):
            defaults = gr.Column(elem_id="setting_defaults", elem_classes="settings-defaults")
        for name, title in PLACES.items():
            with gr.Tab(title, id=name, elem_id=f"settings_{name}"), gr.Column(elem_classes="settings-page"):
                gr.HTML(f"<section id='setting_{name}' aria-label='{title}'></section>", elem_classes="bare")
    restart.click(None, None, None, js=calls("restart"), **QUIET)
    page = form_of(app, forms, "settings_shown")

    def save(data: Data, request: gr.Request) -> Shown:
        before = app.settings.current
        try:
            app.access.require_admin(owner_of(request))
            after = app.settings.change(page.changed(data))
        except WebuiError as error:
            return {notice: notices.failure(error)}
        old = before.options()
        changed = [key for key, value in after.options().items() if value != old[key]]
        if not changed:
            return {notice: notices.done("No settings were changed."), **page.shown(after)}
        sentence = f"{len(changed)} setting{'s' if len(changed) > 1 else ''} changed: {', '.join(changed)}."
        if any(_takes_effect_later(key) for key in changed):
            sentence += " Restart to apply all of them."
        return {notice: notices.done(sentence), **page.shown(after)}

    apply.click(save, {*page.components}, [notice, *page.components], **QUIET)
    return SettingsPane(defaults, page)


def _bar() -> tuple[Component, Component]:
    """The bar at the top -> Apply, Restart."""
    with gr.Row(elem_id="settings_bar", elem_classes="settings-bar", equal_height=True):
        apply = gr.Button("Apply settings", variant="primary", elem_id="settings_submit", scale=0, min_width=140)
        restart = gr.Button("Restart", elem_id="settings_restart", scale=0, min_width=100)
        gr.HTML(
            "<input id='settings_search' type='search' placeholder='Search in all settings' "
            "aria-label='Search in all settings' autocomplete='off'>",
            elem_classes="bare search",
        )
        every = gr.Button("Show all pages", elem_id="settings_show_all_pages", scale=0, min_width=140)
    every.click(None, None, None, js=calls("showAllSettings"), **QUIET)
    return apply, restart


def _takes_effect_later(key: str) -> bool:
    section, name = Settings.keys()[key]
    return Settings.sections()[section].params()[name].restart
