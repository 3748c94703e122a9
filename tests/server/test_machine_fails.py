"""The machine fails: disks fill up, vanish, or are read-only, files are locked, clocks jump. Each time one clear
sentence, the job is kept, and it goes on when the cause is gone."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.catalog.conftest import png
from tests.conftest import ROOT, until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, small
from webui.base.errors import DatabaseError, StorageError
from webui.base.paths import Paths
from webui.catalog import database
from webui.catalog.settings_store import SettingsStore
from webui.prompt.styles import Style

Open = Callable[..., Office]
LOCKED = float(os.environ.get("GESSO_TEST_LOCK_SECONDS", "0.5"))
"""How long a backup program holds the database; 20 is what a real one takes, and below what is waited for."""


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        with pytest.raises(OSError), (self.path / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(1024)):
                pass

    def empty(self) -> None:
        (self.path / "filler").unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("Only root may mount a disk.")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def house(disk: Disk) -> Iterator[Office]:
    """An installation on that disk."""
    folder = disk.path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    made = Office(disk.path, StandIn(by_itself=False))
    made.queue.start(preload=False)
    yield made
    made.close()


def message(office: Office) -> str:
    return office.queue.models.message


def finished(office: Office, job_id: str) -> None:
    """The engine makes the pictures of the job that it has."""
    until(lambda: office.engine.jobs[-1:] == [job_id], "the job to be begun")
    office.engine.paint(len(office.engine._left))
    assert office.queue.ended(job_id).result(60).state == "done"


# --- the program's own disk -------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_in_one_sentence_and_keeps_who_waits(house: Office, disk: Disk) -> None:
    house.queue.pause()
    waiting = house.queue.submit(small())
    disk.fill()
    with pytest.raises(DatabaseError, match=r"full.* Free some space"):
        while True:  # What is free within the file itself is used up first.
            house.queue.submit(small(prompt="x" * 10_000))
    house.queue.pause(False)
    until(lambda: "queue is waiting" in message(house) and "Free some space" in message(house), "a notice on the page")
    assert house.queue.job(waiting).state == "queued"
    disk.empty()
    finished(house, waiting)
    until(lambda: message(house) == "", "the notice to go")


def test_settings_on_a_disk_that_can_only_be_read_stay_as_they_were(disk: Disk) -> None:
    store = SettingsStore(Paths(data=disk.path))
    disk.remount("ro")
    with pytest.raises(StorageError, match="is read-only"):
        store.change({"samples_format": "jpg"})
    assert store.current.save.samples_format == "png"
    disk.remount("rw")
    assert store.change({"samples_format": "jpg"}).save.samples_format == "jpg"


def test_pictures_outlive_a_disk_that_can_only_be_read(office: Open, disk: Disk) -> None:
    here = office()
    here.settings.change({"outdir_samples": str(disk.path)})
    result(here, here.queue.submit(small()))
    disk.remount("ro")
    job = result(here, here.queue.submit(small()))
    assert (job.state, [picture.saved for picture in job.pictures]) == ("done", [False])
    assert sum("could not be saved" in comment and "is read-only" in comment for comment in job.comments) == 1
    disk.remount("rw")
    assert Path(here.catalog.pictures.save_again(job.pictures[0].id).path).is_file()


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_start_on_a_bad_disk_is_refused_in_one_sentence(disk: Disk, how: str) -> None:
    if how == "full":
        disk.fill()
    else:
        disk.remount("ro")
    command = [sys.executable, "-m", "webui", "--port", "0", "--nowebui", "--data-dir", str(disk.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    said = done.stderr
    assert (done.returncode, said.count("Traceback")) == (1, 0), said
    assert str(disk.path) in said
    assert ("Free some space" if how == "full" else "read") in said


# --- another program holds the database -------------------------------------------------------------------------------


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Begins a backup of the database: a function that ends it."""
    held: list[sqlite3.Connection] = []

    def begin() -> Callable[[], None]:
        found = next(tmp_path.rglob("gesso.sqlite3"))
        held.append(sqlite3.connect(found, isolation_level=None, check_same_thread=False))
        held[-1].execute("BEGIN IMMEDIATE")
        return lambda: held[-1].execute("ROLLBACK") and None

    yield begin
    for one in held:
        one.close()


def test_a_short_lock_is_waited_for(office: Open, backup: Callable[[], Callable[[], None]]) -> None:
    here = office()
    end = backup()
    done: list[str] = []
    asking = threading.Thread(target=lambda: done.append(here.queue.submit(small())))
    asking.start()
    asking.join(LOCKED)
    assert not done
    end()
    asking.join(60)
    assert here.queue.ended(done[0]).result(60).state == "done"


