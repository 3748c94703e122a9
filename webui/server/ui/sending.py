"""What goes from one pane to another: a pane declares what it receives and what it sends, and the buttons follow.

A new tab that receives pictures has its button in all places that show pictures, without being named in any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.catalog.image_files import size_of
from webui.catalog.pictures import SavedPicture, shown
from webui.server.ui import notices
from webui.server.ui.components import Component
from webui.server.ui.controls import QUIET
from webui.server.ui.script import calls
from webui.server.ui.toprow import tool_button

if TYPE_CHECKING:
    from webui.app import App

Kind = Literal["picture", "parameters", "mask"]
"""A picture's file; what a picture was made with; a picture's file whose white areas say where another may change."""
PICTURE: Kind = "picture"
PARAMETERS: Kind = "parameters"
MASK: Kind = "mask"
AS_PICTURE: frozenset[Kind] = frozenset((PICTURE, MASK))
"""What can be sent wherever a picture is shown: any may serve as a mask."""


@dataclass(frozen=True)
class Sent:
    """What is sent: a file, and what it says of itself."""

    picture: bytes
    """Its file; b"": none."""
    name: str
    """Of the file."""
    infotext: str
    made: SavedPicture | None = None
    """The picture of ours that it is; None: a file that somebody dropped in."""


Take = Callable[..., Mapping[Component, object]]
"""(what is sent, the request, values of the receiver's `asked`) -> what a receiver shows then. It may raise
WebuiError."""


@dataclass(frozen=True)
class Receiver:
    """A place that something can be sent to."""

    name: str
    """Ends the buttons' ids: "inpaint"."""
    title: str
    """What the buttons say: "Send picture and parameters to Inpaint"."""
    icon: str
    takes: frozenset[Kind]
    tab: str
    shows: tuple[Component, ...]
    """The components that `take` may change."""
    take: Take
    place: str = ""
    """The sub-tab's id; "": there is none."""
    holds: Component | None = None
    """Where its picture stands: nothing is sent to where it comes from."""
    words: str = ""
    """What buttons with words say, where that is not "Send to NAME"."""
    asked: tuple[Component, ...] = ()
    """Components whose values say what it does with what is sent."""

    @property
    def short(self) -> str:
        return self.words or f"Send to {self.name}"


@dataclass(frozen=True)
class Sender:
    """A place from which something can be sent: `row` is where its buttons go."""

    sends: frozenset[Kind]
    row: Component
    button: Callable[[Receiver], Component]
    """Makes a button for a receiver, in the layout."""
    given: tuple[Component, ...]
    gathered: Callable[..., Sent]
    """(owner, values of `given`) -> what is sent. It may raise WebuiError."""
    notice: Component
    """Says why nothing could be sent."""
    script: Callable[[Receiver], str]
    """Opens the receiver's tab first, in the browser: an answer that comes late must pull nobody away from another."""
    holds: Component | None = None


@dataclass(frozen=True)
class Sending:
    """What a pane receives and sends."""

    receives: tuple[Receiver, ...] = ()
    sends: tuple[Sender, ...] = field(default=())


def connect_all(panes: Iterable[Sending]) -> None:
    """Give each sender a button for each receiver that takes any of what it sends."""
    panes = list(panes)
    receivers = [receiver for pane in panes for receiver in pane.receives]
    for sender in (sender for pane in panes for sender in pane.sends):
        with sender.row:
            for receiver in receivers:
                if sender.sends & receiver.takes and not (sender.holds is not None and sender.holds is receiver.holds):
                    _connect(sender, receiver)


def _connect(sender: Sender, receiver: Receiver) -> None:
    def send(request: gr.Request, *given: object) -> Mapping[Component, object]:
        try:
            sent = sender.gathered(str(request.username or ""), *given[: len(sender.given)])
            taken = receiver.take(sent, request, *given[len(sender.given) :])
            return {sender.notice: gr.update(), **taken}  # Gradio takes an empty answer for one that lacks values.
        except WebuiError as error:
            return {sender.notice: notices.failure(error)}

    shown = list(dict.fromkeys((*receiver.shows, sender.notice)))
    sender.button(receiver).click(send, [*sender.given, *receiver.asked], shown, js=sender.script(receiver), **QUIET)


def sends_shown_picture(
    app: App,
    tab: str,
    row: Component,
    picked: Component,
    notice: Component,
    *,
    sends: frozenset[Kind] = AS_PICTURE,
    **look: Any,
) -> Sender:
    """The finished picture that a tab shows: `picked` carries its number. `look` is that of the buttons."""

    def button(receiver: Receiver) -> Component:
        return tool_button(receiver.icon, receiver.title, f"{tab}_send_to_{receiver.name}", **look)

    def gathered(owner: str, picture_id: str) -> Sent:
        saved, content, name = finished(app, picture_id, owner)
        return Sent(content, name, saved.infotext, saved)

    def script(receiver: Receiver) -> str:
        return calls("results.send", tab, receiver.tab, receiver.place)

    return Sender(sends, row, button, (picked,), gathered, notice, script)


def opens(receiver: Receiver) -> str:
    """A script that opens a receiver's tab, and hands on what the event brings."""
    return calls("openSubTab", receiver.tab, receiver.place) if receiver.place else calls("openTab", receiver.tab)


def finished(app: App, picture_id: str, owner: str) -> tuple[SavedPicture, bytes, str]:
    """A finished picture, or a sheet that comes with one, its file's bytes, and a name for the file.

    Raises:
        NotFound: there is none of this number, it is somebody else's, or its file is gone.
    """
    if not picture_id:
        raise NotFound("There is no picture yet.", hint="Press Generate first.")
    own, _, extra = picture_id.partition(".")
    saved = app.catalog.pictures.get(own)
    if app.access.required and saved.owner != owner and not app.access.oversees(owner):
        raise NotFound(f"You have no picture {picture_id!r}.")
    saved, content, kind = shown(app.catalog.pictures, picture_id)
    if extra:
        width, height = size_of(content)
        return replace(saved, width=width, height=height), content, f"{saved.seed}-{extra}"
    return saved, content, Path(saved.path).name or f"{saved.seed}.{kind}"
