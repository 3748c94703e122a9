"""The texts in EXIF and XMP: in which fields programs write, and in which encodings.

EXIF 2.3, 4.6.5: a UserComment begins with the name of its encoding in 8 bytes. Programs leave that out, put it into the
first directory, or write UTF-8 after the name of another encoding.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from PIL import ExifTags, Image

from webui.catalog.png_texts import decoded

_FIELDS = (
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Software,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPTitle,
)
_WIDE = (ExifTags.Base.XPComment, ExifTags.Base.XPTitle)
"""Fields of Windows, in UTF-16."""
_NAMED = re.compile(r"charset=\"?\w{1,20}\"? ", re.IGNORECASE)
_XMP_COMMENT = ("<exif:UserComment", "</exif:UserComment>")
_XMP_ITEM = re.compile(r"<rdf:li[^<>]*+>")


def exif_texts(image: Image.Image) -> dict[str, str]:
    """The fields of EXIF in which programs write, by name."""
    exif = image.getexif()
    found = {tag.name: _field(exif.get(tag), wide=tag in _WIDE) for tag in _FIELDS}
    return {name: text for name, text in found.items() if text}


def user_comment(image: Image.Image) -> str:
    """EXIF's UserComment, wherever it stands; that of XMP where there is none."""
    exif = image.getexif()
    for place in (exif.get_ifd(ExifTags.IFD.Exif), exif):
        if text := _comment(place.get(ExifTags.Base.UserComment)):
            return text
    return next((text for text in map(_xmp_comment, _xmp(image)) if text), "")


def _field(value: object, *, wide: bool) -> str:
    if isinstance(value, bytes):
        return _utf16(value) if wide else _stripped(decoded(value))
    if isinstance(value, tuple) and wide and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return _utf16(bytes(value))
    return _stripped(as_utf8(value)) if isinstance(value, str) else ""


def _comment(value: object) -> str:
    if isinstance(value, str):
        # A text of the kind ASCII: Pillow reads Latin-1.
        text = as_utf8(value)
        named = _NAMED.match(text)
        text = text[named.end() :] if named else text
        for name in ("UNICODE\0", "ASCII\0\0\0"):
            text = text.removeprefix(name)
        return _stripped(text)
    if not isinstance(value, bytes):
        return ""
    encoding, content = value[:8].upper(), value[8:]
    if encoding == b"UNICODE\0":
        return _utf16(content)
    if encoding == b"JIS\0\0\0\0\0":
        return _stripped(content.decode("iso2022_jp", "replace"))
    if encoding in (b"ASCII\0\0\0", bytes(8)):
        return _utf16(content) if _is_wide(content) else _stripped(decoded(content))
    return _utf16(value) if _is_wide(value) else _stripped(decoded(value))


def _utf16(content: bytes) -> str:
    """UTF-16 of either byte order, or UTF-8; the standard does not say which order, and programs differ."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _stripped(content.decode("utf-16", "replace"))
    big, little = (content.decode(f"utf-16-{order}", "replace") for order in ("be", "le"))
    # Every infotext has ASCII in it, its labels.
    wide = max(big, little, key=_plain_letters)
    if b"\0" not in (narrow := content.rstrip(b"\0")) and _is_utf8(narrow):
        return _stripped(decoded(narrow))
    return _stripped(wide)


def _plain_letters(text: str) -> int:
    return len(text.encode("ascii", "ignore")) - text.count("\0")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_wide(content: bytes) -> bool:
    """Whether it looks like UTF-16: every other byte of ASCII is 0."""
    return content[:2] in (b"\xff\xfe", b"\xfe\xff") or content.rstrip(b"\0").count(b"\0") * 4 > len(content)


def as_utf8(text: str) -> str:
    """UTF-8 that was taken for Latin-1, put right."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _stripped(text: str) -> str:
    return text.strip("\0 \ufeff")


def _xmp(image: Image.Image) -> Iterator[str]:
    for name in ("XML:com.adobe.xmp", "xmp"):
        value = image.info.get(name)
        if isinstance(value, str | bytes):
            yield value if isinstance(value, str) else decoded(value)


def _xmp_comment(text: str) -> str:
    begin, end = (text.find(mark) for mark in _XMP_COMMENT)
    if not 0 <= begin < end:
        return ""
    inside = text[begin:end].partition(">")[2]
    item = _XMP_ITEM.search(inside)
    if item is not None:
        inside = inside[item.end() :].partition("</rdf:li>")[0]
    return _stripped(html.unescape(inside.strip()))
