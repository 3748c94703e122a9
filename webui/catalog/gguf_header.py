"""The header of a GGUF file: what it says, and which tensors lie where.

The format is ggml's: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"GGUF"
MOST_ENTRIES, LONGEST_TEXT = 1_000_000, 100_000_000
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    30: (1, 2),
}
"""ggml's number for how numbers are stored -> (numbers in a block, its bytes)."""


class GgufTensor(NamedTuple):
    """Where a tensor lies, and how."""

    name: str
    shape: tuple[int, ...]
    kind: int
    """ggml's number for how its numbers are stored."""
    offset: int
    """In bytes, behind the header."""


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the numbers."""

    said: Mapping[str, object]
    tensors: tuple[GgufTensor, ...]
    begin: int
    """Where the numbers begin, in bytes."""


def read_gguf_header(path: Path) -> GgufHeader:
    """Read it.

    Raises:
        ValueError: it is no such file, or is cut off; says which.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise ValueError("it is not a GGUF file")
        version, tensors, entries = struct.unpack("<IQQ", _exactly(stream, 20))
        if version not in (2, 3):
            raise ValueError(f"GGUF version {version} is not supported")
        if tensors > MOST_ENTRIES or entries > MOST_ENTRIES:
            raise ValueError("its header is damaged")
        said = {_text(stream): _value(stream) for _ in range(entries)}
        described = tuple(_described(stream) for _ in range(tensors))
        alignment = said.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
            raise ValueError("its header is damaged")
        return GgufHeader(said, described, -(-stream.tell() // alignment) * alignment)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    if count > LONGEST_TEXT:
        raise ValueError("its header is damaged")
    found = stream.read(count)
    if len(found) < count:
        raise ValueError("the file is incomplete")
    return found


def _number(stream: BinaryIO, code: str) -> int | float | bool:
    found: int | float | bool = struct.unpack(f"<{code}", _exactly(stream, struct.calcsize(f"<{code}")))[0]
    return found


def _text(stream: BinaryIO) -> str:
    return _exactly(stream, int(_number(stream, "Q"))).decode("utf-8", "replace")


def _value(stream: BinaryIO, kind: int | None = None) -> object:
    kind = int(_number(stream, "I")) if kind is None else kind
    if kind == _TEXT:
        return _text(stream)
    if kind == _ARRAY:
        inner, count = int(_number(stream, "I")), int(_number(stream, "Q"))
        if inner == _ARRAY or count > MOST_ENTRIES:
            raise ValueError("its header is damaged")
        return [_value(stream, inner) for _ in range(count)]
    if kind not in _NUMBERS:
        raise ValueError("its header is damaged")
    return _number(stream, _NUMBERS[kind])


def _described(stream: BinaryIO) -> GgufTensor:
    """Shapes are stored the other way round."""
    name, rank = _text(stream), int(_number(stream, "I"))
    if rank > 8:
        raise ValueError("its header is damaged")
    sides = [int(_number(stream, "Q")) for _ in range(rank)]
    return GgufTensor(name, tuple(reversed(sides)), int(_number(stream, "I")), int(_number(stream, "Q")))
