"""The order of a form's parts and of the page's tabs, as people want them (A1111's settings of these names)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import gradio as gr

from webui.registry import TabEntry
from webui.request.settings import UiSettings

T = TypeVar("T")

Parts = Mapping[str, Callable[[], object]]
"""What lays out each part of a form, by A1111's name of it, in the usual order."""


def ordered(usual: Sequence[T], wanted: Iterable[T]) -> list[T]:
    """What is wanted moves to the front, in that order, as far as its place there is; the rest stays where it is.

    As A1111 has it: the n-th of the wanted comes after the n-th of the usual ones.
    """
    rank: dict[T, int] = {}
    for place, one in enumerate(wanted):
        rank.setdefault(one, 2 * place + 1)
    places = {one: rank.get(one, 2 * place) for place, one in enumerate(usual)}
    return sorted(usual, key=lambda one: places[one])


def lay_out(parts: Parts, wanted: Iterable[str]) -> None:
    """Lay out all parts of a form, here in the layout; names that are no part's are passed over."""
    for name in ordered(list(parts), (one.strip() for one in wanted)):
        parts[name]()


def form_frame(tab: str, in_accordion: bool) -> AbstractContextManager[object]:
    """What all parts of a form stand in."""
    if not in_accordion:
        return nullcontext()
    frame: AbstractContextManager[object] = gr.Accordion(
        "Settings", open=False, elem_id=f"{tab}_settings_accordion", elem_classes="fold"
    )
    return frame


def tabs_of(entries: Sequence[TabEntry], ui: UiSettings) -> list[TabEntry]:
    """The page's tabs: those that are named first, the others behind them, without the hidden ones; all of them where
    that would leave none."""
    place = {name: number for number, name in enumerate(ui.ui_tab_order)}
    found = sorted(entries, key=lambda entry: place.get(entry.name, len(place)))
    return [entry for entry in found if entry.name not in ui.hidden_tabs] or found
