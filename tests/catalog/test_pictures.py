"""Finished pictures: named as A1111 names them, never one over another, never lost for want of space."""

from __future__ import annotations

import io
import random
import shutil
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog import pictures as module
from webui.catalog.database import Database
from webui.catalog.image_files import read_infotext
from webui.catalog.pictures import NotSaved, Pictures, SavedPicture
from webui.request.fields import Txt2Img
from webui.request.filenames import Naming
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings, SaveSettings, Settings

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
TEXT = "a cat\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: 5"
FOLDER = Path("outputs") / "txt2img-images" / "2024-05-06"
RGB = bytes(range(256)) * 3


@pytest.fixture
def pictures(database: Database, paths: Paths) -> Pictures:
    return Pictures(database, paths)


def draft(seed: int = 5, kind: str = "txt2img", created: float = 1.0, owner: str = "me") -> SavedPicture:
    return SavedPicture(
        kind=kind,
        job_id="j",
        position=0,
        owner=owner,
        infotext=TEXT,
        width=16,
        height=16,
        seed=seed,
        model="m",
        sampler="Euler",
        created=created,
    )


def naming(seed: int = 5, prompt: str = "a cat") -> Naming:
    picture = Picture(Txt2Img(prompt=prompt, seed=seed), RenderSettings(), seed=seed, subseed=0, position=0)
    plan = Plan(batches=((picture,),), checkpoint=CheckpointRef(path="", title="m", name="m"))
    return Naming(picture=picture, plan=plan, now=NOW, started=NOW)


def saving(**options: object) -> SaveSettings:
    return Settings().with_options(options).save


def test_a_picture_is_saved_shown_and_found_again(pictures: Pictures, paths: Paths, database: Database) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())
    assert Path(saved.path) == paths.data / FOLDER / "00000-5.png"
    assert read_infotext(Path(saved.path)) == (TEXT, {})
    content, kind = pictures.content(saved.id)
    with Image.open(io.BytesIO(content)) as image:
        assert (kind, image.tobytes()) == ("png", RGB)
    assert Pictures(database, paths).get(saved.id) == saved
    assert pictures.pending() == ()
    assert [path.name for path in (paths.data / FOLDER).iterdir()] == ["00000-5.png"], "nothing else is left there"


def test_numbers_go_on_from_what_is_there(pictures: Pictures, paths: Paths) -> None:
    (paths.data / FOLDER).mkdir(parents=True)
    for name in ("00041-9.png", "7.txt", "grid-0099.png", "notes", "٤٥-1.png"):
        (paths.data / FOLDER / name).write_bytes(b"x")
    names = [Path(pictures.save(RGB, draft(), naming(), saving()).path).name for _ in range(2)]
    assert names == ["00042-5.png", "00043-5.png"]


def test_a_name_that_was_taken_meanwhile_is_left_alone(pictures: Pictures, paths: Paths) -> None:
    pictures.save(RGB, draft(), naming(), saving())
    theirs = paths.data / FOLDER / "00001-5.png"
    theirs.write_bytes(b"another program's")
    assert Path(pictures.save(RGB, draft(), naming(), saving()).path).name == "00002-5.png"
    assert theirs.read_bytes() == b"another program's"


def test_many_threads_get_a_number_each(pictures: Pictures, paths: Paths) -> None:
    def work(seed: int) -> None:
        for _ in range(5):
            pictures.save(RGB, draft(seed), naming(seed), saving())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(int(path.name[:5]) for path in (paths.data / FOLDER).iterdir())
    assert numbers == list(range(40))
    assert len(pictures.newest(limit=100)) == 40


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"samples_filename_pattern": "[seed]-[steps]"}, FOLDER / "00000-5-20.png"),
        ({"save_to_dirs": False}, Path("outputs/txt2img-images/00000-5-a cat.png")),
        ({"directories_filename_pattern": "[date]/[prompt_words]"}, FOLDER / "a cat" / "00000-5.png"),
        ({"directories_filename_pattern": ""}, Path("outputs/txt2img-images/a cat/00000-5.png")),
        ({"outdir_samples": "all"}, Path("all/2024-05-06/00000-5.png")),
        ({"samples_filename_pattern": "[none]"}, FOLDER / "00000.png"),
        ({"samples_filename_pattern": "../../../[seed]"}, FOLDER / "00000-.._.._.._5.png"),
        ({"directories_filename_pattern": "../../../x"}, Path("outputs/txt2img-images/x/00000-5.png")),
        ({"samples_format": "jpg"}, FOLDER / "00000-5.jpg"),
        ({"save_images_add_number": False}, FOLDER / "5.png"),
        ({"save_images_add_number": False, "samples_filename_pattern": "con"}, FOLDER / "_con.png"),
    ],
)
def test_settings_decide_where_it_goes(
    pictures: Pictures, paths: Paths, options: dict[str, object], path: Path
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(**options))
    assert Path(saved.path).relative_to(paths.data) == path
    assert read_infotext(Path(saved.path))[0] == TEXT


def test_an_absolute_folder_is_taken_as_it_is(pictures: Pictures, tmp_path: Path) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(outdir_txt2img_samples=str(tmp_path / "elsewhere")))
    assert Path(saved.path).parent == tmp_path / "elsewhere" / "2024-05-06"


def test_the_text_may_be_left_out_or_laid_beside(pictures: Pictures) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(enable_pnginfo=False, save_txt=True))
    assert read_infotext(Path(saved.path))[0] == ""
    assert read_infotext(Path(saved.path).with_suffix(".txt"))[0] == TEXT


