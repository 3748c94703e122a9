"""Folders of pictures for a batch: what is taken in from them, and under which names."""

from __future__ import annotations

from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.batch_pictures import BatchPicture, files_in
from webui.server.ui.batch import _InfoFrom
from webui.server.ui.batch_units import UnitPictures


def paint(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)


def test_a_folder_is_read_with_its_subfolders_as_a_person_counts(tmp_path: Path) -> None:
    paint(tmp_path, "p10.png", "p2.TIFF", "sub/p2.jpg", "sub/deep/x.bmp", ".thumbnails/p2.png", "out/p2.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = files_in(str(tmp_path), "Input", Paths(data=tmp_path / "other"), but=[str(tmp_path / "out"), ""])
    assert [str(one) for one in found] == ["p2.TIFF", "p10.png", "sub/deep/x.bmp", "sub/p2.jpg"]
    assert [one.below for one in found][2:] == [PurePath("sub/deep"), PurePath("sub")]
    assert [one.place for one in found] == ["p2", "p10", "sub/deep/x", "sub/p2"]


def test_names_that_are_no_text_are_taken_in_too(tmp_path: Path) -> None:
    paint(tmp_path, "good.png")
    (tmp_path / "good.png").rename(tmp_path / b"caf\xe9.png".decode("utf-8", "surrogateescape"))
    (found,) = files_in(str(tmp_path), "Input", Paths(data=tmp_path / "other"))
    assert (found.stem, str(found)) == ("caf%E9", "caf%E9.png")
    found.place.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("folder", ["", "nowhere", "a\0b"])
def test_no_folder_is_said_in_words(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UserError, match="Input directory"):
        files_in(folder and str(tmp_path / folder), "Input", Paths(data=tmp_path / "other"))


def test_an_empty_folder_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture"):
        files_in(str(tmp_path), "Input", Paths(data=tmp_path / "other"))


def test_an_infotext_is_taken_from_the_picture_at_the_same_place(tmp_path: Path) -> None:
    """Two subfolders with pictures of one name: each has its own infotext; a flat folder serves by name alone."""
    source, told = tmp_path / "in", tmp_path / "told"
    paint(source, "a/1.png", "b/1.png", "c/2.png")
    for name, seed in (("a/1.png", 1), ("b/1.png", 2), ("2.png", 3)):
        text = PngInfo()
        text.add_text("parameters", f"a fox\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: {seed}, Size: 8x8")
        (told / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(told / name, pnginfo=text)
    paths = Paths(data=tmp_path / "other")
    tab: Any = SimpleNamespace(taken="taken", info_folder="folder")
    info = _InfoFrom({"taken": ["Seed"], "folder": str(told)}, tab, app_at(paths))  # type: ignore[dict-item]
    taken = [info.of(picture, b"", {}, [])["seed"] for picture in files_in(str(source), "Input", paths)]
    assert taken == [1, 2, 3]


def app_at(paths: Paths, **checkpoints: str) -> Any:
    """Something with a catalog of checkpoints: short hash -> title."""

    def find(name: str) -> Any:
        if name not in checkpoints:
            raise NotFound(f"There is no checkpoint {name!r}.")
        return SimpleNamespace(title=checkpoints[name])

    return SimpleNamespace(paths=paths, catalog=SimpleNamespace(checkpoints=SimpleNamespace(find=find)))


def test_the_checkpoint_of_a_picture_comes_along_where_that_is_wanted_and_it_is_there(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name, short in (("1", "0123456789"), ("2", "abcdefabcd")):
        text = PngInfo()
        text.add_text("parameters", f"a fox\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Model hash: {short}")
        Image.new("RGB", (8, 8)).save(source / f"{name}.png", pnginfo=text)
    paths = Paths(data=tmp_path / "other")
    tab: Any = SimpleNamespace(taken="taken", info_folder="folder")
    given: Any = {"taken": ["Model hash"], "folder": ""}
    info = _InfoFrom(given, tab, app_at(paths, **{"0123456789": "tiny.safetensors [0123456789]"}))
    remarks: list[str] = []
    base = {"override_settings": {"CLIP_stop_at_last_layers": 2}}
    one, two = (info.of(each, each.path.read_bytes(), base, remarks) for each in files_in(str(source), "In", paths))
    assert one["override_settings"] == {
        "CLIP_stop_at_last_layers": 2,
        "sd_model_checkpoint": "tiny.safetensors [0123456789]",
    }
    assert two == {}
    assert "abcdefabcd" in remarks[0]


def control_pictures(names: list[str], given: list[str], units: list[Any]) -> list[Any]:
    """What the n-th picture's request has for its units, or why it is left out; a store calls each picture by its
    name."""

    def at(name: str) -> BatchPicture:
        return BatchPicture(Path(name), PurePath(name).parent)

    pictures = UnitPictures([at(name) for name in names], [at(name) for name in given])
    found: list[Any] = []
    for number, name in enumerate(given):
        base = {"features": {"ControlNet": units, "FreeU": {}}}
        try:
            values = pictures.values(number, at(name), base, lambda picture: str(picture))
        except UserError as error:
            found.append(error.message)
            continue
        assert not values or values["features"]["FreeU"] == {}  # type: ignore[index]
        changed: Any = values.get("features", {"ControlNet": None})
        found.append(changed["ControlNet"] and [unit and unit["image"] for unit in changed["ControlNet"]])
    return found


ON = {"module": "canny", "image": "own"}


def test_the_nth_picture_is_followed_by_the_nth_and_one_more_shifts_no_other() -> None:
    assert control_pictures([], ["a.png"], [ON]) == [None]
    assert control_pictures(["x.png", "y.png"], ["a.png", "b.png"], [ON, None]) == [["x.png", None], ["y.png", None]]
    named = ["a.jpg", "aa.jpg", "b.jpg"]
    assert control_pictures(named, ["a.png", "b.png", "c.png"], [None, ON]) == [
        [None, "a.jpg"],
        [None, "b.jpg"],
        "skipped: it has no control picture.",
    ]
    assert control_pictures(["x.png"], ["a.png", "b.png"], [ON]) == [["x.png"], ["x.png"]], "one serves all"
    short = control_pictures(["x.png", "y.png"], ["a.png", "b.png", "c.png"], [ON])
    assert short == [["x.png"], ["y.png"], "skipped: it has no control picture."]


def test_each_unit_has_a_folder_of_its_own() -> None:
    names = ["0/x.png", "0/y.png", "2/z.png"]
    assert control_pictures(names, ["a.png", "b.png"], [ON, None, ON]) == [
        ["0/x.png", None, "2/z.png"],
        ["0/y.png", None, "2/z.png"],
    ]
    assert control_pictures(names, ["a.png"], [ON, ON, None]) == [
        "ControlNet directory: it is for unit 2, which is off."
    ]
    assert control_pictures(["x.png"], ["a.png"], [None]) == ["ControlNet directory: it is for a unit, and none is on."]
