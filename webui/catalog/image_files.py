"""Picture files: encoded with their infotext, and the infotext read back from any file that has one."""

from __future__ import annotations

import io
import logging
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, cast

from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from webui.base.errors import StorageError, UserError
from webui.base.text import clean
from webui.catalog.decoding import DECODING
from webui.catalog.exif_texts import as_utf8, exif_texts, user_comment
from webui.catalog.levels import eight_bit
from webui.catalog.png_texts import SIGNATURE, decoded, png_texts
from webui.catalog.stealth import hidden_text
from webui.request.foreign import is_object, told_infotext
from webui.request.infotext import read

log = logging.getLogger(__name__)

T = TypeVar("T")
Format = Literal["png", "jpg", "webp", "avif"]
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "ICO", "JPEG2000", "PPM")
"""Of all that Pillow can open, what people have: each further decoder is one more for a hostile file to break."""
PNG_COMPRESSION = 4
"""Of zlib's 9: nearly as small as its default 6, in well under half the time."""
LARGEST_SIDE: dict[Format, int] = {"jpg": 65535, "webp": 16383, "avif": 65535}
STEP = 2**20
"""Bytes that are decoded at a time."""
LARGEST_EXIF = 65_000
"""Bytes: a JPEG holds its EXIF in one segment."""
_LABEL = "parameters"
_NOISE = frozenset(
    """jfif jfif_version jfif_unit jfif_density dpi exif loop background timestamp duration progressive progression
    icc_profile chromaticity photoshop mp mpoffset adobe adobe_transform gamma transparency interlace srgb version
    extension blend disposal xmp default_image bbox""".split()  # noqa: SIM905
)
"""A1111: technical remarks that nobody wants to read."""


@dataclass(frozen=True)
class EncodedPicture:
    """The bytes of a file, and what kind it became (a picture too large for JPEG becomes a PNG)."""

    content: bytes
    kind: Format
    holds_infotext: bool


def picture_of(width: int, height: int, rgb: bytes, alpha: bytes = b"") -> Image.Image:
    """From 8-bit rows from the top, as an engine gives them; alpha: a byte a pixel, or none: it is opaque."""
    image = Image.frombytes("RGB", (width, height), rgb)
    if alpha:
        image.putalpha(Image.frombytes("L", (width, height), alpha))
    return image


