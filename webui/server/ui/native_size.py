"""Width and height follow the checkpoint: a model shows what it can at the size that it was trained at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import NotFound
from webui.request.params import default_of
from webui.server.ui.components import Data, Shown, Updates, number_in, text_in
from webui.server.ui.controls import QUIET
from webui.server.ui.quicksettings import Quicksettings
from webui.server.ui.wiring import Pane

if TYPE_CHECKING:
    from webui.app import App

Size = tuple[int, int]


class Sizes:
    """Widths and heights of the forms. A form's default size, or a checkpoint's own, was chosen by nobody."""

    def __init__(self, app: App, forms: list[Pane]) -> None:
        self._app, self._forms = app, forms
        self._defaults = [_default(app, pane) for pane in forms]
        self._sides = [(pane.controls["width"], pane.controls["height"]) for pane in forms]
        self.fields = [side for sides in self._sides for side in sides]

    def fitted(self, title: str, data: Data) -> Updates:
        """Updates for the sizes that nobody chose, to what this checkpoint likes; "" is the first checkpoint."""
        native = native_size(self._app, title)
        idle = {checkpoint.native_size for checkpoint in self._app.catalog.checkpoints.scan()}
        updates: Updates = {}
        for pane, default, (across, down) in zip(self._forms, self._defaults, self._sides, strict=True):
            width, height = native or default
            now = data[across], data[down]
            # What is right already is not sent: whoever types at this moment keeps what they typed.
            if now != (width, height) and (now == default or now in idle):
                updates |= pane.controls.show({"width": width, "height": height})[0]
        return updates

    def starting(self) -> Data:
        """The sizes as they are built."""
        sides = zip(self._sides, self._defaults, strict=True)
        return {field: side for fields, sizes in sides for field, side in zip(fields, sizes, strict=True)}


def follow_checkpoint(app: App, bar: Quicksettings, forms: list[Pane]) -> Sizes:
    """Forms whose size nobody chose take the checkpoint's own: from the first, and when another one is chosen."""
    sizes = Sizes(app, forms)
    title = app.settings.current.render.sd_model_checkpoint
    for component, update in sizes.fitted(title, sizes.starting()).items():
        component.value = update.get("value", component.value)
    chosen = bar.checkpoint
    if chosen is not None:

        def follow(data: Data) -> Shown:
            fitted = sizes.fitted(text_in(data[chosen]), data)
            return {**fitted} or {sizes.fields[0]: gr.skip()}  # Gradio takes no empty answer.

        chosen.input(follow, {chosen, *sizes.fields}, sizes.fields, **QUIET)
    return sizes


def native_size(app: App, title: str) -> Size | None:
    """What the checkpoint of this title says of its size; "" is the first checkpoint."""
    try:
        return app.catalog.checkpoints.find(title).native_size
    except NotFound:
        return None


def _default(app: App, pane: Pane) -> Size:
    saved = app.catalog.ui_defaults.values(pane.kind)
    declared = pane.controls.declared
    width, height = (number_in(saved.get(side, default_of(declared, side))) for side in ("width", "height"))
    return int(width), int(height)
