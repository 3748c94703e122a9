"""The Save button: copies in a folder, a table of them, zip files."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from webui.base.errors import NotFound, StorageError, UserError
from webui.base.paths import Paths
from webui.catalog.database import Database
from webui.catalog.kept_pictures import COLUMNS, KeptPictures, note
from webui.catalog.pictures import Pictures, SavedPicture, record
from webui.request.messages import ExtraPicture
from webui.request.settings import SaveSettings

TEXT = (
    'a cat, "old", =1+1\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 6.5, Seed: {seed}, '
    "Size: 16x8, Model hash: 0123456789, Model: tiny"
)
SAVE = SaveSettings()


def file_of(size: tuple[int, int] = (16, 8)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (size[0], 20, 30)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def pictures(database: Database, paths: Paths) -> Pictures:
    made = Pictures(database, paths)
    for seed in (5, 6):
        path = paths.data / f"{seed}.png"
        path.write_bytes(file_of((16, 8 * seed)))
        saved = SavedPicture("txt2img", "j", 0, "me", TEXT.format(seed=seed), 16, 8, seed, "tiny", "Euler", seed)
        with database.writing() as connection:
            record(connection, SavedPicture(**{**vars(saved), "id": f"{seed:016x}", "path": str(path)}))
    made.extras.keep(f"{5:016x}", [ExtraPicture("grid", "png", file_of((32, 8)))], first=99)
    return made


@pytest.fixture
def kept(pictures: Pictures, paths: Paths) -> KeptPictures:
    return KeptPictures(pictures, paths)


def rows(paths: Paths, folder: str = "log/images") -> list[dict[str, str]]:
    with (paths.data / folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


FIVE, SIX = f"{5:016x}", f"{6:016x}"
SHEET = f"{FIVE}.99-grid.png"


def test_pictures_are_copied_as_they_are_and_noted_in_the_table(kept: KeptPictures, paths: Paths) -> None:
    found, remarks = kept.keep([SHEET, FIVE, SIX], SAVE, "")
    assert not remarks
    names = [each.path.relative_to(paths.data).as_posix() for each in found]
    stem = "a cat, _old_, =1+1"
    assert names == [f"log/images/0000{at}-{seed}-{stem}.png" for at, seed in enumerate((5, 5, 6))]
    assert found[1].path.read_bytes() == (paths.data / "5.png").read_bytes()
    with Image.open(found[0].path) as sheet:
        assert sheet.size == (32, 8)
    table = rows(paths)
    assert list(table[0]) == list(COLUMNS)
    last = {
        "prompt": 'a cat, "old", =1+1', "negative_prompt": "blurry", "seed": "6", "width": "16", "height": "48",
        "sampler": "Euler", "cfgs": "6.5", "steps": "20", "filename": f"00002-6-{stem}.png", "sd_model_name": "tiny",
        "sd_model_hash": "0123456789",
    }  # fmt: skip
    assert table[2] == last
    kept.keep([FIVE], SAVE, "")
    assert [row["seed"] for row in rows(paths)] == ["5", "5", "6", "5"]


def test_the_settings_say_where_and_how_they_are_called(kept: KeptPictures, paths: Paths) -> None:
    save = SAVE.changed(
        outdir_save="chosen", use_save_to_dirs_for_ui=True, directories_filename_pattern="[model_name]/[seed]",
        samples_filename_pattern="[steps]-[cfg]", save_images_add_number=False, save_write_log_csv=False, save_txt=True,
    )  # fmt: skip
    (found,), _ = kept.keep([SIX], save, "")
    assert found.path == paths.data / "chosen/tiny/6/20-6.5.png"
    assert found.path.with_suffix(".txt").read_text("utf-8").startswith("a cat")
    assert not (paths.data / "chosen" / "log.csv").exists()
    with pytest.raises(UserError, match="used by Gesso itself"):
        kept.keep([SIX], SAVE.changed(outdir_save=str(paths.state / "jobs")), "")


def test_a_zip_file_has_all_of_them(kept: KeptPictures, paths: Paths) -> None:
    path, _ = kept.keep_as_zip([SHEET, FIVE, SIX], SAVE, "")
    assert re.fullmatch(r"\d{14}_\[tiny\]_5-6\.zip", path.name), "A1111's pattern"
    assert path.parent == paths.data / "log" / "images"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name in archive.namelist()][1:] == [
            (paths.data / f"{seed}.png").read_bytes() for seed in (5, 6)
        ]
    again, _ = kept.keep_as_zip([SIX], SAVE.changed(grid_zip_filename_pattern="mine [seed]"), "")
    third, _ = kept.keep_as_zip([SIX], SAVE.changed(grid_zip_filename_pattern="mine [seed]"), "")
    assert (again.name, third.name) == ("mine 6.zip", "mine 6-1.zip")


def test_an_older_table_gets_the_new_columns_and_a_broken_one_is_named(tmp_path: Path) -> None:
    table = tmp_path / "log.csv"
    table.write_text('prompt,seed,mine\n"a\nb",1,x\n', "utf-8")
    note(table, [{"prompt": "c", "seed": "2", "filename": "2.png"}])
    with table.open(encoding="utf-8", newline="") as file:
        old, new = csv.DictReader(file)
    assert (old["prompt"], old["mine"], old["filename"]) == ("a\nb", "x", "")
    assert (new["prompt"], new["mine"], new["filename"]) == ("c", "", "2.png")
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match=r"log\.csv"):
        note(table, [{}])


def test_a_broken_table_costs_no_picture(kept: KeptPictures, paths: Paths) -> None:
    (paths.data / "log" / "images").mkdir(parents=True)
    (paths.data / "log" / "images" / "log.csv").write_bytes(b"\xff\xfe")
    (found,), remarks = kept.keep([FIVE], SAVE, "")
    assert found.path.is_file()
    assert "log.csv" in remarks[0]


NOT_THERE = ("", "nothing", f"{FIVE}.", f"{FIVE}.98-grid.png", f"{FIVE}.99-../../x.png", f"{SHEET}\0")


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_is_not_kept(kept: KeptPictures, name: str) -> None:
    with pytest.raises(NotFound):
        kept.keep([name], SAVE, "")