def test_a_lock_that_outlasts_all_patience_loses_nothing(
    office: Open, backup: Callable[[], Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    here = office(StandIn(by_itself=False))
    first = here.queue.submit(small(n_iter=2))
    waiting = here.queue.submit(small())
    until(lambda: here.engine.jobs == [first], "work")
    here.engine.paint()
    until(lambda: len(here.queue.job(first).pictures) == 1, "a picture")
    end = backup()
    with pytest.raises(DatabaseError, match="Another program"):
        here.queue.submit(small())
    here.engine.paint()
    until(lambda: "The queue is waiting." in message(here), "a notice on the page")
    assert here.queue.job(first).state == "done", "it is over, though nobody could write that down"
    assert [picture.position for picture in here.queue.job(first).pictures] == [0, 1]
    end()
    finished(here, waiting)
    until(lambda: here.catalog.jobs.get(first).state == "done", "the end to be written down")
    assert [row.position for row in here.catalog.jobs.results(first)] == [0, 1]


# --- the folder of the pictures ---------------------------------------------------------------------------------------


def vanish(folder: Path) -> Callable[[], None]:
    """A network drive's mount that has gone: the name leads nowhere."""
    folder.symlink_to(folder.parent / "gone" / "drive")
    return folder.unlink


def obstruct(folder: Path) -> Callable[[], None]:
    """Somebody has put a file there."""
    folder.write_bytes(b"")
    return folder.unlink


@pytest.mark.parametrize("breaks", [vanish, obstruct])
def test_a_picture_outlives_the_folder_it_was_meant_for(
    office: Open, tmp_path: Path, breaks: Callable[[Path], Callable[[], None]]
) -> None:
    here = office()
    folder = tmp_path / "pictures"
    here.settings.change({"outdir_samples": str(folder)})
    mend = breaks(folder)
    job = result(here, here.queue.submit(small()))
    assert (job.state, [picture.saved for picture in job.pictures]) == ("done", [False])
    assert sum("could not be saved" in comment and str(folder) in comment for comment in job.comments) == 1
    again = result(here, here.queue.submit(small()))
    assert again.state == "done", "and so do the next ones"
    mend()
    for one in (*job.pictures, *again.pictures):
        assert Path(here.catalog.pictures.save_again(one.id).path).is_file()


_touch = os.utime


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("fsync", errno.EIO),
        ("fsync", errno.ENOSPC),
        ("fsync", errno.EDQUOT),
        ("open", errno.ESTALE),
        ("open", errno.EROFS),
        ("open", errno.EACCES),
        ("link", errno.EPERM),
        ("chmod", errno.EPERM),
    ],
)
def test_whatever_call_fails_the_picture_is_there(
    office: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    here = office()
    folder = tmp_path / "pictures"
    here.settings.change({"outdir_samples": str(folder)})
    real = getattr(os, call)

    def fails(path: object, *rest: object, **more: object) -> object:
        if call == "fsync" or str(folder) in str(path):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        job = result(here, here.queue.submit(small()))
    assert (job.state, len(job.pictures)) == ("done", 1)
    picture = job.pictures[0]
    if not picture.saved:
        assert sum(os.strerror(number) in comment for comment in job.comments) == 1
        here.catalog.pictures.save_again(picture.id)
    assert Path(here.catalog.pictures.get(picture.id).path).is_file()
    assert call not in ("link", "chmod") or picture.saved, "these are no failures"


def test_a_drive_of_another_system_takes_everything(office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """exFAT, NTFS and network drives belong to another: they know neither rights nor links, and let nobody change
    times. Whatever is kept is kept there too, the second time as well."""
    here = office()

    def refused(*_given: object, **_more: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for call in ("chmod", "fchmod", "link", "symlink", "utime"):
        monkeypatch.setattr(os, call, refused)
    for turn in range(2):
        name = here.catalog.uploads.put(png())
        assert here.catalog.uploads.get(name) == png()
        assert here.catalog.uploads.sweep((), older_than_seconds=60) == 0, "it counts as put just now"
        here.catalog.styles.save(Style("night", f"at night {turn}", ""))
        here.settings.change({"samples_filename_pattern": "always", "CLIP_stop_at_last_layers": turn + 1})
        job = result(here, here.queue.submit(small()))
        assert (job.state, [picture.saved for picture in job.pictures], job.comments) == ("done", [True], ())
        assert not list(here.catalog.paths.data.rglob("*.tmp"))
        # as a month later
        (kept,) = (path for path in here.catalog.paths.data.rglob(name))
        _touch(kept, (time.time() - 30 * 86400,) * 2)
    assert SettingsStore(here.catalog.paths).current.render.clip_skip == 2
    assert here.catalog.styles.all()["night"].prompt == "at night 1"
    pictures = [here.catalog.pictures.get(each.id) for each in here.catalog.pictures.newest()]
    assert len({picture.path for picture in pictures}) == 2, "none was written over"


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [3.0, -3.0])
def test_the_clock_may_jump(office: Open, monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    here = office(StandIn(by_itself=False))
    first, second = here.queue.submit(small(n_iter=2)), here.queue.submit(small())
    until(lambda: here.engine.jobs == [first], "work")
    here.engine.paint()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    third = here.queue.submit(small())
    here.engine.paint()
    for job_id in (second, third):
        finished(here, job_id)
    assert here.engine.jobs == [first, second, third], "in their order"
    for job_id, count in ((first, 2), (second, 1), (third, 1)):
        job = here.queue.job(job_id)
        assert (job.state, len(job.pictures), job.error) == ("done", count, None)
    assert len(here.catalog.pictures.newest()) == 4
    here.close()
    after = office()
    assert {after.queue.job(job_id).state for job_id in (first, second, third)} == {"done"}
