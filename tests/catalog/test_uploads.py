"""Uploaded pictures: kept by their contents, and nothing else gets in or out."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import pytest

from webui.base.errors import NotFound, StorageError, UserError
from webui.catalog.uploads import PictureStore

from .conftest import png


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "uploads")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP"])
def test_what_is_put_is_got_by_its_hash(store: PictureStore, kind: str) -> None:
    content = png(kind=kind)
    name = store.put(content)
    assert name == hashlib.sha256(content).hexdigest()
    assert store.get(name) == content
    assert store.put(content) == name


def header_only(width: int, height: int) -> bytes:
    """A PNG that promises this size and holds almost nothing: a bomb when the size is believed."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am no picture", "not a picture in a supported format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"<html><svg onload=alert(1)></svg></html>", "SVG"),
        (b"%PDF-1.7", "not a picture in a supported format"),
        (png(kind="PCX"), "not a picture in a supported format"),
        (png(200, 200)[:-40], "cannot be read"),
        (png(200, 200, kind="JPEG")[:400], "cannot be read"),
        (header_only(9000, 9000), "9000x9000"),
        (header_only(60000, 60000), "too large"),
        (header_only(2**31 - 1, 2**31 - 1), "too large|cannot be read"),
        (header_only(0, 5), "cannot be read|not a picture"),
        (header_only(100, 100), "cannot be read"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason(
    store: PictureStore, tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        store.put(content)
    assert not list(tmp_path.glob("uploads/**/*"))


def test_a_file_of_too_many_bytes_is_not_even_opened(store: PictureStore) -> None:
    store.allow(10, 1_000)
    with pytest.raises(UserError, match="bytes"):
        store.put(png())


def test_how_large_a_picture_may_be_is_the_installation_s_choice(store: PictureStore) -> None:
    store.allow(2**20, 10)
    with pytest.raises(UserError, match="too many"):
        store.put(png())
    store.allow(2**20, 2**20)
    store.put(png())


HOSTILE_NAMES = ("", ".", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 63 + "\n", "a" * 64 + "\n")
MORE = ("../" * 21 + "a", "..%2f" + "a" * 59, "a" * 64 + "/..", "\0" * 64, "C:\\" + "a" * 61, "é" * 64, "\uff41" * 64)


@pytest.mark.parametrize("name", (*HOSTILE_NAMES, *MORE))
def test_no_name_but_a_hash_reaches_the_disk(store: PictureStore, name: str) -> None:
    with pytest.raises(NotFound):
        store.get(name)
    with pytest.raises(NotFound):
        store.path(name)


def test_old_uploads_go_but_for_those_that_jobs_need(store: PictureStore) -> None:
    old, needed, fresh = (store.put(png(colour=colour)) for colour in ("red", "blue", "green"))
    for name in (old, needed):
        os.utime(store.path(name), (1, 1))
    assert store.sweep({needed}, older_than_seconds=3600) == 1
    with pytest.raises(NotFound, match="Upload it again"):
        store.get(old)
    assert store.get(needed)
    assert store.get(fresh)
    os.utime(store.path(fresh), (1, 1))
    store.put(png(colour="green"))
    assert store.sweep({needed}, older_than_seconds=3600) == 0, "putting it again makes it young again"


def test_a_folder_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_bytes(b"a file, not a folder")
    with pytest.raises(StorageError, match="cannot be written"):
        PictureStore(tmp_path / "uploads").put(png())
