"""People's files of languages: taken as A1111 has them, item by item, and whatever is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webui.base.paths import Paths
from webui.catalog.localizations import LONGEST, Localizations
from webui.catalog.problems import Problems


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def found(tmp_path: Path, problems: Problems) -> Localizations:
    own = tmp_path / "own"
    write(own / "de.json", {"Seed": "Startwert", "Width": "Breite"})
    return Localizations(Paths(data=tmp_path), problems, own)


def write(path: Path, told: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(told if isinstance(told, str) else json.dumps(told), "utf-8")


def test_files_of_a1111_are_found_where_it_has_them(found: Localizations, tmp_path: Path) -> None:
    write(tmp_path / "localizations" / "ar.json", {"Seed": "بذرة", "rtl": True})
    write(tmp_path / "extensions" / "zh" / "localizations" / "zh_CN.json", {"Seed": "随机数种子"})
    assert found.names() == ["Automatic", "None", "Deutsch", "ar", "zh_CN"]
    arabic, chinese = found.find("ar"), found.find("zh_CN")
    assert arabic is not None
    assert arabic.rtl
    assert arabic.words == {"Seed": "بذرة"}
    assert chinese is not None
    assert (chinese.language, chinese.rtl) == ("zh-Hans", False)


def test_a_file_named_like_one_of_our_languages_corrects_it(found: Localizations, tmp_path: Path) -> None:
    write(tmp_path / "localizations" / "de.json", {"Seed": "Saat"})
    assert found.names() == ["Automatic", "None", "Deutsch"]
    for wish in ("de", "Deutsch"):
        german = found.find(wish)
        assert german is not None
        assert german.words == {"Seed": "Saat", "Width": "Breite"}


@pytest.mark.parametrize("told", ["{", "[1]", '{"a": ' + "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_that_is_none_is_named(
    found: Localizations, problems: Problems, tmp_path: Path, told: str | bytes
) -> None:
    folder = tmp_path / "localizations"
    folder.mkdir()
    (folder / "bad.json").write_bytes(told if isinstance(told, bytes) else told.encode())
    write(folder / "good.json", {"Seed": "ok"})
    found.look()
    assert [(one.kind, one.name) for one in problems.all()] == [("localizations", "bad.json")]
    assert found.find("bad") is None
    assert found.find("good") is not None
    (folder / "bad.json").unlink()
    found.find("bad")
    assert found.find("none") is None


def test_of_a_file_only_what_does_not_fit_is_left_out(
    found: Localizations, problems: Problems, tmp_path: Path
) -> None:
    path = tmp_path / "localizations" / "x.json"
    write(path, {"Seed": "ok", "Width": 3, "Height": None, "Steps": "x" * (LONGEST + 1), "Empty": ""})
    one = found.find("x")
    assert one is not None
    assert one.words == {"Seed": "ok"}
    assert [problem.name for problem in problems.all()] == ["x.json: Height", "x.json: Steps", "x.json: Width"]
    write(path, {"Seed": "better"})
    one = found.find("x")
    assert one is not None
    assert (one.words, problems.all()) == ({"Seed": "better"}, ())


@pytest.mark.parametrize("wish", ["../own/de", "None", "", "\x00", "/etc/passwd", "nope"])
def test_a_name_is_no_path(found: Localizations, wish: str) -> None:
    assert found.find(wish) is None
