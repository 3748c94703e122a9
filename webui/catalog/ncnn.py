"""Real-ESRGAN's networks as ncnn keeps them: a .param file that lists the layers, a .bin file with their numbers.

The format: github.com/Tencent/ncnn/wiki/param-and-model-file-structure. A layer is a line `type name inputs outputs`,
the names of both, then `key=value` pairs; a convolution's 0 is its number of outputs, 1 the side of its kernel, 5
whether there is a bias, 6 how many weights there are. Weights begin with a mark of their type; biases and slopes do
not, and are of 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from webui.base.errors import ModelError

Array: TypeAlias = NDArray[np.float32]

HALF = 0x01306B47
"""The mark of weights of 16 bits; 0: of 32."""
MAGIC = "7767517"
MOST = 2**28
"""Numbers in one layer; no network here comes near it."""
AROUND = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
"""What stands behind the blocks of an RRDB network, in order."""
A_BLOCK = 15
"""Convolutions in one of them."""


def network(param: str, numbers: bytes) -> dict[str, NDArray[np.float16]]:
    """The weights under the names that Real-ESRGAN's own files have, in 16 bits.

    Raises:
        ModelError: these are no such files, or they are cut short.
    """
    layers = list(_layers(param, numbers))
    kinds = [kind for kind, _, _ in layers]
    if kinds and set(kinds) == {"Convolution"} and (len(layers) - 1 - len(AROUND)) % A_BLOCK == 0:
        names = list(_dense_names((len(layers) - 1 - len(AROUND)) // A_BLOCK))
    elif kinds and kinds == [("Convolution", "PReLU")[place % 2] for place in range(len(kinds))]:
        names = [f"body.{place}" for place in range(len(layers))]
    else:
        raise ModelError("This is not one of Real-ESRGAN's networks.")
    found: dict[str, Array] = {}
    for name, (_, weight, bias) in zip(names, layers, strict=True):
        found[f"{name}.weight"] = weight
        if bias is not None:
            found[f"{name}.bias"] = bias
    return {name: values.astype(np.float16) for name, values in found.items()}


def _dense_names(blocks: int) -> Iterator[str]:
    yield "conv_first"
    for block in range(blocks):
        for dense in (1, 2, 3):
            yield from (f"body.{block}.rdb{dense}.conv{number}" for number in range(1, 6))
    yield from AROUND


def _layers(param: str, numbers: bytes) -> Iterator[tuple[str, Array, Array | None]]:
    """(type, weight, bias) of each layer that has numbers."""
    lines = param.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise ModelError("The list of layers is not ncnn's.")
    reader = _Reader(numbers)
    for line in lines[2:]:
        kind, values = _layer(line)
        if kind == "Convolution":
            out, side, count = (_count(values, key) for key in ("0", "1", "6"))
            into, rest = divmod(count, out * side * side)
            if rest:
                raise ModelError("The weights of a convolution have no valid shape.")
            weight = reader.marked(count).reshape(out, into, side, side)
            yield kind, weight, reader.plain(out) if values.get("5") == "1" else None
        elif kind == "PReLU":
            yield kind, reader.plain(_count(values, "0")), None
    if reader.left:
        raise ModelError("The file contains more numbers than the layers need.")


def _layer(line: str) -> tuple[str, Mapping[str, str]]:
    words = line.split()
    if len(words) < 4 or not (words[2].isdecimal() and words[3].isdecimal()):
        return "", {}
    pairs = (word.partition("=") for word in words[4 + int(words[2][:4]) + int(words[3][:4]) :])
    return words[0], {key: value for key, _, value in pairs}


def _count(values: Mapping[str, str], key: str) -> int:
    text = values.get(key, "")
    if not (text.isdecimal() and len(text) < 10 and 0 < int(text) <= MOST):
        raise ModelError("A layer has no size.")
    return int(text)


class _Reader:
    def __init__(self, numbers: bytes) -> None:
        self._numbers, self._at = numbers, 0

    @property
    def left(self) -> int:
        """Bytes."""
        return len(self._numbers) - self._at

    def marked(self, count: int) -> Array:
        """Weights, by the mark before them; in 16 bits they are filled up to whole words."""
        mark = int.from_bytes(self._take(4), "little")
        if mark == HALF:
            return np.frombuffer(self._take(-(-2 * count // 4) * 4), "<f2", count).astype(np.float32)
        if mark == 0:
            return self.plain(count)
        raise ModelError(f"Weights of the type {mark:#x} are not supported.")

    def plain(self, count: int) -> Array:
        return np.frombuffer(self._take(4 * count), "<f4", count).astype(np.float32)

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise ModelError("The file of numbers is incomplete.")
        found = self._numbers[self._at : self._at + size]
        self._at += size
        return found