def over_white(image: Image.Image) -> Image.Image:
    """RGB: for those who know no transparency."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "#ffffff")
    ground.alpha_composite(rgba)
    return ground.convert("RGB")


def encode(
    image: Image.Image,
    kind: Format,
    infotext: str,
    *,
    quality: int = 80,
    lossless: bool = False,
    chunks: Mapping[str, str] | None = None,
) -> EncodedPicture:
    """A file with the picture, and the infotext in it ("" for none).

    PNG has it in the text chunk `parameters`, or has `chunks` instead, by name; JPEG, WebP and AVIF have it in EXIF's
    UserComment, as A1111. What is transparent is white in a JPEG.
    """
    if max(image.size) > LARGEST_SIDE.get(kind, max(image.size)):
        kind = "png"
    buffer = io.BytesIO()
    text = infotext.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        for name, value in ({_LABEL: text} if chunks is None or not text else chunks).items():
            if value:
                value = value.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
                # Letters that would be read as other ones say which encoding they are in.
                add = info.add_text if as_utf8(value) == value else info.add_itxt
                add(name, value)
        image.save(buffer, "PNG", pnginfo=info, compress_level=PNG_COMPRESSION)
        return EncodedPicture(buffer.getvalue(), kind, True)
    exif = _exif(text) if text else b""
    holds = kind != "jpg" or len(exif) <= LARGEST_EXIF
    if not holds:
        log.warning("The infotext is too long for a JPEG (%d bytes); it is left out.", len(exif))
    options: dict[str, object] = {"quality": quality, "exif": exif if holds else b""}
    match kind:
        case "jpg":
            over_white(image).save(buffer, "JPEG", **options)
        case "webp":
            image.save(buffer, "WEBP", lossless=lossless, **options)
        case "avif":
            image.save(buffer, "AVIF", **options)
    return EncodedPicture(buffer.getvalue(), kind, holds)


def read_infotext(source: Path | bytes) -> tuple[str, dict[str, str]]:
    """(infotext, or "" where there is none; other texts by name) of a picture file or of a `.txt` beside one.

    Raises:
        UserError: it is no picture that we can read.
        StorageError: the file cannot be read.
    """
    if isinstance(source, Path) and source.suffix.lower() == ".txt":
        try:
            return source.read_text(encoding="utf-8-sig").strip(), {}
        except UnicodeDecodeError as error:
            raise UserError(f"{source.name} is not a text file in UTF-8.") from error
        except OSError as error:
            raise StorageError(f"{source} cannot be read: {error.strerror or error}.") from error
    return _from_image(_content(source))


def infotext_of(image: Image.Image) -> tuple[str, dict[str, str]]:
    """The same of an open picture; decodes no pixels."""
    items = {
        str(key): _clean(value if isinstance(value, str) else decoded(value))
        for key, value in image.info.items()
        if isinstance(key, str) and isinstance(value, str | bytes) and key.lower() not in _NOISE
    }
    infotext = items.pop(_LABEL, "")
    comment = _clean(user_comment(image))
    if comment:
        items["exif comment"] = comment
        infotext = comment
    elif not infotext and image.format in ("GIF", "JPEG"):
        # A JPEG's comment is anybody's: only what reads like an infotext is one.
        text = items.get("comment", "")
        infotext = text if image.format == "GIF" or read(text).labels else ""
    fields = {name: _clean(text) for name, text in exif_texts(image).items()}
    told = told_infotext({**fields, "parameters": infotext, **items}, *image.size)
    if not told and is_object(infotext):
        # It says nothing of a picture that we know, and is no prompt.
        items, infotext = {_LABEL: infotext, **items}, ""
    return _clean(told or infotext).strip(), items


def open_picture(source: Path | bytes) -> Image.Image:
    """A picture file of a format that we know, with all its texts in its `info`; no pixels are decoded yet.

    Raises:
        UserError: what has this name is no file: a pipe or a device, which could be read for ever.
        OSError, ValueError and others, as Pillow does: see `readable`.
    """
    if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
        raise UserError("This is not a regular file.")
    content = source if isinstance(source, bytes) else source.read_bytes()
    if not content.startswith(SIGNATURE):
        return _in_steps(Image.open(io.BytesIO(content), formats=FORMATS), len(content))
    found = png_texts(content)
    image = _in_steps(
        Image.open(io.BytesIO(content if found.lean is None else found.lean), formats=FORMATS), len(content)
    )
    image.info.update(found.texts)
    if found.exif or "Raw profile type exif" not in image.info:
        # Where there is none, Pillow would decode the whole picture to see whether one comes behind its pixels.
        image.info.setdefault("exif", found.exif)
    return image


def _in_steps(image: Image.Image, size: int) -> Image.Image:
    """The picture, so that it is decoded in steps of about a megabyte: within one no other thread runs, and 64 KB of a
    file, a step of Pillow's, can hold as much as 64 MB of one colour."""
    if isinstance(image, ImageFile.ImageFile):
        unpacked = max(1, image.width * image.height * len(image.getbands()))
        image.decodermaxblock = min(image.decodermaxblock, max(256, size * STEP // unpacked))
    return image


def pixels_of(content: bytes) -> Image.Image:
    """The picture in a file, upright, with levels of 0 to 255.

    Raises:
        UserError: it is no picture, cut off, or made to harm.
    """

    def whole() -> Image.Image:
        with open_picture(content) as image, decoding(image):
            image.load()
            return ImageOps.exif_transpose(eight_bit(image))

    return readable(whole)


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of the picture in a file as it is seen, turned as its EXIF says; decodes no pixels.

    Raises:
        UserError: it is no picture.
    """

    def look() -> tuple[int, int]:
        with open_picture(content) as image:
            width, height = image.size
            # EXIF 2.3, 4.6.4: from 5 on it is turned by a quarter.
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)

    return readable(look)


def decoding(image: Image.Image) -> AbstractContextManager[None]:
    """Whoever decodes the pixels of a picture from outside holds its share of the process's memory meanwhile.

    Raises:
        TooManyPixels: there is no room for it now.
    """
    return DECODING.lent(image.width * image.height)


def _clean(text: str) -> str:
    """Without what no text has: NULs, halves of letters."""
    return clean(text.replace("\0", ""))


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise StorageError(f"{source} cannot be read: {error.strerror or error}.") from error


def _from_image(content: bytes) -> tuple[str, dict[str, str]]:
    def both() -> tuple[str, dict[str, str]]:
        with open_picture(content) as image:
            infotext, items = infotext_of(image)
            with decoding(image) if not infotext and image.mode == "RGBA" else nullcontext():
                hidden = "" if infotext else _clean(hidden_text(image))
            return (told_infotext({_LABEL: hidden}, *image.size) or hidden).strip() or infotext, items

    return readable(both)


def readable(look: Callable[[], T]) -> T:
    """The answer of `look`, which opens a picture; whatever Pillow has against the file becomes a UserError.

    Raises:
        UserError: the file is no picture, cut off, or made to harm.
    """
    try:
        return look()
    except UnidentifiedImageError as error:
        raise UserError("This is not a picture in a supported format.", hint="Use PNG, JPEG or WebP.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError("This picture is too large.", hint="Scale it down first.") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        TypeError,
        IndexError,
        KeyError,
        OverflowError,
        RuntimeError,
        struct.error,
    ) as error:
        raise UserError(f"This picture cannot be read: {error}.", hint="The file is incomplete or damaged.") from error


@cache
def endings() -> frozenset[str]:
    """How the names of files end that can be opened here: ".png", ".tif" ..., in small letters."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


def _exif(text: str) -> bytes:
    exif = Image.Exif()
    # EXIF 2.3, 4.6.5: a comment begins with the name of its encoding in 8 bytes.
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif.tobytes()


def as_format(name: str) -> Format:
    """A1111: both "jpg" and "jpeg" are said."""
    return cast("Format", {"jpeg": "jpg"}.get(name.lower(), name.lower()))
