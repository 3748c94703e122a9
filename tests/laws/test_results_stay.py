"""No pattern, no format, no second process ever lets one result take the place of another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalog.test_pictures import draft, naming, saving
from webui.base.files import write_new
from webui.base.paths import Paths
from webui.catalog import grid
from webui.catalog.database import Database
from webui.catalog.image_files import read_infotext
from webui.catalog.pictures import Pictures, SavedPicture
from webui.request.messages import ExtraPicture
from webui.request.settings import SaveSettings

TOKENS = re.findall(
    r"\S+",
    """[basename] [seed] [cfg] [steps] [prompt] [prompt_words] [date] [datetime] [datetime<%H:%M>] [batch_number] [none]
    [generation_number] [user] [denoising] [unknown] [hasprompt<cat|x>] [image_hash] [styles] [width]""",
)
PATTERNS = st.lists(st.sampled_from([*TOKENS, "same", "con", "-mask", "..", "/", ".", " "]) | st.text(max_size=5)).map(
    "".join
) | st.sampled_from(["same", "", "n" * 300, "日" * 200])


@contextmanager
def installation(folder: Path) -> Iterator[Pictures]:
    paths = Paths(data=folder)
    database = Database(paths.database)
    yield Pictures(database, paths)
    database.close()


def painted(number: int) -> bytes:
    """Pixels of a picture that is like no other."""
    return bytes((number % 256, number // 256, 7)) * 256


def assert_all_are_there(saved: list[tuple[int, SavedPicture]], folder: Path, save: SaveSettings) -> None:
    """Each of these pictures has a file of its own, and each file its own text."""
    contents = {Path(picture.path): Path(picture.path).read_bytes() for _, picture in saved}
    assert len(contents) == len(saved), "two pictures have one name"
    assert len(set(contents.values())) == len(saved), "a file has another picture in it"
    for number, picture in saved:
        assert Path(picture.path).is_relative_to(folder)
        assert Path(picture.path).stat().st_size
        if save.save_txt:
            assert read_infotext(Path(picture.path).with_suffix(".txt"))[0] == f"picture {number}"


@settings(max_examples=60, deadline=None)
@given(
    PATTERNS,
    PATTERNS,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["png", "webp", "jpg"]), st.integers(0, 2), st.booleans()), min_size=2, max_size=6
    ),
)
def test_no_pattern_lets_a_picture_take_anothers_place(
    pattern: str, folders: str, numbered: bool, texts: bool, to_dirs: bool, runs: list[tuple[str, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as name, installation(Path(name)) as pictures:
        options: dict[str, Any] = {
            "samples_filename_pattern": pattern,
            "directories_filename_pattern": folders,
            "save_images_add_number": numbered,
            "save_txt": texts,
            "save_to_dirs": to_dirs,
            "outdir_extras_samples": "outputs/txt2img-images",
        }
        saved = []
        others: list[Path] = []
        for number, (kind, seed, by_extras) in enumerate(runs):
            save = saving(**options, samples_format=kind)
            one = SavedPicture(**{**vars(draft(seed)), "infotext": f"picture {number}"})
            if by_extras:
                made = pictures.save_extras(painted(number), one, pattern, {"parameters": one.infotext}, save)
            else:
                made = pictures.save(painted(number), one, naming(seed), save)
            saved.append((number, made))
            before = set(Path(made.path).parent.iterdir())
            content = Path(made.path).read_bytes()
            pictures.keep_beside(made, [ExtraPicture("mask", "png", content)] * 2, save)
            more = set(Path(made.path).parent.iterdir()) - before
            assert len(more) == 2, "both masks are there"
            others += more
            others.append(
                grid.save_sheet(grid.sheet([content], "", save, 1), Path(name, "outputs"), naming(seed), save)
            )
        assert len(set(others)) == len(others)
        assert not set(others) & {Path(picture.path) for _, picture in saved}
        assert_all_are_there(saved, Path(name), saving(**options))


@pytest.mark.parametrize("numbered", [True, False])
def test_of_many_threads_none_loses_a_picture(tmp_path: Path, numbered: bool) -> None:
    save = saving(samples_filename_pattern="same", save_images_add_number=numbered, save_txt=True)
    saved: list[tuple[int, SavedPicture]] = []
    with installation(tmp_path) as pictures:

        def work(first: int) -> None:
            for number in range(first, first + 8):
                one = SavedPicture(**{**vars(draft()), "infotext": f"picture {number}"})
                saved.append((number, pictures.save(painted(number), one, naming(), save)))

        threads = [threading.Thread(target=work, args=(8 * turn,)) for turn in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(saved) == 32
    assert_all_are_there(saved, tmp_path, save)


PROGRAM = """
import sys
from pathlib import Path
from tests.catalog.test_pictures import draft, naming, saving
from tests.laws.test_results_stay import installation, painted
with installation(Path(sys.argv[1])) as pictures:
    sys.stdin.readline()
    save = saving(samples_filename_pattern="same", save_images_add_number=False, outdir_samples=sys.argv[3])
    for number in range(20):
        print(pictures.save(painted(int(sys.argv[2]) + number), draft(), naming(), save).path)
"""


def test_of_two_installations_with_one_folder_none_loses_a_picture(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / f"data-{first}"), str(first), str(tmp_path / "shared")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            text=True,
        )
        for first in (0, 1000)
    ]
    for program in both:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    paths = [line for program in both for line in program.communicate()[0].split("\n") if line]
    assert len(paths) == len(set(paths)) == 40
    assert len({Path(path).read_bytes() for path in paths}) == 40


def test_a_folder_without_links_keeps_the_first_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert write_new(tmp_path / "same", b"first")
    assert not write_new(tmp_path / "same", b"second")
    assert (tmp_path / "same").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["same"]
