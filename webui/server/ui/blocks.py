"""The page's root. Gradio looks into the signatures of its components, and describes all of them, over and over."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace

import gradio as gr
from gradio import blocks as gradio_blocks
from gradio import component_meta, queueing
from gradio.blocks import Block
from gradio.components import base


class PageBlocks(gr.Blocks):  # type: ignore[misc]
    """A page of more than a thousand components, built in less than half the time; else what `gr.Blocks` is."""

    def __init__(self, **options: object) -> None:
        remember_signatures()
        with quick():
            super().__init__(**options)

    def __exit__(self, *error: object) -> None:
        with quick():
            super().__exit__(*error)

    def get_config_file(self) -> dict[str, object]:
        """What a browser is told of the page; {} while its block ends: Gradio asks there, for nobody."""
        ending = not getattr(self, "exited", True)
        return {} if ending else dict(super().get_config_file())


@contextmanager
def quick() -> Iterator[None]:
    """Within it a `gr.Blocks` begins and ends without an app, and with a queue that rests.

    Gradio makes an app of 80 routes each time, and another one when the page is mounted: that one serves.
    """
    real = gradio_blocks.App
    gradio_blocks.App = SimpleNamespace(create_app=lambda *_blocks, **_options: None)
    gradio_blocks.queueing = SimpleNamespace(Queue=RestingQueue)
    try:
        yield
    finally:
        gradio_blocks.App, gradio_blocks.queueing = real, queueing


class RestingQueue(queueing.Queue):  # type: ignore[misc]
    """Gradio's queue of events, which looks for new ones a thousand times a second as long as the server lives.

    That costs a fifteenth of a core. This one looks as often while events come, and less and less often when none do.
    """

    LONGEST = 0.02
    """Seconds until it looks again."""
    _last = 0.0
    """When the last event came."""

    async def push(self, *event: object, **options: object) -> object:
        self._last = time.monotonic()
        return await super().push(*event, **options)

    @property
    def sleep_when_free(self) -> float:
        """Seconds until it looks again: a hundredth of the time in which nothing has come."""
        return max(self._shortest, min((time.monotonic() - self._last) / 100, self.LONGEST))

    @sleep_when_free.setter
    def sleep_when_free(self, seconds: float) -> None:
        self._shortest = seconds


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
