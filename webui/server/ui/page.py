"""The page: the bar, the tabs of the registry, and what connects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from webui import registry
from webui.request.jobs import JOBS
from webui.server.ui import theme
from webui.server.ui.controls import QUIET, Component, Controls
from webui.server.ui.greyed import grey_out
from webui.server.ui.native_size import follow_checkpoint
from webui.server.ui.quicksettings import Quicksettings, quicksettings
from webui.server.ui.styles import styles_dialog
from webui.server.ui.wiring import ExtrasPane, FormPane, Pane, connect

if TYPE_CHECKING:
    from webui.app import App

TITLE = "Gesso"
CACHE_SECONDS = (3600, 86400)
"""How often Gradio's copies of pictures are looked through, and how old they get."""


def build(app: App) -> Any:
    """The page as Gradio blocks, for `gr.mount_gradio_app` with `mount_options`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=CACHE_SECONDS) as page:
        bar = quicksettings(app)
        panes = {}
        with gr.Tabs(elem_id="tabs"):
            for entry in registry.tabs():
                with gr.Tab(entry.name, id=entry.elem_id, elem_id=entry.elem_id):
                    panes[entry.name] = registry.resolved(entry.code)(app)
        forms = [pane for pane in panes.values() if isinstance(pane, Pane)]
        connect(app, panes)
        styles_dialog(app, forms)
        lists = [pane.controls for pane in panes.values() if isinstance(pane, Pane | ExtrasPane | FormPane)]
        _loads(app, page, bar, lists)
        follow_checkpoint(app, page, bar, forms)
        grey_out(app, page, bar, forms)
    return page


def mount_options(app: App) -> dict[str, Any]:
    """What `gr.mount_gradio_app` is to be told beside the page."""
    return {
        "theme": theme.theme(),
        "css": theme.stylesheet(),
        "head": theme.head(_facts(app)),
        "favicon_path": str(theme.FAVICON),
        "footer_links": [],
        "run_history": False,
        "show_error": True,
        "max_file_size": "128mb",
    }


def _loads(app: App, page: Any, bar: Quicksettings, lists: list[Controls]) -> None:
    """Lists and settings change while the page stands: what was built at start is brought up to date on loading."""

    def load() -> dict[Component, Any]:
        found = bar.shown(app.settings.current)
        for controls in lists:
            found |= controls.refreshed()
        return found

    listed = [component for controls in lists for component in controls.refreshed()]
    page.load(load, None, [*bar.components, *listed], **QUIET)


def _facts(app: App) -> dict[str, object]:
    """What the page's scripts are to know."""
    ui = app.settings.current.ui
    return {
        "version": app.version,
        "theme": app.flags.theme,
        "tabs": {entry.elem_id: entry.name for entry in registry.tabs()},
        "counters": not ui.disable_token_counters,
        "precision": ui.keyedit_precision_attention,
        "help": {
            f"{kind}_{name}": info.description
            for kind, declared in JOBS.items()
            for name, info in declared.model_fields.items()
            if info.description
        },
    }
