"""The page's root. Gradio looks into the signatures of its components, and describes all of them, over and over."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace

import gradio as gr
from gradio import blocks as gradio_blocks
from gradio import component_meta
from gradio.blocks import Block
from gradio.components import base


class PageBlocks(gr.Blocks):  # type: ignore[misc]
    """A page of more than a thousand components, built in less than half the time; else what `gr.Blocks` is."""

    def __init__(self, **options: object) -> None:
        remember_signatures()
        with no_app():
            super().__init__(**options)

    def __exit__(self, *error: object) -> None:
        with no_app():
            super().__exit__(*error)

    def get_config_file(self) -> dict[str, object]:
        """What a browser is told of the page; {} while its block ends: Gradio asks there, for nobody."""
        ending = not getattr(self, "exited", True)
        return {} if ending else dict(super().get_config_file())


@contextmanager
def no_app() -> Iterator[None]:
    """Within it a `gr.Blocks` begins and ends without an app.

    Gradio makes one of 80 routes each time, and another one when the page is mounted: that one serves.
    """
    real = gradio_blocks.App
    gradio_blocks.App = SimpleNamespace(create_app=lambda *_blocks, **_options: None)
    try:
        yield
    finally:
        gradio_blocks.App = real


def remember_signatures() -> None:
    """Write down what Gradio works out anew each time that it makes, describes or updates a component.

    These are: the signature of its class, where `inspect` looks for it first (PEP 362), the names of its arguments, and
    which of its methods the browser may call (of some 150 attributes).
    """
    for cls in _kinds_of(Block):
        made = inspect.unwrap(cls.__dict__["__init__"])
        if "__signature__" not in vars(made):
            made.__signature__ = inspect.signature(made)
    component_meta.inspect = _Remembered
    vars(base)["dir"] = server_functions


class _Remembered:
    """`inspect`, as `gradio.component_meta` uses it."""

    getfullargspec = staticmethod(cache(inspect.getfullargspec))
    getfile = staticmethod(inspect.getfile)


@cache
def server_functions(cls: type) -> list[str]:
    return [name for name in dir(cls) if getattr(getattr(cls, name, None), "_is_server_fn", False)]


def _kinds_of(cls: type) -> Iterator[type]:
    if "__init__" in cls.__dict__:
        yield cls
    below: list[type] = cls.__subclasses__()
    for kind in below:
        yield from _kinds_of(kind)
