"""Wildcards: lists in folders, of which one is always broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.base.paths import Paths
from webui.catalog.problems import Problems
from webui.catalog.wildcards import Wildcards

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} {{{', '.join(f'k{n}: *{old}' for n in range(10))}}}"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models" / "wildcards"
    (made / "animals").mkdir(parents=True)
    (made / "animals" / "cat.txt").write_text("# cats\ntabby\n\n2::Persian \n")
    (made / "animals" / "dog.txt").write_text("collie\ntabby\n")
    (made / "clothes.yaml").write_text(
        "winter:\n  coat: [parka, 3::duffel, 7, 'a: b', null]\n  hat: |\n    cap\n    hood\n"
    )
    return made


def wildcards(folder: Path) -> Wildcards:
    return Wildcards(Paths(folder.parents[1]), Problems())


def test_lists_are_called_by_their_paths_and_trees_by_their_keys(folder: Path) -> None:
    found = wildcards(folder)
    assert found.names() == ["animals/cat", "animals/dog", "winter/coat", "winter/hat"]
    cats = found.lines("animals/cat")
    assert (cats.texts, cats.weights) == (("tabby", "Persian"), (1, 2))
    assert found.lines("Animals/CAT") == cats
    assert found.lines("winter/coat").texts == ("parka", "duffel", "7", "a: b")
    assert found.lines("clothes/winter/hat").texts == ("cap", "hood")
    assert found.lines("animals/*").texts == ("tabby", "Persian", "collie")
    assert found.lines("*/h?t").texts == ("cap", "hood")
    assert not found.lines("animals").texts and not found.lines("../animals/cat").texts


def test_lists_of_extensions_are_read_where_they_are(folder: Path) -> None:
    theirs = folder.parents[1] / "extensions" / "sd-dynamic-prompts" / "wildcards"
    theirs.mkdir(parents=True)
    (theirs / "places.txt").write_bytes("a café".encode("cp1252"))
    (theirs / "wide.txt").write_bytes("東京".encode("utf-16"))
    assert wildcards(folder).lines("places").texts == ("a café",)
    assert wildcards(folder).lines("wide").texts == ("東京",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bomb.yaml", BOMB, "more than 1,000,000 lines"),
        ("self.yaml", "a: &a\n  b: *a\n", "nested more than 30 deep"),
        ("code.yaml", "a: !!python/object/apply:os.system [ls]", "It is not YAML"),
        ("torn.yaml", "a: [b", "It is not YAML"),
        ("deep.yaml", "a: " + "[" * 5000, "It is not YAML"),
        ("large.yml", None, "It has 1,073 MB"),
        ("large.txt", None, "It has 1,073 MB"),
    ],
)
def test_one_that_is_broken_is_named_and_the_others_are_used(
    folder: Path, name: str, content: str | None, said: str
) -> None:
    path = folder / name
    path.write_text(content or "")
    if content is None:
        with path.open("r+b") as file:
            file.truncate(2**30)
    found = wildcards(folder)
    lines = found.lines(path.stem)
    assert not lines.texts
    assert lines.fault.startswith(f"The wildcards in {name} cannot be used: ") and said in lines.fault
    assert found.lines("animals/dog").texts == ("collie", "tabby")


def test_a_list_that_changes_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.catalog.wildcards.FRESH", 0.0)
    found = wildcards(folder)
    assert found.lines("animals/dog").texts == ("collie", "tabby")
    (folder / "animals" / "dog.txt").write_text("poodle and more")
    assert found.lines("animals/dog").texts == ("poodle and more",)
    (folder / "animals" / "dog.txt").unlink()
    assert not found.lines("animals/dog").texts
