"""Picture files without the words in them: the pixels stay as they are, to the bit, wherever the format allows it."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image, ImageOps

from webui.base.errors import UserError
from webui.catalog.image_files import decoding, open_picture, readable
from webui.catalog.stealth import hidden_text

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
PNG_WORDS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"))
WEBP_WORDS = frozenset((b"EXIF", b"XMP "))
EXIF_FLAG, XMP_FLAG = 0x08, 0x04
"""Of a WebP's header (VP8X)."""
COMMENT, APP0, APP2, APP14, APP15, SCAN = 0xFE, 0xE0, 0xE2, 0xEE, 0xEF, 0xDA
QUALITY = 95
"""Of formats that have to be written anew."""


def without_words(content: bytes) -> bytes:
    """The same picture without infotext, EXIF, XMP and comments, and without text hidden in its alpha channel.

    PNG, JPEG and WebP keep their compressed pixels; colour profiles stay. Turning that EXIF asks for is done first.

    Raises:
        UserError: it cannot be read.
    """

    def stripped() -> bytes:
        with open_picture(content) as image:
            turned = image.getexif().get(0x0112, 1) != 1
            hides = image.format in ("PNG", "WEBP") and bool(hidden_text(image))
            kind = str(image.format)
            if turned or hides or kind not in ("PNG", "JPEG", "WEBP"):
                return _anew(image, kind, hides)
        if content.startswith(PNG):
            return _png(content)
        return _jpeg(content) if content.startswith(JPEG) else _webp(content)

    return readable(stripped)


def _anew(image: Image.Image, kind: str, hides: bool) -> bytes:
    with decoding(image):
        plain = ImageOps.exif_transpose(image)
    if hides:
        alpha = plain.getchannel("A").point(lambda level: level | 1)
        plain.putalpha(alpha)
    profile = plain.info.get("icc_profile")
    bare = Image.frombytes(plain.mode, plain.size, plain.tobytes()) if plain.mode != "P" else plain.convert("RGBA")
    buffer = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {} if kind == "PNG" else {"quality": QUALITY}
    bare.save(buffer, kind, icc_profile=profile, **options)
    return buffer.getvalue()


def _png(content: bytes) -> bytes:
    parts, at = [PNG], len(PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name = content[at + 4 : at + 8]
        end = at + 12 + length
        if name not in PNG_WORDS:
            parts.append(content[at:end])
        at = end
        if name == b"IEND":
            break
    return b"".join(parts)


def _jpeg(content: bytes) -> bytes:
    parts, rest = [JPEG], len(content)
    for marker, begin, end in _segments(content):
        keeps = marker in (APP0, APP14) or (marker == APP2 and content[begin + 4 : begin + 15] == b"ICC_PROFILE")
        if marker == SCAN:
            rest = begin
            break
        if not (APP0 <= marker <= APP15 or marker == COMMENT) or keeps:
            parts.append(content[begin:end])
    if rest == len(content):
        raise UserError("The JPEG file has no pixels.")
    # What follows the end of the picture is no picture.
    last = content.rfind(b"\xff\xd9", rest)
    parts.append(content[rest : last + 2] if last >= 0 else content[rest:])
    return b"".join(parts)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where it begins, where it ends) up to the first scan."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        yield marker, at, at + 2 + length
        at += 2 + length


def _webp(content: bytes) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(content):
        name = content[at : at + 4]
        (length,) = struct.unpack_from("<I", content, at + 4)
        end = at + 8 + length + length % 2
        part = content[at:end]
        if name == b"VP8X" and length:
            part = part[:8] + bytes((part[8] & ~(EXIF_FLAG | XMP_FLAG) & 0xFF,)) + part[9:]
        if name not in WEBP_WORDS:
            parts.append(part)
        at = end
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body
