"""Files are written whole or not at all, on every kind of disk, and with the rights that people expect."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from webui.base import files, folder_lock
from webui.base.errors import StorageError, UserError
from webui.base.files import write_atomically, write_new
from webui.base.folder_lock import FolderLock

RIGHTS = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such rights.")


def refusing(number: int) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@RIGHTS
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], indirect=True)
def test_a_new_file_has_the_rights_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "a", b"x")
    assert write_new(tmp_path / "b", b"x")
    assert rights(tmp_path / "a") == rights(tmp_path / "b") == 0o666 & ~umask


@RIGHTS
@pytest.mark.parametrize("umask", [0o022], indirect=True)
def test_a_file_keeps_its_rights_and_a_private_one_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "config.json"
    write_atomically(path, b"old")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert (path.read_bytes(), rights(path)) == (b"new", 0o640)
    write_atomically(path, b"newest", private=True)
    assert rights(path) == 0o600
    del umask


@pytest.mark.parametrize(
    ("call", "number"),
    [
        *((call, number) for call in ("chmod", "link") for number in (errno.EPERM, errno.EINVAL, errno.ENOTSUP)),
        *(("fsync", number) for number in (errno.EINVAL, errno.ENOTSUP)),
    ],
)
def test_disks_without_rights_links_or_fsync_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """exFAT, NTFS, WSL's /mnt/c, SMB and FUSE: each refuses some call or other."""
    monkeypatch.setattr(os, call, refusing(number))
    path = tmp_path / "outputs" / "picture.png"
    for content in (b"first", b"second"):
        write_atomically(path, content, private=True)
        assert path.read_bytes() == content
    assert not write_new(path, b"third"), "the name is taken"
    assert write_new(path.with_name("other.png"), b"third")
    assert sorted(file.name for file in path.parent.iterdir()) == ["other.png", "picture.png"], "nothing is left over"


@pytest.mark.parametrize(
    ("call", "number", "hint"),
    [
        ("fsync", errno.ENOSPC, "Free some space"),
        ("fsync", errno.EDQUOT, "Free some space"),
        ("open", errno.EROFS, "is read-only"),
        ("open", errno.EACCES, "permissions"),
        ("open", errno.ENOENT, "drive"),
        ("replace", errno.EIO, "drive"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, hint: str
) -> None:
    path = tmp_path / "styles.csv"
    path.write_bytes(b"as it was")
    with monkeypatch.context() as patch:
        patch.setattr(files if call == "replace" else os, call, refusing(number))
        with pytest.raises(StorageError) as refused:
            write_atomically(path, b"new")
    assert refused.value.message == f"{path} cannot be written: {os.strerror(number)}."
    assert hint in refused.value.hint
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_folder_should_be_is_no_name_that_is_taken(tmp_path: Path) -> None:
    """Whoever looks for a free name would look for ever."""
    (tmp_path / "outputs").write_bytes(b"")
    with pytest.raises(StorageError):
        write_new(tmp_path / "outputs" / "00000.png", b"x")


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network drives know no locks; that is not another server."""
    path = tmp_path / "server.lock"
    with monkeypatch.context() as patch:
        patch.setattr(folder_lock, "_lock", refusing(errno.ENOLCK))
        FolderLock(path).release()
    held = FolderLock(path)
    with pytest.raises(UserError, match="Another server"):
        FolderLock(path)
    held.release()
