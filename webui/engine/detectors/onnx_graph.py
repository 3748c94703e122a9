"""What an .onnx file says of itself, looked at before anything opens it: numbers of fields are those of onnx.proto
(https://github.com/onnx/onnx, Apache-2.0)."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from webui.base.protobuf import below, fields, number_in, text_in
from webui.engine.families.weights import broken

GRAPH = 7
NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12
ATTRIBUTE, TENSOR_OF, GRAPH_OF = 5, 5, 6
DIMS, EXTERNAL, LOCATION, TENSOR_NAME = 1, 13, 14, 8
NAME, TYPE, TENSOR_TYPE, KIND, SHAPE, DIMENSION, LENGTH = 1, 2, 1, 1, 2, 1, 1
FLOAT, INT32, INT64, FLOAT16 = 1, 6, 7, 10
"""Kinds of numbers."""
LARGEST_SIDE = 4096
MOST_NODES = 100_000
DEEPEST = 8
"""Graphs within graphs."""


@dataclass(frozen=True)
class OnnxInput:
    """What a graph takes."""

    shape: tuple[int, ...]
    """0 where any length may be."""
    kind: int
    """Of its numbers, as onnx.proto counts kinds."""


@dataclass(frozen=True)
class OnnxGraph:
    """What a graph takes and gives."""

    inputs: Mapping[str, OnnxInput]
    outputs: tuple[str, ...]
    heights: frozenset[int]
    """How many rows its weights have."""


@dataclass(frozen=True)
class PictureGraph:
    """A graph that takes one picture."""

    side: tuple[int, int]
    """(width, height) of the pictures that it takes; (0, 0): any."""
    input: str
    outputs: tuple[str, ...]


def described(path: Path) -> PictureGraph:
    """
    Raises:
        ModelError: it is no such file, it takes no pictures, it is too large, or parts of it lie in other files.
    """
    graph = graph_in(path)
    given = [(name, taken.shape) for name, taken in graph.inputs.items()]
    if len(given) != 1 or len(given[0][1]) != 4 or given[0][1][1] not in (0, 3) or not graph.outputs:
        told = ", ".join(f"{name} {list(shape)}" for name, shape in given) or "none"
        raise broken(path, f"it does not take one picture (its inputs: {told[:100]})")
    name, (_, _, height, width) = given[0]
    if not 0 <= max(width, height) <= LARGEST_SIDE:
        raise broken(path, f"it takes pictures of {width}x{height} pixels, which is too large")
    return PictureGraph((width, height) if width and height else (0, 0), name, graph.outputs)


def graph_in(path: Path) -> OnnxGraph:
    """
    Raises:
        ModelError: it is no such file, it is too large, or parts of it lie in other files.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        graphs = below(content, GRAPH)
        if not graphs:
            raise broken(path, "it is not an ONNX file")
        return _graph(path, graphs[0], len(content))
    except (OSError, ValueError) as error:
        raise broken(path, str(error) or "it is not an ONNX file", "Download it again.") from error


def _graph(path: Path, graph: memoryview, size: int) -> OnnxGraph:
    weights: dict[str, int] = {}
    inputs: dict[str, OnnxInput] = {}
    outputs: list[str] = []
    for number, value in fields(graph):
        if number == INITIALIZER and isinstance(value, memoryview):
            shape = _checked_shape(path, value, size)
            weights[text_in(value, TENSOR_NAME)] = shape[0] if shape else 0
        elif number == INPUT and isinstance(value, memoryview):
            dimensions = below(value, TYPE, TENSOR_TYPE, SHAPE, DIMENSION)
            kinds = [number_in(each, KIND) for each in below(value, TYPE, TENSOR_TYPE)]
            lengths = tuple(number_in(each, LENGTH) for each in dimensions)
            inputs[text_in(value, NAME)] = OnnxInput(lengths, kinds[0] if kinds else 0)
        elif number == OUTPUT and isinstance(value, memoryview):
            outputs.append(text_in(value, NAME))
    _check_nodes(path, graph, size)
    given = {name: taken for name, taken in inputs.items() if name not in weights}
    return OnnxGraph(given, tuple(outputs), frozenset(weights.values()))


def _check_nodes(path: Path, graph: memoryview, size: int, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise broken(path, "its graphs lie too deep within one another")
    nodes = below(graph, NODE)
    if len(nodes) > MOST_NODES:
        raise broken(path, f"it has {len(nodes):,} steps, which are too many")
    for node in nodes:
        for attribute in below(node, ATTRIBUTE):
            for number, value in fields(attribute):
                if number == TENSOR_OF and isinstance(value, memoryview):
                    _checked_shape(path, value, size)
                elif number == GRAPH_OF and isinstance(value, memoryview):
                    for tensor in below(value, INITIALIZER):
                        _checked_shape(path, tensor, size)
                    _check_nodes(path, value, size, depth + 1)


def _checked_shape(path: Path, tensor: memoryview, size: int) -> list[int]:
    """Of a tensor whose numbers lie in this file, as many as it says."""
    shape: list[int] = []
    for number, value in fields(tensor):
        if number == EXTERNAL or (number == LOCATION and value):
            raise broken(path, "its weights lie in another file", "Get it as a single .onnx file.")
        if number == DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
    if math.prod(shape) > 8 * size:
        raise broken(path, f"a tensor in it claims to have {math.prod(shape):,} numbers, more than the file can hold")
    return shape


def _packed(value: memoryview) -> list[int]:
    """Numbers one after the other, each of any length."""
    found, number, place = [], 0, 0
    for byte in bytes(value):
        number |= (byte & 127) << place
        place += 7
        if byte < 128:
            found.append(number)
            number = place = 0
    return found
