"""Files are written whole or not at all, also where other programs look at them; locks say what is the matter."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from webui.base import folder_lock
from webui.base.files import replace
from webui.base.folder_lock import FolderLock


class Denied(OSError):
    winerror = 5


def test_a_file_that_a_virus_scanner_reads_is_replaced_a_moment_later(tmp_path: Path) -> None:
    tries: list[str] = []

    def move(source: str | Path, target: str | Path) -> None:
        tries.append(str(source))
        if len(tries) < 4:
            raise Denied(errno.EACCES, "Access is denied")
        Path(source).rename(target)

    (tmp_path / "new").write_text("new")
    replace(tmp_path / "new", tmp_path / "old", move)
    assert (tmp_path / "old").read_text() == "new" and len(tries) == 4


def test_what_stays_refused_is_said_and_other_errors_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.base.files.PATIENCE", 0.1)
    tries: list[int] = []

    def denied(_source: str | Path, _target: str | Path) -> None:
        tries.append(5)
        raise Denied(errno.EACCES, "Access is denied")

    with pytest.raises(OSError, match="denied"):
        replace(tmp_path / "a", tmp_path / "b", denied)
    assert len(tries) > 1
    tries.clear()

    def full(_source: str | Path, _target: str | Path) -> None:
        tries.append(28)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="space"):
        replace(tmp_path / "a", tmp_path / "b", full)
    assert tries == [28]


def test_a_drive_without_locks_is_worked_with_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(_number: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_lock", no_locks)
    with caplog.at_level(logging.WARNING):
        FolderLock(tmp_path / "lock").release()
    assert "only one server" in caplog.text
