"""The page: the bar, the tabs of the registry, and what connects them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import gradio as gr

from webui import entry_points, registry
from webui.base.errors import ExtensionError
from webui.base.fence import fenced, told_of
from webui.entry_points import blamed
from webui.registry import TabEntry
from webui.request.jobs import request_classes
from webui.request.live_settings import live_settings
from webui.request.params import help_of
from webui.request.settings import Settings
from webui.server.ui import notices, theme
from webui.server.ui.blocks import PageBlocks
from webui.server.ui.components import Component, Data, Shown, Update, Updates
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.defaults import defaults_page
from webui.server.ui.greyed import Looks, grey_out
from webui.server.ui.native_size import Sizes, follow_checkpoint
from webui.server.ui.order import tabs_of
from webui.server.ui.quicksettings import Quicksettings, SettingsForm, broken_things, quicksettings
from webui.server.ui.remembering import RECALL, connect_remembering
from webui.server.ui.script import calls
from webui.server.ui.styles import styles_dialog
from webui.server.ui.wiring import ExtrasPane, FormPane, Pane, SettingsPane, connect

if TYPE_CHECKING:
    from webui.app import App

TITLE = "Gesso"
MOST_BROKEN = 40
"""So many broken parts of installed packages are named when the page opens."""
CACHE_SECONDS = (3600, 86400)
"""How often Gradio's copies of pictures are looked through, and how old they get."""


def build(app: App) -> Component:
    """The page as Gradio blocks, for `gr.mount_gradio_app` with `mount_options`."""
    app.catalog.problems.found(entry_points.KIND, registry.problems())
    with PageBlocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as page:
        bar = quicksettings(app)
        panes = {}
        with gr.Tabs(elem_id="tabs"):
            for entry in tabs_of(registry.tabs(), app.settings.current.ui):
                with gr.Tab(entry.name, id=entry.elem_id, elem_id=entry.elem_id):
                    panes[entry.name] = _built(app, entry)
        forms = [pane for pane in panes.values() if isinstance(pane, Pane)]
        standing = [bar, *(pane.form for pane in panes.values() if isinstance(pane, SettingsPane))]
        connect(app, panes)
        styles_dialog(app, forms)
        connect_remembering(app, panes.values())
        for settings in (pane for pane in panes.values() if isinstance(pane, SettingsPane)):
            with settings.defaults:
                defaults_page(app, [pane for pane in panes.values() if isinstance(pane, Pane | ExtrasPane)])
        lists = [pane.controls for pane in panes.values() if isinstance(pane, Pane | ExtrasPane | FormPane)]
        sizes = follow_checkpoint(app, bar, forms)
        looks = grey_out(app, bar, forms)
        _arrives(app, page, bar, standing, lists, sizes, looks)
    built: Component = page
    return built


def _built(app: App, entry: TabEntry) -> object:
    """What a tab's function makes; where a package's fails, the tab says so."""
    if not entry.origin:
        return registry.resolved(entry.code)(app)

    def broken(error: Exception) -> None:
        app.note_broken(entry.origin, f"tab {entry.name}", error)
        half.visible = False
        gr.HTML(notices.failure(blamed(error) or ExtensionError(entry.origin, told_of(error))))

    with fenced(broken), gr.Column() as half:
        return registry.resolved(entry.code)(app)
    return None


def mount_options(app: App, page: gr.Blocks) -> dict[str, object]:
    """What `gr.mount_gradio_app` is to be told beside the page that was built."""
    return {
        "theme": theme.theme(app.settings.current.ui.gradio_theme, app.paths.themes, app.catalog.problems),
        "head": theme.head(_facts(app, page)),
        "favicon_path": str(theme.FAVICON),
        "footer_links": [],
        "run_history": False,
        "show_error": True,
        "max_file_size": "128mb",
    }


def _arrives(
    app: App,
    page: Component,
    bar: Quicksettings,
    standing: list[SettingsForm],
    lists: list[Controls],
    sizes: Sizes,
    looks: Looks,
) -> None:
    """Much changes while the page stands: when somebody opens it, one event brings what was built at start up to date.

    Until then nothing is generated: it would be with values that nobody sees.
    """

    def load(data: Data) -> Shown:
        settings = app.settings.current
        title = settings.render.sd_model_checkpoint
        found: Updates = {}
        for form in standing:
            found |= form.shown(settings)
        for updates in (*(controls.refreshed() for controls in lists), sizes.fitted(title, data), looks.now(title)):
            for component, update in updates.items():
                found[component] = {**found.get(component, {}), **update}
        broken = broken_things(app, (entry_points.KIND,), MOST_BROKEN)
        news: Shown = {one: update for one, wished in found.items() if (update := _news(one.get_config(), wished))}
        # Gradio takes an empty answer for one that lacks values.
        return {bar.notice: broken or gr.update(), **news}

    listed = [component for controls in lists for component in controls.refreshed()]
    # Once each, whatever brings it up to date.
    current = [component for form in standing for component in form.components]
    shown = list(dict.fromkeys([*current, *listed, *sizes.fields, *looks.affected, bar.notice]))
    page.load(load, {*sizes.fields}, shown, **QUIET).then(None, None, None, js=calls("settled"), **QUIET)


def _news(built: Mapping[str, object], wished: Update) -> Update:
    """What of an update a page does not begin with anyway; {}: nothing. The browser looks through all components for
    each value that it is given.
    """
    changed = {name: value for name, value in wished.items() if name not in built or built[name] != _sent(name, value)}
    return changed if changed.keys() - {"__type__"} else {}


def _sent(name: str, value: object) -> object:
    """A property as Gradio sends it: choices are pairs."""
    if name == "choices" and isinstance(value, list):
        return [one if isinstance(one, tuple) else (one, one) for one in value]
    return value


def _facts(app: App, page: gr.Blocks) -> dict[str, object]:
    """What the page's scripts are to know."""
    blocks = [block for block in page.blocks.values() if getattr(block, "elem_id", None)]
    tabs = [block for block in blocks if isinstance(block, gr.Tab)]
    return {
        "version": app.version,
        "theme": app.flags.theme,
        "tabs": {tab.elem_id: {"bar": tab.parent.elem_id or "", "title": tab.label} for tab in tabs},
        "forms": [block.elem_id.removesuffix(RECALL) for block in blocks if block.elem_id.endswith(RECALL)],
        "logins": app.access.required,
        **live_settings(app.settings.current),
        "help": {
            f"{kind}_{name}": text
            for kind, declared in request_classes().items()
            for name in declared.offered()
            if (text := help_of(declared, name))
        }
        | {f"setting_{key}": f"No effect: {why}" for key, why in Settings.without_effect().items()},
    }
