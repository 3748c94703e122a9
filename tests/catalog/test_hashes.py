"""Hashes: right, kept, computed anew when the file changes, and never in anybody's way."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path

import pytest

from webui.base.errors import Interrupted, ModelError, StorageError
from webui.catalog.database import Database
from webui.catalog.files import find_files
from webui.catalog.hashes import BackgroundHashing, Hashes
from webui.catalog.headers import LARGEST_HEADER, read_header, read_metadata

CONTENT = bytes(range(256)) * 8192  # 2 MiB


def test_each_kind_of_hash_is_what_others_have(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = b'{"__metadata__": {"a": "b"}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + CONTENT)
    hashes = Hashes(database)
    assert hashes.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert hashes.contents(path) == hashlib.sha256(CONTENT).hexdigest()
    assert hashes.legacy(path) == hashlib.sha256(path.read_bytes()[0x100000:0x110000]).hexdigest()[:8]


def test_a_hash_is_kept_until_the_file_changes(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"one")
    hashes = Hashes(database)
    assert hashes.cached(path) is None
    first = hashes.sha256(path)
    assert hashes.cached(path) == first == Hashes(database).cached(path)
    path.write_bytes(b"two!")
    assert hashes.cached(path) is None
    assert hashes.sha256(path) == hashlib.sha256(b"two!").hexdigest()
    os.utime(path, ns=(0, 0))
    assert hashes.cached(path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' disks hold no such times")
@pytest.mark.parametrize("second", [-(2**33), 2**34, 2**40])
def test_a_file_of_any_time_has_a_hash(database: Database, tmp_path: Path, second: int) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"one")
    os.utime(path, (second, second))
    hashes = Hashes(database)
    (found,) = find_files(tmp_path, (".pt",))
    assert hashes.cached(path, found.stamp) is None
    known = hashes.sha256(path)
    assert hashes.cached(path, found.stamp) == hashes.cached(path) == known


def test_a_known_hash_needs_no_reading(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"one")
    known = Hashes(database).sha256(path)
    status = path.stat()
    path.write_bytes(b"eno")  # other bytes, same size; the time is put back
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Hashes(database).sha256(path) == known


def test_hashing_stops_when_asked(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(CONTENT)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        Hashes(database).sha256(path, stop)
    assert Hashes(database).cached(path) is None


def test_a_file_that_is_gone_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        Hashes(database).sha256(tmp_path / "gone")


def test_the_background_hashes_all_and_tells_of_each(database: Database, tmp_path: Path) -> None:
    files = [tmp_path / f"m{number}" for number in range(5)]
    for file in files:
        file.write_bytes(file.name.encode())
    told: list[Path] = []
    hashes = Hashes(database)
    background = BackgroundHashing(hashes, told.append)
    background.add([tmp_path / "gone", *files])
    assert background.wait(30)
    assert told == files
    assert all(hashes.cached(file) for file in files)
    background.stop()


def test_what_is_wanted_first_comes_first(database: Database, tmp_path: Path) -> None:
    files = [tmp_path / f"m{number}" for number in range(4)]
    for file in files:
        file.write_bytes(file.name.encode())
    told: list[Path] = []
    going = threading.Event()

    def hashed(path: Path) -> None:
        told.append(path)
        going.wait(30)

    background = BackgroundHashing(Hashes(database), hashed)
    background.add(files)
    background.add([files[3]], first=True)
    going.set()
    assert background.wait(30)
    background.stop()
    assert told.index(files[3]) <= 1
    assert sorted(told) == files


def test_stopping_does_not_wait_for_the_rest(database: Database, tmp_path: Path) -> None:
    files = [tmp_path / f"m{number}" for number in range(50)]
    for file in files:
        file.write_bytes(b"x")
    told: list[Path] = []
    background = BackgroundHashing(Hashes(database), lambda path: told.append(path) or background_stop.set())
    background_stop = threading.Event()
    background.add(files)
    background_stop.wait(30)
    background.stop()
    assert len(told) < 50
    background.add(files)  # after the end: nothing begins
    assert not background.wait(0)


def test_a_header_of_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    for length in (2 * 2**30, 2**63 - 1, 2**64 - 1, 0, 1):
        path = tmp_path / "m.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + b"{}" * 50)
        with pytest.raises(ModelError, match="not a safetensors file"):
            read_header(path)
        assert read_metadata(path) == {}


def test_a_long_header_is_refused_even_when_the_file_is_as_long(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write((LARGEST_HEADER + 1).to_bytes(8, "little"))
        file.truncate(LARGEST_HEADER + 100)  # sparse: takes no space
    with pytest.raises(ModelError, match="are read"):
        read_header(path)


@pytest.mark.parametrize("header", [b"[1, 2]", b"{not json}", b"[" * 100_000, b"\xff\xfe{}", b'"text"'])
def test_a_header_that_is_no_table_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError):
        read_header(path)


def test_metadata_is_unpacked_and_without_its_picture(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = b'{"__metadata__": {"ss_tags": "{\\"a\\": 1}", "modelspec.thumbnail": "data:...", "bad": "{x"}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert read_metadata(path) == {"ss_tags": {"a": 1}, "bad": "{x"}
    assert read_metadata(tmp_path / "m.ckpt") == {}
