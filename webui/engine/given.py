"""What the code of installed packages gives to the engine: where it is not what was meant, its package is named."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

from webui.entry_points import expected, unexpected

A = TypeVar("A")
E = TypeVar("E")


def tensor_like(value: Tensor, like: Tensor, giver: object, what: str) -> Tensor:
    """The tensor, where it has the shape of another. `giver` and `what` as `expected` takes them, which says what is
    raised."""
    expected(value, Tensor, giver, what)
    if value.shape != like.shape:
        shapes = f"{tuple(value.shape)}, and not of {tuple(like.shape)}"
        raise unexpected(giver, f"{what} returned a tensor of the shape {shapes}.")
    return value


def gives_tensor(
    ask: Callable[[A], Tensor], like: Callable[[A], Tensor], giver: object, what: str
) -> Callable[[A], Tensor]:
    """The function, whose answers are looked at. like: what it is given -> a tensor of the shape that is meant."""

    @wraps(ask)
    def asked(given: A) -> Tensor:
        return tensor_like(ask(given), like(given), giver, what)

    return asked


def levels(value: Tensor, giver: object, what: str) -> Tensor:
    """Noise levels, (n,)."""
    expected(value, Tensor, giver, what)
    if value.ndim != 1 or not torch.is_floating_point(value):
        told = f"{value.dtype} of the shape {tuple(value.shape)}"
        raise unexpected(giver, f"{what} returned a tensor of {told}, not a row of noise levels.")
    return value


def each(values: Iterable[E], kinds: tuple[type, ...], giver: object, what: str) -> Generator[E]:
    """What a piece of work gives out, one after the other; it is ended with this."""
    expected(values, Iterable, giver, what)
    try:
        for value in values:
            yield expected(value, kinds, giver, what)
    finally:
        if isinstance(values, Iterator) and hasattr(values, "close"):
            values.close()
