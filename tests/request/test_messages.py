"""What goes between the processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from webui.request import messages


def classes_in(hint: Any, known: set[type]) -> Iterator[type]:
    """Classes of ours that a value of this type may be made of."""
    for inner in get_args(hint):
        yield from classes_in(inner, known)
    if isinstance(hint, type) and hint.__module__.startswith("webui.") and hint not in known:
        known.add(hint)
        yield hint
        if is_dataclass(hint) or hasattr(hint, "__annotations__"):
            for inner in get_type_hints(hint).values():
                yield from classes_in(inner, known)


def test_every_class_that_an_event_may_bring_is_read_by_the_server() -> None:
    found = set(classes_in(messages.Event, set()))
    assert messages.AsideResult in found and len(found) > 20
    assert {one.__module__ for one in found} == messages.EVENT_MODULES
