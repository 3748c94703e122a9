"""GGUF files: names and shapes, and tensors that are stored in blocks of few bits.

The format is ggml's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A block holds 32 or 256 numbers as
small integers q with a scale d, some with a minimum m: the number is d q, or d q - m.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from webui.catalog.gguf_header import BLOCKS, read_gguf_header

ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Before the name of a tensor that is stored under another shape."""


class Kind(NamedTuple):
    """How numbers are stored."""

    numbers: int
    """In a block."""
    nbytes: int
    """Of a block."""
    unpack: Callable[[Tensor], Tensor]
    """Blocks (n, nbytes) uint8 -> (n, numbers) float32."""


@dataclass(frozen=True, eq=False)
class Gguf:
    """An opened file."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    _content: Tensor = field(repr=False)
    _places: Mapping[str, tuple[Kind, int]] = field(repr=False)
    """Tensor -> how it is stored, and where."""
    _last: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def tensor(self, name: str) -> Tensor:
        """The numbers of a tensor, float32. The last one is kept: parts of it are asked for one after the other."""
        if name not in self._last:
            kind, begin = self._places[name]
            blocks = math.prod(self.shapes[name]) // kind.numbers
            stored = self._content[begin : begin + blocks * kind.nbytes].reshape(blocks, kind.nbytes)
            self._last.clear()
            self._last[name] = kind.unpack(stored).reshape(self.shapes[name])
        return self._last[name]


def read_gguf(path: Path) -> Gguf:
    """Open the file; its tensors are mapped and not read yet.

    Raises:
        ValueError: it is no such file, is cut off, or holds what we do not know; says which.
        OSError: it cannot be read.
    """
    header = read_gguf_header(path)
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    content = torch.frombuffer(mapped, dtype=torch.uint8)
    shapes: dict[str, tuple[int, ...]] = {}
    places: dict[str, tuple[Kind, int]] = {}
    for name, shape, number, offset in header.tensors:
        kind = KINDS.get(number)
        if kind is None:
            raise ValueError(f"{name} uses an unsupported quantization (ggml type {number})")
        count = math.prod(shape)
        end = header.begin + offset + count // kind.numbers * kind.nbytes
        if count % kind.numbers or end > len(content):
            raise ValueError(
                "the file is incomplete" if end > len(content) else f"{name} does not consist of whole blocks"
            )
        original = header.said.get(ORIGINAL_SHAPE + name)
        if isinstance(original, list) and all(type(side) is int for side in original) and math.prod(original) == count:
            shape = tuple(original)
        shapes[name], places[name] = shape, (kind, header.begin + offset)
    return Gguf(shapes, {key: value for key, value in header.said.items() if isinstance(value, str)}, content, places)


# ---------------------------------------------------------------- blocks


def _halves(stored: Tensor) -> Tensor:
    """(n, 2 k) bytes -> (n, k) float32."""
    return stored.contiguous().view(torch.float16).float()


def _signed(stored: Tensor) -> Tensor:
    return stored.contiguous().view(torch.int8).float()


def _bits(stored: Tensor, width: int, group: int) -> Tensor:
    """Integers of `width` bits: of each `group` bytes first the lowest of all, then the next. (n, k) -> (n, more)."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8)[:, None]
    parts: Tensor = stored.reshape(len(stored), -1, 1, group) >> shifts & (2**width - 1)
    return parts.reshape(len(stored), -1).int()


def _q4_0(b: Tensor) -> Tensor:
    return _halves(b[:, :2]) * (_bits(b[:, 2:], 4, 16) - 8)


def _q4_1(b: Tensor) -> Tensor:
    return _halves(b[:, :2]) * _bits(b[:, 4:], 4, 16) + _halves(b[:, 2:4])


def _fifth_bits(b: Tensor) -> Tensor:
    """(n, 4) -> (n, 32): the bits in order."""
    bits: Tensor = b[:, :, None] >> torch.arange(8, dtype=torch.uint8) & 1
    return bits.reshape(len(b), 32).int()


def _q5_0(b: Tensor) -> Tensor:
    return _halves(b[:, :2]) * ((_bits(b[:, 6:], 4, 16) | _fifth_bits(b[:, 2:6]) << 4) - 16)


def _q5_1(b: Tensor) -> Tensor:
    return _halves(b[:, :2]) * (_bits(b[:, 8:], 4, 16) | _fifth_bits(b[:, 4:8]) << 4) + _halves(b[:, 2:4])


def _q8_0(b: Tensor) -> Tensor:
    return _halves(b[:, :2]) * _signed(b[:, 2:])


def _scaled(d: Tensor, q: Tensor, m: Tensor | None = None) -> Tensor:
    """d, m: one a part of the block (n, parts); q: (n, 256)."""
    parts = q.reshape(len(q), d.shape[1], -1) * d[:, :, None]
    return (parts if m is None else parts - m[:, :, None]).reshape(len(q), -1)


def _q2_k(b: Tensor) -> Tensor:
    scales, d, m = b[:, :16], _halves(b[:, 80:82]), _halves(b[:, 82:84])
    return _scaled(d * (scales & 15), _bits(b[:, 16:80], 2, 32), m * (scales >> 4))


def _q3_k(b: Tensor) -> Tensor:
    scales = _bits(b[:, 96:104], 4, 8) | _bits(b[:, 104:108], 2, 4) << 4
    q = _bits(b[:, 32:96], 2, 32) - 4 * (1 - _bits(b[:, :32], 1, 32))
    return _scaled(_halves(b[:, 108:110]) * (scales - 32), q)


def _six_bits(b: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 12) -> eight scales and eight minima, (n, 8) each."""
    low, middle, high = b[:, :4].int(), b[:, 4:8].int(), b[:, 8:].int()
    scales = torch.cat([low & 63, high & 15 | low >> 6 << 4], dim=1)
    return scales, torch.cat([middle & 63, high >> 4 | middle >> 6 << 4], dim=1)


def _q4_k(b: Tensor) -> Tensor:
    scales, minima = _six_bits(b[:, 4:16])
    return _scaled(_halves(b[:, :2]) * scales, _bits(b[:, 16:], 4, 32), _halves(b[:, 2:4]) * minima)


def _q5_k(b: Tensor) -> Tensor:
    scales, minima = _six_bits(b[:, 4:16])
    q = _bits(b[:, 48:], 4, 32) | _bits(b[:, 16:48], 1, 32) << 4
    return _scaled(_halves(b[:, :2]) * scales, q, _halves(b[:, 2:4]) * minima)


def _q6_k(b: Tensor) -> Tensor:
    q = (_bits(b[:, :128], 4, 64) | _bits(b[:, 128:192], 2, 32) << 4) - 32
    return _scaled(_halves(b[:, 208:210]) * _signed(b[:, 192:208]), q)


_UNPACK: Mapping[int, Callable[[Tensor], Tensor]] = {
    0: lambda b: b.contiguous().view(torch.float32),
    1: _halves,
    2: _q4_0,
    3: _q4_1,
    6: _q5_0,
    7: _q5_1,
    8: _q8_0,
    10: _q2_k,
    11: _q3_k,
    12: _q4_k,
    13: _q5_k,
    14: _q6_k,
    30: lambda b: b.contiguous().view(torch.bfloat16).float(),
}
KINDS: Mapping[int, Kind] = {number: Kind(*BLOCKS[number], unpack) for number, unpack in _UNPACK.items()}
"""By ggml's number of the type."""
