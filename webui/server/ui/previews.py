"""A small picture of what a form would make, drawn as its settings change: never faster than the answers come."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from starlette.concurrency import run_in_threadpool

from webui.base.errors import WebuiError
from webui.jobs.extras.request import Extras
from webui.request.messages import AsidePicture, AsideResult
from webui.server.jobs.asides import Superseded
from webui.server.previews import awaited
from webui.server.ui import notices
from webui.server.ui.components import Component, Data
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.visitors import owner_of, upload

if TYPE_CHECKING:
    from webui.app import App

REMEMBERED = 64
NOTHING_YET = "Nothing changes yet: choose an upscaler, or a split, a crop or a copy below."


class Uploaded:
    """The names in the store of the files that visitors' forms hold: each is read once, not at each movement of a
    slider. Belongs to no thread: at worst a file is read twice."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._names: OrderedDict[tuple[str, int, int], str] = OrderedDict()

    def name_of(self, path: str) -> str:
        """
        Raises:
            UserError, StorageError: it is no picture, or cannot be kept.
        """
        stat = Path(path).stat()
        key = (path, stat.st_size, stat.st_mtime_ns)
        name = self._names.get(key, "")
        if not self._app.catalog.uploads.has(name):
            name = self._names[key] = upload(self._app, path)
            while len(self._names) > REMEMBERED:
                self._names.popitem(last=False)
        return name


Asked = Future[AsideResult]
Ask = Callable[[Data, Uploaded, str], "Asked | str"]
"""(values, uploaded files, key) -> what was asked of the engine under this key, or what is said instead. It may raise
WebuiError."""


def draws(
    app: App,
    place: Component,
    watched: Collection[Component],
    ask: Ask,
    name: str,
    beside: Collection[Component] = (),
) -> None:
    """Show in `place` what `ask` asks for, whenever one of the `watched` components changes; those `beside` are
    read with them. name: of what is drawn, another in each place of the page."""
    uploaded = Uploaded(app)

    async def show(data: Data, request: gr.Request) -> object:
        key = f"page/{owner_of(request)}/{request.session_hash}/{name}"
        try:
            answer = await run_in_threadpool(ask, data, uploaded, key)
            if isinstance(answer, str):
                return answer
            return markup(await awaited(app.queue.asides, key, answer, request.request.is_disconnected))
        except Superseded:
            return gr.skip()
        except WebuiError as error:
            return notices.failure(error)

    changed = [component.change for component in watched]
    gr.on(changed, show, {*watched, *beside}, place, trigger_mode="always_last", **QUIET)


def shows_preview(
    app: App,
    controls: Controls,
    place: Component,
    pictures: Collection[Component],
    picture_of: Callable[[Data], str | None],
) -> None:
    """Show in `place` what the form would make of the picture whose file `picture_of` finds, whenever one of them
    changes. `pictures`: the components that it looks at."""

    def ask(data: Data, uploaded: Uploaded, key: str) -> Asked | str:
        path = picture_of(data)
        if not path:
            return ""
        wish = Extras.made(**controls.values(data))
        if not wish.changes_pictures:
            return _remark(NOTHING_YET)
        return app.queue.asides.ask(key, wish.changed(images=(uploaded.name_of(path),)))

    draws(app, place, (*controls.components, *pictures), ask, "extras")


def markup(made: AsideResult) -> str:
    """The pictures with the sizes that they stand for, the poses in them for the pose editor, and what is to be said of
    them."""
    figures = "".join(_figure(picture, number) for number, picture in enumerate(made.pictures, 1))
    remarks = "".join(_remark(sentence) for sentence in made.comments)
    count = " several" if len(made.pictures) > 1 else ""
    poses = "" if made.poses is None else f" data-poses='{escape(json.dumps(made.poses.json))}'"
    return f"<section class='gesso-preview{count}' aria-label='Preview'{poses}>{figures}</section>{remarks}"


def _figure(picture: AsidePicture, number: int) -> str:
    size = f"{picture.width}x{picture.height}"
    content = base64.b64encode(picture.webp).decode()
    image = f"<img alt='Preview {number}: {size}' src='data:image/webp;base64,{content}'>"
    return f"<figure>{image}<figcaption>Preview, {size}</figcaption></figure>"


def _remark(sentence: str) -> str:
    return f"<p class='preview-says'>{escape(sentence)}</p>"