def test_a_text_that_finds_no_room_in_the_file_is_laid_beside(pictures: Pictures) -> None:
    long = replace(draft(), infotext="long " * 10_000 + TEXT)
    saved = pictures.save(RGB, long, naming(), saving(samples_format="jpg"))
    assert read_infotext(Path(saved.path).with_suffix(".txt"))[0] == long.infotext


def test_what_is_not_to_be_kept_is_shown_until_the_next_start(pictures: Pictures, paths: Paths) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(samples_save=False))
    assert not (paths.data / "outputs").exists()
    assert pictures.content(saved.id)
    pictures.forget_unsaved()
    assert not Path(saved.path).exists()
    with pytest.raises(NotFound):
        pictures.get(saved.id)


def test_a_picture_that_cannot_be_written_waits_and_is_saved_again(pictures: Pictures, paths: Paths) -> None:
    (paths.data / "outputs").write_bytes(b"a file where a folder should be")
    with pytest.raises(NotSaved, match="could not be saved") as caught:
        pictures.save(RGB, draft(), naming(), saving())
    waiting = caught.value.picture
    assert waiting.path == ""
    assert pictures.get(waiting.id) == waiting
    assert pictures.content(waiting.id)[1] == "png"
    assert pictures.thumbnail(waiting.id)
    assert pictures.pending() == (waiting,)
    with pytest.raises(NotSaved):
        pictures.save_again(waiting.id)
    (paths.data / "outputs").unlink()
    saved = pictures.save_again(waiting.id)
    assert (saved.id, Path(saved.path).name) == (waiting.id, "00000-5.png")
    assert pictures.pending() == ()
    with pytest.raises(NotFound):
        pictures.save_again(waiting.id)


def test_a_picture_that_cannot_be_recorded_is_written_once(
    pictures: Pictures, paths: Paths, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.catalog.database.BUSY_SECONDS", 0.02)
    database.close()  # the next connection waits as long as this
    locked = sqlite3.connect(paths.database, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotSaved) as caught:
        pictures.save(RGB, draft(), naming(), saving())
    locked.execute("ROLLBACK")
    locked.close()
    saved = pictures.save_again(caught.value.picture.id)
    assert [path.name for path in (paths.data / FOLDER).iterdir()] == [Path(saved.path).name]
    assert pictures.get(saved.id) == saved


def test_only_so_much_waits_in_memory(pictures: Pictures, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    (paths.data / "outputs").write_bytes(b"a file where a folder should be")
    monkeypatch.setattr(module, "MOST_PENDING_BYTES", 2000)
    ids = []
    for seed in range(4):
        with pytest.raises(NotSaved) as caught:
            pictures.save(random.Random(seed).randbytes(768), draft(seed), naming(seed), saving())
        ids.append(caught.value.picture.id)
    kept = [picture.id for picture in pictures.pending()]
    assert kept == ids[-len(kept) :]
    assert 1 <= len(kept) < 4
    pictures.give_up(kept[0])
    with pytest.raises(NotFound):
        pictures.content(kept[0])


def test_thumbnails_are_small_kept_and_made_for_known_pictures_alone(pictures: Pictures, paths: Paths) -> None:
    wide = replace(draft(), width=800, height=400)
    saved = pictures.save(bytes(800 * 400 * 3), wide, naming(), saving())
    small = pictures.thumbnail(saved.id)
    with Image.open(io.BytesIO(small)) as image:
        assert (image.format, image.size) == ("WEBP", (256, 128))
    Path(saved.path).unlink()
    assert pictures.thumbnail(saved.id) == small
    shutil.rmtree(paths.state / "thumbnails")
    with pytest.raises(NotFound, match="is gone"):
        pictures.thumbnail(saved.id)
    for hostile in ("../../etc/passwd", "", "x" * 16, f"{saved.id}/../{saved.id}"):
        with pytest.raises(NotFound):
            pictures.thumbnail(hostile)


def test_the_newest_come_first(pictures: Pictures) -> None:
    for created in (1.0, 3.0, 2.0):
        pictures.save(RGB, draft(created=created, owner="me" if created < 3 else "you"), naming(), saving())
    assert [picture.created for picture in pictures.newest()] == [3.0, 2.0, 1.0]
    assert [picture.created for picture in pictures.newest(owner="me", limit=1)] == [2.0]
    assert [picture.created for picture in pictures.newest(before=2.0)] == [1.0]


@pytest.mark.parametrize("kind", ["png", "webp", "avif", "jpg"])
def test_what_is_transparent_is_kept_where_the_format_can_and_is_white_elsewhere(
    pictures: Pictures, paths: Paths, kind: str
) -> None:
    rgb, alpha = bytes((200, 30, 30)) * 256, bytes([255] * 128 + [0] * 128)
    wanted = saving(samples_format=kind, webp_lossless=True)
    for saved in (
        pictures.save(rgb, draft(), naming(), wanted, alpha=alpha),
        pictures.save_extras(rgb, draft(kind="extras"), "disc", {}, wanted, alpha=alpha),
    ):
        with Image.open(io.BytesIO(pictures.content(saved.id)[0])) as image:
            assert image.mode == ("RGB" if kind == "jpg" else "RGBA")
            below = image.convert("RGBA").getpixel((8, 14))
        assert isinstance(below, tuple)
        assert min(below) > 250 if kind == "jpg" else below[3] < 5
        with Image.open(io.BytesIO(pictures.thumbnail(saved.id))) as small:
            assert min(small.convert("RGB").getpixel((8, 14))) > 200, "the lists of pictures are white there"  # type: ignore[type-var, arg-type]
