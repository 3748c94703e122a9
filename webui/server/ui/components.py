"""What the page uses of Gradio's components, as types: Gradio makes its own ones' events at run time.

Updates are what `gr.update` gives; handlers whose inputs are a set get `Data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, Self, TypeAlias


class Event(Protocol):
    """Something that can happen to a component, to be wired to a function of Python or JavaScript."""

    def __call__(
        self, fn: Callable[..., object] | None, inputs: object, outputs: object, **options: object
    ) -> Wired: ...


class Wired(Protocol):
    """An event with its function."""

    then: Event


class Component(Protocol):
    """A component, or a block of the layout; what it has depends on its kind."""

    value: object
    visible: bool | str
    """Or "hidden"."""
    blur: Event
    change: Event
    click: Event
    focus: Event
    input: Event
    load: Event
    release: Event
    select: Event
    submit: Event

    def get_config(self) -> dict[str, object]:
        """What a browser is told of it, by name."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_error: object) -> None: ...


Make: TypeAlias = Callable[..., Component]
"""A class of Gradio's."""
Update: TypeAlias = dict[str, object]
"""What changes about a component, by name."""
Updates: TypeAlias = dict[Component, Update]
Shown: TypeAlias = dict[Component, object]
"""Updates, or plain values."""
Data: TypeAlias = Mapping[Component, object]
"""Component -> value."""


def text_in(value: object) -> str:
    """What a box, a list or a place for one file holds; "": nothing."""
    return value if isinstance(value, str) else ""


def number_in(value: object) -> float:
    """What a slider or a box for numbers holds; 0: nothing."""
    return value if isinstance(value, int | float) else 0


def all_in(value: object) -> list[str]:
    """What a list of which several can be chosen, or a place for several files, holds."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []
