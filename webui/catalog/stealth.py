"""Texts hidden in the lowest bits of a picture's alpha channel, as NovelAI and an extension of A1111 write them.

Bits go down the columns, from the left: a signature, the length in bits (32), the text, gzipped or plain.
"""

from __future__ import annotations

import zlib

from PIL import Image

PLAIN, PACKED = b"stealth_pnginfo", b"stealth_pngcomp"
LONGEST = 8_000_000
"""Bytes of the unpacked text."""
_HEAD, _LENGTH = 8 * len(PLAIN), 32


def hidden_text(image: Image.Image) -> str:
    """The text, or "" where there is none. Decodes the picture where it has an alpha channel."""
    if image.mode != "RGBA":
        return ""
    levels = image.getchannel("A").transpose(Image.Transpose.TRANSPOSE).tobytes()
    signature = _bytes(levels[:_HEAD])
    if signature not in (PLAIN, PACKED):
        return ""
    begin = _HEAD + _LENGTH
    length = int.from_bytes(_bytes(levels[_HEAD:begin]), "big")
    content = _bytes(levels[begin : begin + length])
    if signature == PACKED:
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, LONGEST)
        except zlib.error:
            return ""
    return content.decode("utf-8", "replace")


def _bytes(levels: bytes) -> bytes:
    """Eight lowest bits a byte, the highest first; what is left over is dropped."""
    whole = levels[: len(levels) // 8 * 8]
    bits = whole.translate(bytes(48 + (level & 1) for level in range(256)))
    return int(bits or b"0", 2).to_bytes(len(whole) // 8, "big")
