"""Buttons that send follow from what panes receive: whoever adds a place that takes pictures names it nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr

from webui.base.errors import NotFound
from webui.server.ui.parts import FIRST_FREE, taking
from webui.server.ui.sending import PARAMETERS, PICTURE, Kind, Receiver, Sender, Sending, Sent, connect_all, opens

SENT = Sent(b"picture", "a.png", "a cat")


def receiver(name: str, *takes: Kind, holds: Any = None) -> Receiver:
    shown = gr.Textbox(label=name)
    return Receiver(
        name, f"Send to {name}", "image", frozenset(takes), name, (shown,),
        lambda sent, _request: {shown: sent.name}, holds=holds,
    )  # fmt: skip


def sender(notice: Any, *sends: Kind, holds: Any = None, gathered: Any = lambda _owner: SENT) -> Sender:
    with gr.Row() as row:
        pass
    return Sender(
        frozenset(sends), row, lambda to: gr.Button(to.title), (), gathered, notice, opens, holds=holds
    )  # fmt: skip


def sends(row: Any) -> list[str]:
    return [button.value for button in row.children]


def built(make: Any) -> Any:
    async def build() -> Any:
        with gr.Blocks() as page:
            return make(), page

    return asyncio.run(build())  # Gradio asks for an event loop, and would leave one of its own open.


def test_each_sender_has_a_button_for_all_that_take_what_it_sends_and_none_for_where_it_stands() -> None:
    def make() -> list[Any]:
        notice, own = gr.HTML(), gr.Image()
        form = receiver("form", PARAMETERS)
        gallery = sender(notice, PICTURE)
        looked_at = sender(notice, PICTURE, PARAMETERS, holds=own)
        connect_all(
            [
                Sending((form,), (gallery,)),
                Sending((receiver("place", PICTURE, PARAMETERS),)),
                Sending((receiver("look", PICTURE, holds=own),), (looked_at,)),
            ]
        )
        return [sends(gallery.row), sends(looked_at.row)]

    (gallery, looked_at), _ = built(make)
    assert gallery == ["Send to place", "Send to look"]
    assert looked_at == ["Send to form", "Send to place"]


def test_a_place_is_given_what_it_asks_for_besides() -> None:
    def make() -> tuple[Any, Receiver]:
        notice, which, shown = gr.HTML(), gr.Textbox(), gr.Textbox()
        place = Receiver(
            "place", "Send to place", "image", frozenset((PICTURE,)), "place", (shown,),
            lambda sent, _request, chosen: {shown: f"{sent.name} in {chosen}"}, asked=(which,),
        )  # fmt: skip
        connect_all([Sending((place,), (sender(notice, PICTURE),))])
        return notice, place

    (notice, place), page = built(make)
    (send,) = [event.fn for event in page.fns.values()]
    assert send(gr.Request(), "unit 2") == {place.shows[0]: "a.png in unit 2", notice: gr.update()}


def test_a_picture_goes_to_the_chosen_unit_or_the_first_free_one() -> None:
    assert taking("Unit 2", ["a", "b", "c"]) == 2
    assert taking(FIRST_FREE, ["a", None, None]) == 1
    assert taking(FIRST_FREE, [None, "b"]) == taking(FIRST_FREE, ["a", "b"]) == taking("nonsense", ["a"]) == 0


def test_a_press_shows_what_was_sent_or_says_why_not() -> None:
    def make() -> tuple[Any, Receiver]:
        notice = gr.HTML()
        place = receiver("place", PICTURE)

        def gone(_owner: str) -> Sent:
            raise NotFound("It is gone.")

        connect_all([Sending((place,), (sender(notice, PICTURE), sender(notice, PICTURE, gathered=gone)))])
        return notice, place

    (notice, place), page = built(make)
    request = gr.Request(username="anna")
    fine, failed = [event.fn for event in page.fns.values()]
    assert fine(request) == {place.shows[0]: "a.png", notice: gr.update()}
    assert "It is gone." in failed(request)[notice]
