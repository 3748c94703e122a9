"""Regions that are drawn on the page: a text field of a form that `assets/regions.js` lays its editor over."""

from __future__ import annotations

from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.script import calls


def drawn(form: Controls, name: str) -> None:
    """What comes into this text field by other ways than the editor is shown there, too."""
    form[name].change(None, None, None, js=calls("regions", f"{form.prefix}_{name}"), **QUIET)
