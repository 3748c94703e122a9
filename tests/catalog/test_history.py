"""The history: newest first, found by words, filtered, judged, deleted; folders brought in; as quick with many."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.catalog.conftest import png
from tests.catalog.test_pictures import RGB, draft, naming, saving
from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog import history as module
from webui.catalog.database import MIGRATIONS, Database
from webui.catalog.history import History, Wanted
from webui.catalog.history_folders import FolderIndex
from webui.catalog.image_files import encode
from webui.catalog.pictures import Pictures, SavedPicture, record
from webui.catalog.problems import Problems


@pytest.fixture
def pictures(database: Database, paths: Paths) -> Pictures:
    return Pictures(database, paths)


@pytest.fixture
def history(database: Database, pictures: Pictures) -> History:
    return History(database, pictures)


def known(database: Database, prompt: str, created: float, **values: object) -> str:
    """A picture that is only a row."""
    name = f"{prompt}-{created}"
    text = f"{prompt}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: 5"
    picture = replace(draft(created=created), id=name, path=f"/pictures/{name}.png", infotext=text)
    with database.writing() as connection:
        record(connection, replace(picture, **values))  # type: ignore[arg-type]
    return name


def listed(history: History, owner: str | None = None, **wanted: object) -> list[str]:
    return [picture.prompt for picture in history.page(Wanted(**wanted), owner=owner)]  # type: ignore[arg-type]


def test_the_newest_come_first_page_by_page(history: History, database: Database) -> None:
    for second in (3, 1, 2, 5, 4):
        known(database, f"the {second}.", second)
    known(database, "as old as another", 2)
    first = history.page(Wanted(), limit=3)
    second = history.page(Wanted(), limit=3, before=first[-1].number)
    assert [picture.prompt for picture in (*first, *second)] == [
        "the 5.", "the 4.", "the 3.", "as old as another", "the 2.", "the 1.",
    ]  # fmt: skip
    assert history.page(Wanted(), before=second[-1].number) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("apple", ["a red apple on a table"]),
        ("APP red", ["a red apple on a table"]),
        ("red", ["a red rose", "a red apple on a table"]),
        ('"red apple"', ["a red apple on a table"]),
        ('"apple red"', []),
        ("cafe", ["un café à Paris"]),
        ("猫", ["黒い猫, 窓"]),
        ("blurry", []),
        ("Steps", []),
        ("(*) ^ -", []),
        ('"', []),
        ("apple OR rose", []),
        ("prompt:red NEAR( \" '; DROP", []),
    ],
)
def test_pictures_are_found_by_words_of_their_prompt(
    history: History, database: Database, text: str, found: list[str]
) -> None:
    for second, prompt in enumerate(("a red apple on a table", "a red rose", "un café à Paris", "黒い猫, 窓")):
        known(database, prompt, second)
    assert listed(history, text=text) == found


def test_a_beginning_is_asked_for_by_the_whole_words_that_have_it(history: History, database: Database) -> None:
    """What keeps a search for a common word as quick among many pictures as among few."""
    for second, prompt in enumerate(("Lighthouse", "two lighthouses", "a LIGHTHÖUSE", "a light", "phare")):
        known(database, prompt, second)
    assert history._query("lightho") == '("lighthouse" OR "lighthöuse" OR "lighthouses")'
    assert listed(history, text="lightho") == ["a LIGHTHÖUSE", "two lighthouses", "Lighthouse"]
    assert listed(history, text="lightho two") == ["two lighthouses"]
    assert history._query("ligh phares") == '"ligh"* AND "phares"*'
    for number in range(110):
        known(database, f"wonder{number}", 10.0 + number)
    assert history._query("wonder") == '"wonder"*'
    assert len(listed(history, text="wonder")) == 60


def test_filters_go_together(history: History, database: Database) -> None:
    known(database, "one", 1.0, model="a", sampler="Euler")
    known(database, "two", 2.0, model="b", sampler="Euler", owner="anna")
    three = known(database, "three", 3.0, model="b", sampler="DDIM", kind="img2img", parent="one-1.0")
    history.judge(three, rating=4, favourite=True)
    assert listed(history, model="b") == ["three", "two"]
    assert listed(history, model="b", sampler="Euler", text="two") == ["two"]
    assert listed(history, kind="img2img") == listed(history, rating=4) == listed(history, favourite=True) == ["three"]
    assert listed(history, parent="one-1.0") == ["three"]
    assert listed(history, rating=5) == []
    assert listed(history, since=2.0, until=3.0) == ["two"]
    assert listed(history, owner="anna") == ["two"]
    assert history.choices("anna") == {"model": ["b"], "sampler": ["Euler"], "kind": ["txt2img"]}
    assert history.choices()["model"] == ["a", "b"]


def test_what_people_think_of_a_picture_is_kept_and_tags_are_found(history: History, database: Database) -> None:
    name = known(database, "a cat", 1.0)
    history.judge(name, rating=3, tags=("for  the wall", "a, b", "for the wall", " "))
    judged = history.judge(name, favourite=True)
    assert (judged.rating, judged.favourite, judged.tags) == (3, True, ("for the wall", "a b"))
    assert listed(history, text="wall") == ["a cat"]
    history.judge(name, tags=())
    assert listed(history, text="wall") == []
    assert listed(history, text="cat") == ["a cat"]


def test_somebody_else_s_picture_is_as_if_it_were_not_there(history: History, database: Database) -> None:
    name = known(database, "hers", 1.0, owner="anna")
    with pytest.raises(NotFound):
        history.judge(name, owner="bert", rating=1)
    with pytest.raises(NotFound):
        history.destroy(name, owner="bert")
    assert history.get(name, "anna").rating == 0


def test_a_picture_is_destroyed_with_its_text_and_its_thumbnail(
    history: History, pictures: Pictures, paths: Paths
) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving(save_txt=True))
    other = pictures.save(RGB, draft(seed=6), naming(6), saving())
    notes = Path(other.path).with_suffix(".txt")
    notes.write_text("somebody's notes")
    pictures.thumbnail(saved.id)
    history.destroy(saved.id)
    history.destroy(other.id)
    assert [path.name for path in Path(saved.path).parent.iterdir()] == [notes.name]
    assert listed(history) == []
    assert listed(history, text="cat") == []
    assert not list((paths.state / "thumbnails").rglob("*.webp"))
    with pytest.raises(NotFound):
        pictures.get(saved.id)


def test_a_picture_whose_file_is_gone_is_forgotten(history: History, pictures: Pictures) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())
    Path(saved.path).unlink()
    history.destroy(saved.id)
    assert listed(history) == []


def test_any_part_of_a_long_list_is_fetched_by_itself(history: History, database: Database) -> None:
    for second in range(25):
        known(database, f"the {second}.", second, model="a" if second % 2 else "b")
    outline = history.outline(Wanted(), step=10)
    assert (outline.total, len(outline.anchors)) == (25, 3)
    third = history.page(Wanted(), before=outline.anchors[2] + 1, limit=10)
    assert [picture.prompt for picture in third] == ["the 4.", "the 3.", "the 2.", "the 1.", "the 0."]
    assert history.outline(Wanted(model="a"), step=10).total == 12
    assert history.outline(Wanted(text="24"), step=10).total == 1
    assert history.outline(Wanted(), owner="nobody").anchors == ()


def test_facets_count_what_occurs_in_the_pictures_that_are_wanted(history: History, database: Database) -> None:
    known(database, "a cat <lora:ink:1> <lora:ink:0.5>", 1.0, model="a", width=512, height=768)
    two = known(database, "a cat", 2.0, model="a", width=512, height=512)
    known(database, "a dog <lora:oil:1>", 40 * 86400.0, model="b", width=512, height=512)
    history.judge(two, tags=("wall", "print"), rating=4)

    def told(**wanted: object) -> dict[str, dict[str, int]]:
        found = history.facets(Wanted(**wanted))  # type: ignore[arg-type]
        return {name: {facet.value: facet.count for facet in values} for name, values in found.items()}

    every = told()
    assert every["model"] == {"a": 2, "b": 1}
    assert every["size"] == {"512x512": 2, "512x768": 1}
    assert every["lora"] == {"ink": 1, "oil": 1}
    assert every["tag"] == {"wall": 1, "print": 1}
    assert every["rating"] == {"0": 2, "4": 1}
    assert every["month"] == {"1970-01": 2, "1970-02": 1}
    assert told(text="cat", model="a")["lora"] == {"ink": 1}
    assert told(text="nothing")["model"] == {}
    for facet, value, count in (("size", "512x768", 1), ("lora", "ink", 1), ("tag", "print", 1), ("tag", "prin", 0)):
        assert len(listed(history, **{facet: value})) == count, facet


def test_what_the_pictures_of_a_checkpoint_take_is_known(
    history: History, pictures: Pictures, database: Database
) -> None:
    saved = pictures.save(RGB, replace(draft(), model="a"), naming(), saving())
    size = Path(saved.path).stat().st_size
    database.write("UPDATE pictures SET bytes = -1")  # As an older version left it.
    known(database, "gone", 1.0, model="b")
    assert [(one.model, one.count, one.bytes) for one in history.storage()] == [("a", 1, size), ("b", 1, 0)]


def test_pictures_found_in_folders_come_into_the_history_once(
    history: History, pictures: Pictures, database: Database, paths: Paths
) -> None:
    saved = pictures.save(RGB, draft(created=10.0), naming(), saving())
    folder = paths.outputs / "old"
    folder.mkdir(parents=True)
    text = "a lighthouse\nSteps: 20, Sampler: DDIM, CFG scale: 7.0, Seed: 77, Size: 16x8, Model: old one"
    from PIL import Image

    (folder / "one.png").write_bytes(encode(Image.new("RGB", (16, 8)), "png", text).content)
    (folder / "two.jpg").write_bytes(png(kind="JPEG"))
    (folder / "two.txt").write_text("a sea\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: 8")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    os.utime(folder / "one.png", (5, 5))
    os.utime(folder / "two.jpg", (5, 5))
    index = FolderIndex(database)
    for _ in range(2):
        index.look((paths.outputs, folder, paths.data / "nowhere"))
        index.wait()
    assert (index.looked.running, index.looked.new) == (False, 0)
    found = history.page(Wanted())
    assert [picture.prompt for picture in found] == ["a cat", "a sea", "a lighthouse"]
    assert found[0].id == saved.id
    lighthouse = found[-1]
    assert (lighthouse.model, lighthouse.sampler, lighthouse.seed, lighthouse.created) == ("old one", "DDIM", 77, 5.0)
    assert (lighthouse.width, lighthouse.height, lighthouse.owner) == (16, 8, "")
    assert pictures.thumbnail(lighthouse.id).startswith(b"RIFF")
    index.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes and devices in folders")
def test_the_search_waits_at_no_pipe_and_reads_no_device(history: History, database: Database, paths: Paths) -> None:
    folder = paths.outputs / "old"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a.png")
    (folder / "b.png").symlink_to("/dev/zero")
    (folder / "c.png").write_bytes(png())
    os.utime(folder / "c.png", (2**40, 2**40))
    problems = Problems()
    index = FolderIndex(database, problems=problems)
    index.look((paths.outputs,))
    index.wait(20)
    assert not index.looked.running
    assert [Path(picture.path).name for picture in history.page(Wanted())] == ["c.png"]
    assert {one.name for one in problems.all()} == {"old/a.png", "old/b.png"}


def test_the_picture_that_one_was_made_of_is_known_by_its_bytes(pictures: Pictures) -> None:
    saved = pictures.save(RGB, draft(), naming(), saving())
    import hashlib

    digest = hashlib.sha256(Path(saved.path).read_bytes()).hexdigest()
    assert pictures.id_of(digest) == saved.id
    assert pictures.id_of("") == pictures.id_of("0" * 64) == ""


def test_pictures_of_an_older_version_come_along(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from webui.catalog import database as database_module

    texts = (
        "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler",
        "two\nlines\nSteps: 20, Sampler: Euler",
        "Negative prompt: x\nSteps: 2",
        "Steps: 20",
        "free text",
    )
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "MIGRATIONS", MIGRATIONS[:2])
        old = Database(paths.database)
        for number, text in enumerate(texts):
            values = (str(number), f"/p/{number}.png", "txt2img", "j", 0, "me", text, 8, 8, 1, "m", "Euler", 1.5)
            old.write(f"INSERT INTO pictures VALUES ({', '.join('?' * 13)})", *values)
        old.close()
    new = Database(paths.database)
    history = History(new, Pictures(new, paths))
    assert sorted(listed(history)) == ["", "", "a cat", "free text", "two\nlines"]
    assert listed(history, text="cat") == ["a cat"]
    assert isinstance(history.get("0"), SavedPicture)
    new.close()


def test_the_first_page_and_a_search_read_no_more_of_a_long_history(history: History, database: Database) -> None:
    """Measured in what SQLite does, since clocks differ: no step of the plan sorts, or reads the whole table."""
    for number in range(30):
        known(database, f"picture {number}", number)
    source, conditions, _ = history._found_by_text("picture")
    for sql, values in (
        (f"SELECT {module._COLUMNS} FROM pictures ORDER BY pictures.number DESC LIMIT 9", ()),
        (f"SELECT {module._COLUMNS} FROM {source} WHERE {conditions[0]} ORDER BY picture_words.rowid DESC LIMIT 9",
         ("picture*",)),
    ):  # fmt: skip
        steps = [row["detail"] for row in database.read(f"EXPLAIN QUERY PLAN {sql}", *values)]
        assert not any("TEMP B-TREE" in step for step in steps), steps
