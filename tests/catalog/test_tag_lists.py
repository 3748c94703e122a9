"""Lists of tags, and what somebody has written before."""

from __future__ import annotations

import time
from pathlib import Path

from webui.base.paths import Paths
from webui.catalog.own_words import pieces_of
from webui.catalog.problems import Problems
from webui.catalog.tag_lists import TagLists


def lists(data: Path, **files: str) -> TagLists:
    folder = data / "models" / "tags"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return TagLists(Paths(data), Problems())


def found(tags: TagLists, text: str) -> list[tuple[str, str]]:
    return [(match.tag.text, match.alias) for match in tags.search(text, 20)]


def test_tags_are_found_by_their_beginning_their_words_and_their_aliases(tmp_path: Path) -> None:
    tags = lists(
        tmp_path,
        danbooru='long_hair,0,400,"longhair,/lh"\nlong_sleeves,0,900\nvery_long_hair,0,50\nsaber_(fate),4,30\n',
        own="hair_along\n# a comment\n",
    )
    assert found(tags, "long h") == [("long_hair", ""), ("very_long_hair", "")]
    assert found(tags, "LONG") == [
        ("long_sleeves", ""), ("long_hair", ""), ("very_long_hair", ""), ("hair_along", ""),
    ]  # fmt: skip
    assert found(tags, "/lh") == [("long_hair", "/lh")]
    assert found(tags, "saber (") == [("saber_(fate)", "")]
    assert tags.search("saber", 1)[0].tag.kind == 4
    assert not found(tags, " ") and not found(tags, "none")


def test_a_broken_list_is_named_and_a_new_one_is_read(tmp_path: Path) -> None:
    problems = Problems()
    lists(tmp_path, good="fox,0,5\n")
    with (tmp_path / "models" / "tags" / "huge.csv").open("wb") as file:
        file.truncate(2**30)
    tags = TagLists(Paths(tmp_path), problems)
    assert found(tags, "fo") == [("fox", "")]
    assert [(problem.name, problem.reason) for problem in problems.all()] == [("huge.csv", "It has 1,073 MB.")]
    lists(tmp_path, more='forest,0,9\n"torn')
    assert found(tags, "fo") == [("forest", ""), ("fox", "")]


def test_a_hundred_and_fifty_thousand_tags_are_looked_through_at_once(tmp_path: Path) -> None:
    words = ("red", "long", "fox", "hair", "blue", "city", "coat", "night", "snow", "glass")
    lines = (f"{words[n % 10]}_{words[n // 10 % 10]}_{n},0,{n}" for n in range(150_000))
    tags = lists(tmp_path, all="\n".join(lines))
    tags.search("x", 20)
    begin = time.thread_time()
    assert len(tags.search("snow", 20)) == 20
    assert not tags.search("none of these", 20)
    assert time.thread_time() - begin < 0.5


def test_pieces_of_prompts_are_what_stands_between_commas() -> None:
    text = "(red fox:1.2), [snow], <lora:ink:1> ink drawing\nnight # no, more\n, a"
    assert pieces_of(text) == ["red fox", "snow", "ink drawing", "night"]
