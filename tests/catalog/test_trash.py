"""The trash: what is deleted comes back as it was, whatever happens in between; nothing is lost between the tables."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.catalog.test_history import known, listed
from tests.catalog.test_pictures import RGB, draft, naming, saving
from webui.base.errors import NotFound, StorageError
from webui.base.paths import Paths
from webui.catalog import trash as module
from webui.catalog.albums import Albums
from webui.catalog.database import Database
from webui.catalog.history import History
from webui.catalog.history_folders import FolderIndex
from webui.catalog.pictures import Pictures
from webui.catalog.trash import Trash


@pytest.fixture
def pictures(database: Database, paths: Paths) -> Pictures:
    return Pictures(database, paths)


@pytest.fixture
def history(database: Database, pictures: Pictures) -> History:
    return History(database, pictures)


@pytest.fixture
def trash(database: Database, pictures: Pictures, paths: Paths) -> Trash:
    return Trash(database, pictures, paths)


def test_a_picture_comes_back_as_it_was(
    history: History, trash: Trash, pictures: Pictures, database: Database, paths: Paths
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(save_txt=True))
    content = Path(saved.path).read_bytes()
    history.judge(saved.id, rating=4, favourite=True, tags=("wall",))
    before = history.get(saved.id)
    album = Albums(database).create("", "Prints")
    Albums(database).add("", album, [saved.id])

    assert trash.put(saved.id) == saved.job_id
    assert listed(history) == listed(history, text="wall") == []
    assert not Path(saved.path).exists()
    assert not Path(saved.path).with_suffix(".txt").exists()
    assert Albums(database).all("")[0].count == 0
    (shown,) = trash.listed()
    assert (shown.id, shown.was, shown.prompt) == (saved.id, saved.path, before.prompt)
    assert trash.thumbnail(saved.id).startswith(b"RIFF")
    index = FolderIndex(database)
    index.look((paths.outputs,))
    index.wait()
    assert listed(history) == [], "what is in the trash is no new picture"

    trash.restore(saved.id)
    assert history.get(saved.id) == before
    assert Path(saved.path).read_bytes() == content
    assert Path(saved.path).with_suffix(".txt").is_file()
    assert listed(history, text="wall") == [before.prompt]
    assert Albums(database).all("")[0].count == 1
    assert trash.listed() == ()


def test_where_another_picture_has_taken_its_name_and_its_place_it_comes_beside_it(
    history: History, trash: Trash, pictures: Pictures, database: Database
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())
    number = history.get(saved.id).number
    trash.put(saved.id)
    Path(saved.path).write_bytes(b"another one")
    other = known(database, "another one", 5.0)
    database.write("UPDATE pictures SET number = ? WHERE id = ?", number, other)
    trash.restore(saved.id)
    back = history.get(saved.id)
    assert Path(back.path).stem == f"{Path(saved.path).stem}-1"
    assert back.number == number + 1
    assert Path(saved.path).read_bytes() == b"another one"


def test_everybody_has_their_own_trash(history: History, trash: Trash, pictures: Pictures) -> None:
    hers = pictures.save(RGB, draft(owner="anna"), naming(), saving())
    with pytest.raises(NotFound):
        trash.put(hers.id, owner="bert")
    trash.put(hers.id, owner="anna")
    for act in (trash.restore, trash.destroy, trash.thumbnail):
        with pytest.raises(NotFound):
            act(hers.id, "bert")
    assert trash.listed("bert") == ()
    assert trash.empty("bert") == (0, [])
    assert trash.empty("anna") == (1, [])
    assert not Path(trash._paths.outputs / module.FOLDER).exists()
    with pytest.raises(NotFound):
        trash.restore(hers.id)


def test_what_was_deleted_long_ago_goes_for_good(trash: Trash, pictures: Pictures, database: Database) -> None:
    old, new = (pictures.save(RGB, draft(seed=seed), naming(seed), saving()).id for seed in (1, 2))
    trash.put(old)
    trash.put(new)
    database.write("UPDATE trash SET since = ? WHERE id = ?", time.time() - 1000, old)
    assert trash.empty(before=time.time() - 500) == (1, [])
    assert [one.id for one in trash.listed()] == [new]


@pytest.mark.parametrize("moved", [False, True])
def test_killed_in_the_middle_it_is_deleted_or_not(
    history: History, trash: Trash, pictures: Pictures, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())

    def killed(path: Path, kept: Path, infotext: str) -> bool:
        if moved:
            kept.parent.mkdir()
            path.rename(kept)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_moved", killed)
        with pytest.raises(KeyboardInterrupt):
            trash.put(saved.id)
    trash.mend()
    assert bool(listed(history)) is not moved
    assert bool(trash.listed()) is moved
    if moved:
        trash.restore(saved.id)
    assert Path(history.get(saved.id).path).is_file()


def test_a_file_that_cannot_be_moved_stays_where_it_is(
    history: History, trash: Trash, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())

    def held(self: Path, target: Path) -> Path:
        raise PermissionError(13, "used by another process")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", held)
        with pytest.raises(StorageError, match="used by another process"):
            trash.put(saved.id)
    assert trash.listed() == ()
    assert history.get(saved.id).path == saved.path
    assert Path(saved.path).is_file()


def test_on_another_disk_the_trash_is_beside_the_picture(
    trash: Trash, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())
    real = Path.replace

    def across(self: Path, target: Path) -> Path:
        if Path(target).parent == trash._paths.outputs / module.FOLDER:
            raise OSError(18, os.strerror(18))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", across)
    trash.put(saved.id)
    assert Path(trash.listed()[0].path).parent == Path(saved.path).parent / module.FOLDER
    trash.restore(saved.id)
    assert Path(saved.path).is_file()
