"""The texts of PNG files, read without Pillow: wherever they stand, in UTF-8 or Latin-1, however long.

Pillow reads no text behind the pixels before it has decoded them, takes every `tEXt` for Latin-1, and refuses a whole
picture for one packed text of more than a mebibyte. PNG: https://www.w3.org/TR/png-3/, section 11.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST = 32 * 2**20
"""Bytes of one text, unpacked; a longer one is left out."""
LONGEST_TOGETHER = 48 * 2**20
HEAVY = 2**20
"""Bytes: Pillow refuses packed texts and colour profiles from here on."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass
class PngTexts:
    """What stands in a PNG file beside its pixels."""

    texts: dict[str, str] = field(default_factory=dict)
    exif: bytes = b""
    lean: bytes | None = None
    """The file without its texts and its profile, where Pillow would refuse it because of them."""


def png_texts(content: bytes) -> PngTexts:
    """The texts and the EXIF of a PNG; of a file that is cut off, what stands before the cut. Never raises."""
    found = PngTexts()
    heavy, room = False, LONGEST_TOGETHER
    for kind, data in _chunks(content):
        if kind == b"eXIf":
            found.exif = data
        elif kind == b"iCCP":
            _, _, packed = data.partition(b"\0")
            heavy = heavy or len(_unpacked(packed[1:], HEAVY) or b"") >= HEAVY
        elif kind in _TEXTS and room > 0:
            name, text = _text(kind, data)
            heavy = heavy or text is None or len(text) >= HEAVY
            room -= LONGEST if text is None else len(text)
            if name and text is not None and room >= 0:
                found.texts[name] = text
    if heavy or room <= 0:
        found.lean = _without(content, (*_TEXTS, b"iCCP"))
    return found


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of the chunks that are no pixels."""
    for kind, begin, end in _places(content):
        if kind != b"IDAT":
            yield kind, content[begin + 8 : end - 4]


def _places(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin, end) of the chunks, each from its length to its checksum."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content):
            return
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _without(content: bytes, kinds: tuple[bytes, ...]) -> bytes:
    kept, at = [], 0
    for kind, begin, end in _places(content):
        if kind in kinds:
            kept.append(content[at:begin])
            at = end
    return b"".join([*kept, content[at:]])


def _text(kind: bytes, data: bytes) -> tuple[str, str | None]:
    """(name, text); None: it is too long, or not packed as it says."""
    name, zero, rest = data.partition(b"\0")
    if not zero:
        return "", ""
    if kind == b"tEXt":
        content: bytes | None = rest
    elif kind == b"zTXt":
        content = _unpacked(rest[1:], LONGEST)
    else:
        packed = rest[:1] == b"\1"
        _, _, rest = rest[2:].partition(b"\0")  # the language
        _, _, rest = rest.partition(b"\0")  # the name in that language
        content = _unpacked(rest, LONGEST) if packed else rest
    if content is None or len(content) > LONGEST:
        return "", None
    return name.decode("latin-1"), decoded(content)


def decoded(content: bytes) -> str:
    """A text that is UTF-8, as most programs write it whatever the standard says, or else Latin-1."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _unpacked(content: bytes, most: int) -> bytes | None:
    """None: it is not packed, or too long."""
    packer = zlib.decompressobj()
    try:
        text = packer.decompress(content, most)
    except zlib.error:
        return None
    return text if not packer.unconsumed_tail or most == HEAVY else None
