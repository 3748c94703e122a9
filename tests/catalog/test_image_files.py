"""Picture files carry their infotext, in every format, and give it back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from webui.base.errors import UserError
from webui.catalog.image_files import Format, encode, read_infotext

from .conftest import png

KINDS = get_args(Format)
TEXT = "a cat, été 日本 🎨\nNegative prompt: x\nSteps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 1"
A1111 = Path(__file__).parents[1] / "golden" / "a1111.png"


def picture() -> Image.Image:
    return Image.effect_mandelbrot((32, 24), (-2, -1, 1, 1), 50).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=400))
@example(text="\u00c2\u0080 is UTF-8 when it is written as Latin-1")
def test_what_is_written_is_read_again(kind: Format, text: str) -> None:
    whole = f"x{text}\nSteps: 20"  # every infotext has its labels
    encoded = encode(picture(), kind, whole)
    assert encoded.holds_infotext
    assert read_infotext(encoded.content)[0] == whole.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_keep_their_pixels_and_no_text_when_none_is_wanted(kind: Format) -> None:
    encoded = encode(picture(), kind, "", lossless=True)
    assert read_infotext(encoded.content)[0] == ""
    with Image.open(io.BytesIO(encoded.content)) as image:
        assert image.size == (32, 24)
        if kind in ("png", "webp"):
            assert image.convert("RGB").tobytes() == picture().tobytes()


def test_the_chunk_is_where_others_look_for_it() -> None:
    with Image.open(io.BytesIO(encode(picture(), "png", TEXT).content)) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text == {"parameters": TEXT}
    content = encode(picture(), "jpg", "a").content
    assert b"UNICODE\0\0a" in content


def test_pictures_of_a1111_are_read() -> None:
    text, items = read_infotext(A1111)
    assert text.startswith("a red cat sitting on a wooden table, sunlight\nNegative prompt: blurry")
    assert text.endswith("Version: v1.10.1")
    assert items == {}


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le", "utf-16"])
def test_either_byte_order_is_understood(order: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + TEXT.encode(order)
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG", exif=exif.tobytes())
    assert read_infotext(buffer.getvalue())[0] == TEXT


def test_a_gif_has_it_in_its_comment_and_a_text_file_is_one(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "GIF", comment=b"a cat\nSteps: 20")
    assert read_infotext(buffer.getvalue())[0] == "a cat\nSteps: 20"
    (tmp_path / "a.txt").write_text(TEXT + "\n", encoding="utf-8-sig")
    assert read_infotext(tmp_path / "a.txt")[0] == TEXT
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="UTF-8"):
        read_infotext(tmp_path / "b.txt")


def test_other_texts_are_shown_and_technical_ones_are_not() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("workflow", "{}")
    chunks.add_text("Software", "Krita")
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=chunks, dpi=(72, 72))
    assert read_infotext(buffer.getvalue()) == ("", {"workflow": "{}", "Software": "Krita"})


def test_novelai_pictures_are_translated() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "NovelAI")
    chunks.add_text("Description", "a cat")
    comment = {"steps": 28, "sampler": "k_euler_ancestral", "seed": 5, "scale": 11.0, "uc": "bad"}
    chunks.add_text("Comment", json.dumps(comment))
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", pnginfo=chunks)
    assert "Sampler: Euler a, CFG scale: 11.0, Seed: 5, Size: 32x24" in read_infotext(buffer.getvalue())[0]


def test_a_picture_too_wide_for_its_format_becomes_a_png() -> None:
    assert encode(Image.new("RGB", (16384, 1)), "webp", TEXT).kind == "png"
    assert encode(Image.new("RGB", (16384, 1)), "jpg", TEXT).kind == "jpg"


def test_a_text_too_long_for_a_jpeg_is_left_out_and_said() -> None:
    encoded = encode(picture(), "jpg", "long " * 10_000)
    assert not encoded.holds_infotext
    assert read_infotext(encoded.content)[0] == ""
    assert encode(picture(), "webp", "long " * 10_000).holds_infotext


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks on broken files
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_file_cut_anywhere_raises_nothing_but_our_errors(kind: str) -> None:
    content = png(kind=kind)
    for end in range(0, len(content), max(1, len(content) // 60)):
        try:
            read_infotext(content[:end])
        except UserError as error:
            assert error.message


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100))
def test_garbage_raises_nothing_but_our_errors(garbage: bytes, at: int) -> None:
    whole = encode(picture(), "jpg", TEXT).content
    for content in (garbage, whole[:at] + garbage + whole[at + len(garbage) :], b"\x89PNG\r\n\x1a\n" + garbage):
        try:
            read_infotext(content)
        except UserError as error:
            assert error.message
