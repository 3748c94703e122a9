"""The SQLite file: many threads, migrations, and files that are broken, locked, or from the future."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from webui.base.errors import StorageError
from webui.catalog import database as module
from webui.catalog.database import MIGRATIONS, Database


def test_what_is_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "d.sqlite3"
    first = Database(path)
    first.write("INSERT INTO turns (owner, turn) VALUES (?, ?)", "me", 1)
    first.close()
    second = Database(path)
    assert [tuple(row) for row in second.read("SELECT owner, turn FROM turns")] == [("me", 1)]
    assert second.read("PRAGMA journal_mode")[0][0] == "wal"
    assert second.read("PRAGMA user_version")[0][0] == len(MIGRATIONS)
    second.close()


def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute("INSERT INTO turns (owner, turn) VALUES ('me', 1)")
        database.write("INSERT INTO turns (owner, turn) VALUES ('you', 1)")  # joins the block
        raise ZeroDivisionError
    assert database.read("SELECT * FROM turns") == []


def test_many_threads_write_and_none_is_lost(database: Database) -> None:
    def write(thread: int) -> None:
        for number in range(25):
            database.write("INSERT INTO turns (owner, turn) VALUES (?, ?)", f"{thread}-{number}", thread)
            database.read("SELECT COUNT(*) FROM turns")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read("SELECT COUNT(*) FROM turns")[0][0] == 200


def test_a_broken_file_is_moved_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "d.sqlite3"
    path.write_bytes(b"this is not a database, " * 100)
    with caplog.at_level(logging.ERROR):
        database = Database(path)
    database.write("INSERT INTO turns (owner, turn) VALUES ('me', 1)")
    database.close()
    (aside,) = tmp_path.glob("d.sqlite3.broken-*")
    assert aside.read_bytes().startswith(b"this is not")
    assert str(aside) in caplog.text


def test_a_file_that_is_broken_in_its_middle_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite3"
    database = Database(path)
    for number in range(500):
        database.write("INSERT INTO turns (owner, turn) VALUES (?, ?)", f"{number:0200}", number)
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:40000] = b"\xab" * (40000 - 8192)
    path.write_bytes(content)
    again = Database(path)
    assert again.read("SELECT COUNT(*) FROM turns")[0][0] == 0
    again.close()
    assert list(tmp_path.glob("d.sqlite3.broken-*"))


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite3"
    Database(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StorageError, match="newer version"):
        Database(path)
    assert not list(tmp_path.glob("*.broken-*"))


def test_each_older_schema_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.sqlite3"
    Database(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE turns ADD COLUMN mood TEXT DEFAULT 'good'"))
    database = Database(path)
    database.write("INSERT INTO turns (owner, turn) VALUES ('me', 1)")
    assert database.read("SELECT mood FROM turns")[0]["mood"] == "good"
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.sqlite3"
    Database(path).close()
    with monkeypatch.context() as patched:
        patched.setattr(module, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE half (x); CREATE TABLE turns (x)"))
        with pytest.raises(StorageError):
            Database(path)
    database = Database(path)
    assert database.read("SELECT name FROM sqlite_master WHERE name = 'half'") == []
    database.close()


def test_a_locked_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    database = Database(tmp_path / "d.sqlite3")
    other = sqlite3.connect(tmp_path / "d.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked") as caught:
        database.write("DELETE FROM turns")
    assert "twice" in caught.value.hint
    other.close()
    database.write("DELETE FROM turns")
    database.close()


def test_a_full_disk_says_so(database: Database) -> None:
    with pytest.raises(StorageError, match="full") as caught, database.writing() as connection:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE more (x)")
        connection.execute("INSERT INTO more VALUES (zeroblob(1000000))")
    assert "space" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        Database(tmp_path / "file" / "d.sqlite3")
