"""Copies of large pictures, and pictures that take the place of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from webui.catalog.image_files import read_infotext
from webui.catalog.picture_files import PictureFile, PictureFiles
from webui.catalog.pictures import SavedPicture
from webui.catalog.small_copies import keep_small_copy
from webui.request.settings import SaveSettings


@pytest.fixture
def saved(tmp_path: Path) -> SavedPicture:
    path = tmp_path / "large.png"
    Image.new("RGB", (200, 100), "#804020").save(path)
    return SavedPicture("txt2img", "j", 0, "", "a cat\nSteps: 2", 200, 100, 1, "m", "Euler", 0.0, path=str(path))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, None),
        ({"export_for_4chan": True}, None),
        ({"export_for_4chan": True, "target_side_length": 50}, (50, 25)),
        ({"export_for_4chan": True, "img_downscale_threshold": 0}, (200, 100)),
        ({"export_for_4chan": True, "target_side_length": 50, "samples_save": False}, None),
    ],
)
def test_large_pictures_get_a_copy(
    saved: SavedPicture, settings: dict[str, object], size: tuple[int, int] | None
) -> None:
    keep_small_copy(saved, SaveSettings().changed(**settings))
    copy = Path(saved.path).with_suffix(".jpg")
    if size is None:
        assert not copy.exists()
        return
    with Image.open(copy) as image:
        assert image.size == size and image.format == "JPEG"
    assert read_infotext(copy)[0] == "a cat\nSteps: 2"


def test_a_copy_takes_no_other_file_s_place(saved: SavedPicture) -> None:
    other = Path(saved.path).with_suffix(".jpg")
    other.write_bytes(b"mine")
    keep_small_copy(saved, SaveSettings().changed(export_for_4chan=True, target_side_length=50))
    assert other.read_bytes() == b"mine"
    Path(saved.path).write_bytes(b"broken")
    keep_small_copy(saved, SaveSettings().changed(export_for_4chan=True, target_side_length=50))


@pytest.mark.parametrize(("may", "names"), [(True, {"a.png", "a.txt"}), (False, {"a.png", "a-1.png", "a-1.txt"})])
def test_a_namesake_is_replaced_where_that_is_wanted(tmp_path: Path, may: bool, names: set[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    file = PictureFile(b"new", tmp_path, "png", "a", False, "text", replaces=lambda path: may and path.is_file())
    path = PictureFiles().write(file, lambda _path: None)
    assert path.read_bytes() == b"new"
    assert {each.name for each in tmp_path.iterdir()} == names
