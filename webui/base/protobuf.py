"""Messages in the wire format of Protocol Buffers, in which ONNX files are written: read, and put together.

The format: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 10
"""Bytes of a number."""
NUMBER, EIGHT, PART, FOUR = 0, 1, 2, 5
"""How a value is written: as a number of any length, in eight bytes, as so many as it says, in four."""


# ---------------------------------------------------------------- read


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field, in order.

    Raises:
        ValueError: it is no such message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == NUMBER:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == PART:
            length, at = _varint(message, at)
        elif kind in (EIGHT, FOUR):
            length = 8 if kind == EIGHT else 4
        else:
            raise ValueError("it is not an ONNX file")
        if at + length > len(message):
            raise ValueError("it is incomplete")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(LONGEST):
        if at >= len(message):
            raise ValueError("it is incomplete")
        value |= (message[at] & 0x7F) << (7 * place)
        at += 1
        if not message[at - 1] & 0x80:
            return value, at
    raise ValueError("it is not an ONNX file")


def below(value: object, *path: int) -> list[memoryview]:
    """The messages that lie there within a message. Raises ValueError."""
    found = [value] if isinstance(value, memoryview) else []
    for number in path:
        inner = [pair for each in found for pair in fields(each)]
        found = [value for own, value in inner if own == number and isinstance(value, memoryview)]
    return found


def number_in(message: memoryview, number: int) -> int:
    """The first one in this field; 0: there is none. Raises ValueError."""
    return next((value for own, value in fields(message) if own == number and isinstance(value, int)), 0)


def text_in(message: object, number: int) -> str:
    """The first one in this field; "": there is none. Raises ValueError."""
    within = fields(message) if isinstance(message, memoryview) else iter(())
    found = next((value for own, value in within if own == number and isinstance(value, memoryview)), None)
    return bytes(found).decode("utf-8", "replace") if found is not None else ""


# ---------------------------------------------------------------- put together


def number(field: int, value: int) -> bytes:
    """A field with a whole number."""
    return _written(field << 3 | NUMBER) + _written(value)


def part(field: int, content: bytes) -> bytes:
    """A field with bytes, or with a message."""
    return _written(field << 3 | PART) + _written(len(content)) + content


def text(field: int, content: str) -> bytes:
    """A field with a text."""
    return part(field, content.encode())


def _written(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
