"""What says where the regions are, and the frame that they are drawn in; the rest follows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui.server.ui.controls import Controls
from webui.server.ui.drawing import drawn

if TYPE_CHECKING:
    from webui.app import App

REGIONS = "regions"


def panel(_app: App, form: Controls) -> None:
    """Lay out the controls."""
    form.add("mode")
    form.add(REGIONS)
    drawn(form, REGIONS)
