"""Networks of TensorFlow Lite, read from their files.

The format: a FlatBuffer (flatbuffers.dev/internals) by tensorflow/lite/schema/schema.fbs. Weights may lie there without
their zeros: of a sparse tensor's dimensions, all are dense but the last, which has for each row where its numbers
begin, and in which column each of them lies; an operator DENSIFY fills in the zeros when the network runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from webui.base.errors import ModelError

Array: TypeAlias = NDArray[np.float32] | NDArray[np.int64]

MARK = b"TFL3"
FLOATS = {0: "<f4", 1: "<f2"}
INTEGERS = {2: "<i4"}
"""Type of a tensor -> of its numbers."""
WIDTHS = {1: "<i4", 2: "<u2", 3: "u1"}
"""Type of a list of places -> of one."""
MOST = 2**26
"""Numbers in one tensor."""


@dataclass(frozen=True)
class Operator:
    """One step of a network."""

    code: int
    """Its number in the schema."""
    inputs: tuple[int, ...]
    """Tensors; -1: an optional one that is not there."""
    outputs: tuple[int, ...]
    options: tuple[int, ...]
    """Its first eight options, each of one byte or four; what is not said is 0."""


@dataclass(frozen=True)
class Network:
    """A network's graph."""

    operators: tuple[Operator, ...]
    shapes: tuple[tuple[int, ...], ...]
    """One a tensor."""
    constants: dict[int, Array]
    """Tensors whose numbers are known, zeros and all: in 32 bits, or whole numbers."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> Network:
    """The network of a file.

    Raises:
        ModelError: it is none, it is cut short, or it is arranged in a way that is not known here.
    """
    if content[4:8] != MARK:
        raise ModelError("This is not a network of TensorFlow Lite.")
    try:
        return _Reader(content).network()
    except (struct.error, ValueError, IndexError, OverflowError, TypeError) as error:
        raise ModelError("The network's file is damaged.") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._bytes = content

    def network(self) -> Network:
        root = self._there(0)
        codes = [self._code(each) for each in self._tables(self._field(root, 1))]
        graph, self._buffers = self._tables(self._field(root, 2))[0], self._tables(self._field(root, 4))
        tensors = self._tables(self._field(graph, 0))
        shapes = tuple(self._ints(self._field(each, 0)) for each in tensors)
        constants = {}
        for place, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True)):
            if (numbers := self._constant(tensor, shape)) is not None:
                constants[place] = numbers
        operators = [self._operator(each, codes) for each in self._tables(self._field(graph, 3))]
        inputs, outputs = (self._ints(self._field(graph, field)) for field in (1, 2))
        return Network(tuple(operators), shapes, constants, inputs, outputs)

    def _operator(self, table: int, codes: list[int]) -> Operator:
        options: tuple[int, ...] = ()
        if field := self._field(table, 4):
            said = self._there(field)
            about = said - self._at("<i", said)
            ends = sorted({self._at("<H", at) for at in range(about + 4, about + self._at("<H", about), 2)})
            ends.append(self._at("<H", about + 2))
            options = tuple(self._option(self._field(said, number), said, ends) for number in range(8))
        return Operator(
            codes[self._number(table, 0)],
            self._ints(self._field(table, 1)),
            self._ints(self._field(table, 2)),
            options,
        )

    def _option(self, place: int, table: int, ends: list[int]) -> int:
        """Of four bytes, where so many are left before the next one; else of one."""
        if not place:
            return 0
        room = next((end for end in ends if end > place - table), place - table) - (place - table)
        return self._at("<i" if room >= 4 and place % 4 == 0 else "b", place)

    def _constant(self, tensor: int, shape: tuple[int, ...]) -> Array | None:
        data = self._field(self._buffers[self._number(tensor, 2)], 0)
        start, length = self._vector(data)
        if not length:
            return None
        if not 0 < np.prod(shape, dtype=np.float64) <= MOST:
            raise ModelError("A tensor of the network has no valid shape.")
        kind = self._field(tensor, 1)
        form = {**FLOATS, **INTEGERS}.get(self._at("b", kind) if kind else 0)
        if form is None:
            return None
        numbers = np.frombuffer(self._bytes[start : start + length], form)
        numbers = numbers.astype(np.float32 if form in FLOATS.values() else np.int64)
        if layout := self._field(tensor, 6):
            numbers = self._filled(numbers, self._there(layout), shape)
        found: Array = numbers.reshape(shape)
        return found

    def _filled(self, values: Array, layout: int, shape: tuple[int, ...]) -> Array:
        """(rows, columns): with the zeros that were left out."""
        if self._ints(self._field(layout, 0)) != tuple(range(len(shape))) or self._ints(self._field(layout, 1)):
            raise ModelError("The network's weights are arranged in a way that is not supported.")
        last = self._tables(self._field(layout, 2))[-1]
        begins, columns = self._places(last, 2), self._places(last, 4)
        rows = np.zeros((int(np.prod(shape[:-1])), shape[-1]), values.dtype)
        if begins.size != len(rows) + 1 or columns.size > values.size:
            raise ModelError("The network's weights are incomplete.")
        rows[np.repeat(np.arange(len(rows)), np.diff(begins)), columns] = values[: columns.size]
        return rows

    def _places(self, dimension: int, field: int) -> NDArray[np.int64]:
        """A list of places, of any of the three widths."""
        start, count = self._vector(self._field(self._there(self._field(dimension, field + 1)), 0))
        width = np.dtype(WIDTHS[self._at("b", self._field(dimension, field))])
        return np.frombuffer(self._bytes[start : start + count * width.itemsize], width).astype(np.int64)

    def _code(self, table: int) -> int:
        """Which operator: the newer of two fields, where it is there."""
        old, new = self._field(table, 0), self._field(table, 3)
        return max(self._at("b", old) if old else 0, self._at("<i", new) if new else 0)

    # ------------------------------------------------------------ FlatBuffers

    def _at(self, form: str, place: int) -> int:
        return int(struct.unpack_from(form, self._bytes, place)[0])

    def _there(self, place: int) -> int:
        """Where the offset at this place points."""
        return place + self._at("<I", place)

    def _field(self, table: int, number: int) -> int:
        """Where a field of a table lies; 0: it has its default."""
        about = table - self._at("<i", table)
        entry = 4 + 2 * number
        offset = self._at("<H", about + entry) if entry < self._at("<H", about) else 0
        return table + offset if offset else 0

    def _number(self, table: int, field: int) -> int:
        place = self._field(table, field)
        return self._at("<I", place) if place else 0

    def _vector(self, field: int) -> tuple[int, int]:
        """(where its content begins, how many there are)"""
        if not field:
            return 0, 0
        place = self._there(field)
        return place + 4, self._at("<I", place)

    def _tables(self, field: int) -> list[int]:
        start, count = self._vector(field)
        return [self._there(start + 4 * place) for place in range(count)]

    def _ints(self, field: int) -> tuple[int, ...]:
        start, count = self._vector(field)
        return tuple(self._at("<i", start + 4 * place) for place in range(count))
