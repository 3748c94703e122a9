"""Texts of pictures wherever they stand and however they are encoded; pictures in whatever levels and formats."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from webui.catalog.image_files import open_picture, pixels_of, read_infotext
from webui.catalog.uploads import PictureStore
from webui.engine.inpaint import mask_of

TEXT = "a café, 初音ミク\nNegative prompt: x\nSteps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 1"
PLAIN = "a cat\nSteps: 20, Sampler: Euler a, Seed: 1"


def png(*chunks: tuple[bytes, bytes], behind: bool = False, image: Image.Image | None = None) -> bytes:
    """A picture with these chunks before or behind its pixels."""
    buffer = io.BytesIO()
    (image or Image.new("RGB", (16, 8), "red")).save(buffer, "PNG")
    content = buffer.getvalue()
    at = content.index(b"IEND" if behind else b"IDAT") - 4
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return content[:at] + made + content[at:]


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"tEXt", b"parameters\0" + TEXT.encode()),
        (b"zTXt", b"parameters\0\0" + zlib.compress(TEXT.encode())),
        (b"iTXt", b"parameters\0\0\0\0\0" + TEXT.encode()),
        (b"iTXt", b"parameters\0\1\0en\0\0" + zlib.compress(TEXT.encode())),
    ],
)
def test_a_png_says_it_in_utf_8_before_and_behind_its_pixels(kind: bytes, data: bytes, behind: bool) -> None:
    assert read_infotext(png((kind, data), behind=behind))[0] == TEXT


def test_latin_1_is_read_too() -> None:
    assert read_infotext(png((b"tEXt", b"parameters\0" + "café\nSteps: 1".encode("latin-1"))))[0].startswith("café")


@pytest.mark.parametrize("size", [2**20 + 1, 5 * 2**20, 40 * 2**20])
def test_a_picture_is_read_however_long_its_texts_and_its_colour_profile_are(size: int) -> None:
    workflow = (b"zTXt", b"workflow\0\0" + zlib.compress(b"a" * size))
    profile = (b"iCCP", b"sRGB\0\0" + zlib.compress(b"a" * size))
    content = png((b"tEXt", b"parameters\0" + PLAIN.encode()), workflow, profile)
    assert read_infotext(content)[0] == PLAIN
    assert pixels_of(content).getpixel((3, 3)) == (255, 0, 0)


def test_many_packed_texts_are_not_unpacked_for_ever() -> None:
    bomb = (b"zTXt", b"x\0\0" + zlib.compress(b"a" * 20 * 2**20))
    found = open_picture(png(*[bomb] * 400))
    assert sum(len(text) for text in found.info.values() if isinstance(text, str)) < 64 * 2**20


COMMENTS = {
    "UTF-16, big end first": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "UTF-16, little end first": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "UTF-16 with a mark": b"UNICODE\0" + TEXT.encode("utf-16"),
    "UTF-8 said to be UTF-16": b"UNICODE\0" + TEXT.encode(),
    "small letters": b"Unicode\0" + TEXT.encode("utf-16-le"),
    "UTF-8 said to be ASCII": b"ASCII\0\0\0" + TEXT.encode(),
    "UTF-16 said to be ASCII": b"ASCII\0\0\0" + TEXT.encode("utf-16-le"),
    "nothing said": bytes(8) + TEXT.encode(),
    "nothing at all before it": TEXT.encode(),
    "NULs at its end": b"ASCII\0\0\0" + TEXT.encode() + b"\0\0\0",
}


@pytest.mark.parametrize("in_root", [False, True])
@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_user_comment_is_read_in_any_encoding_and_place(kind: str, comment: bytes, in_root: bool) -> None:
    exif = Image.Exif()
    (exif if in_root else exif.get_ifd(ExifTags.IFD.Exif))[ExifTags.Base.UserComment] = comment
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8)).save(buffer, kind, exif=exif.tobytes())
    assert read_infotext(buffer.getvalue())[0] == TEXT


def test_a_user_comment_in_japanese_and_one_that_is_a_plain_text() -> None:
    japanese = b"JIS\0\0\0\0\0" + "猫, cafe".encode("iso2022_jp")
    for value, wanted in ((japanese, "猫, cafe"), ("cafe", "cafe"), ("charset=Ascii cafe", "cafe")):
        exif = Image.Exif()
        exif[ExifTags.Base.UserComment] = value
        buffer = io.BytesIO()
        Image.new("RGB", (16, 8)).save(buffer, "JPEG", exif=exif)
        assert read_infotext(buffer.getvalue())[0] == wanted


def test_no_text_has_nuls_or_halves_of_letters() -> None:
    content = png((b"tEXt", b"parameters\0" + b"\0\0a cat\0" + b"\nSteps: 1"))
    assert read_infotext(content)[0] == "a cat\nSteps: 1"
    told = '{"prompt": "a \\ud800 cat", "seed": 3, "steps": 5, "base_model": "x"}'
    read_infotext(png((b"tEXt", b"parameters\0" + told.encode())))[0].encode("utf-8")


RAMP = np.linspace(0, 1, 64 * 4).reshape(4, 64)


def deep(kind: str, levels: np.ndarray[tuple[int, int], np.dtype[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        deep("PNG", (RAMP * 65535).astype(np.uint16)),
        deep("TIFF", (RAMP * 65535).astype(np.uint16)),
        deep("PPM", (RAMP * 65535).astype(np.uint16)),
        deep("TIFF", (RAMP * 65535).astype(np.int32)),
        deep("TIFF", (RAMP * 1000000).astype(np.int32)),
        deep("TIFF", (RAMP * 255).astype(np.float32)),
        deep("TIFF", RAMP.astype(np.float32)),
    ],
    ids=["PNG 16", "TIFF 16", "PGM 16", "TIFF 32", "TIFF 32, more", "TIFF real", "TIFF real to 1"],
)
def test_grey_of_many_levels_keeps_what_it_shows(content: bytes) -> None:
    levels = np.asarray(pixels_of(content).convert("RGB"))[..., 0]
    assert np.abs(levels.astype(float) - RAMP * 255).max() <= 1


def test_grey_that_is_no_number_is_no_crash() -> None:
    assert pixels_of(deep("TIFF", np.full((4, 4), np.nan, np.float32))).mode == "L"


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "JPEG2000", "PPM", "AVIF", "WEBP", "GIF", "BMP"])
def test_pictures_of_these_formats_may_be_given(kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (0, 200, 0)).save(buffer, kind)
    store = PictureStore(tmp_path)
    kept = pixels_of(store.get(store.put(buffer.getvalue())))
    red, green, blue = kept.convert("RGB").getpixel((9, 9))  # type: ignore[misc]  # three bands
    assert green > 150 > 50 > max(red, blue)


def test_a_mask_that_is_painted_on_thinly_and_one_on_a_thin_layer() -> None:
    thin = Image.new("RGBA", (8, 8))
    thin.paste((255, 255, 255, 100), (0, 0, 4, 8))
    assert [mask_of(thin).getpixel((x, 3)) for x in (1, 6)] == [255, 0]
    layer = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    layer.paste((255, 255, 255, 128), (0, 0, 4, 8))
    assert [mask_of(layer).getpixel((x, 3)) for x in (1, 6)] == [255, 0]
    assert mask_of(Image.new("RGBA", (8, 8))).getextrema() == (0, 0)


def test_a_comment_of_a_jpeg_is_an_infotext_where_it_reads_like_one() -> None:
    for comment, wanted in ((PLAIN, PLAIN), ("Made with a camera", "")):
        buffer = io.BytesIO()
        Image.new("RGB", (16, 8)).save(buffer, "JPEG", comment=comment.encode())
        assert read_infotext(buffer.getvalue())[0] == wanted


def test_a_comment_in_xmp() -> None:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment><rdf:Alt>'
        '<rdf:li xml:lang="x-default">a &quot;red&quot; fox&#xA;Steps: 20, Seed: 1, Sampler: Euler</rdf:li>'
        "</rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8)).save(buffer, "PNG", pnginfo=info)
    assert read_infotext(buffer.getvalue())[0] == 'a "red" fox\nSteps: 20, Seed: 1, Sampler: Euler'
