"""The page's root. Gradio looks into the signatures of its components, and describes all of them, over and over."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import gradio as gr
from gradio.blocks import Block


class PageBlocks(gr.Blocks):  # type: ignore[misc]
    """A page of a thousand components, built in half the time; else what `gr.Blocks` is."""

    def __init__(self, **options: object) -> None:
        remember_signatures()
        super().__init__(**options)

    def get_config_file(self) -> dict[str, object]:
        """What a browser is told of the page; {} while its block ends.

        There Gradio makes an app that serves nobody, and asks twice. The one that serves is made when it is mounted.
        """
        ending = not getattr(self, "exited", True)
        return {} if ending else dict(super().get_config_file())


def remember_signatures() -> None:
    """Write down the signatures of Gradio's components where `inspect` looks for them first (PEP 362).

    Gradio asks for the one of a component's class when it makes, describes and updates the component, and each time
    `inspect` works it out anew.
    """
    for cls in _kinds_of(Block):
        made = inspect.unwrap(cls.__dict__["__init__"])
        if "__signature__" not in vars(made):
            made.__signature__ = inspect.signature(made)


def _kinds_of(cls: type) -> Iterator[type]:
    if "__init__" in cls.__dict__:
        yield cls
    below: list[type] = cls.__subclasses__()
    for kind in below:
        yield from _kinds_of(kind)
