"""The styles of an installation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.styles import Styles
from webui.prompt.styles import Style


def test_styles_are_saved_applied_recognised_and_deleted(paths: Paths) -> None:
    styles = Styles(paths)
    assert styles.names() == []
    styles.save(Style("Painting", "oil painting of {prompt}", "photo"))
    styles.save(Style("Night", "at night"))
    assert Styles(paths).names() == ["Painting", "Night"]
    prompts = styles.apply("a cat", "ugly", ("Painting", "None", "Night"))
    assert prompts == ("oil painting of a cat, at night", "ugly, photo")
    recognised = styles.recognise(*prompts)
    assert tuple(recognised.prompts) == ("a cat", "ugly")
    assert set(recognised.names) == {"Painting", "Night"}
    styles.delete("Painting")
    assert Styles(paths).names() == ["Night"]


def test_what_is_not_there_is_said(paths: Paths) -> None:
    styles = Styles(paths)
    styles.save(Style("Night", "at night"))
    with pytest.raises(NotFound, match=r"Did you mean 'Night'"):
        styles.apply("a", "", ("night",))
    with pytest.raises(NotFound):
        styles.delete("Day")
    for name in ("", " ", "# comment"):
        with pytest.raises(UserError):
            styles.save(Style(name))


def test_a_style_is_changed_in_the_file_where_it_is(paths: Paths) -> None:
    files = (paths.data / "mine.csv", paths.data / "theirs.csv")
    both = replace(paths, styles_files=files)
    Styles(replace(paths, styles_files=files[1:])).save(Style("Night", "at night"))
    styles = Styles(both)
    styles.save(Style("Night", "by moonlight"))
    styles.save(Style("Day", "by daylight"))
    assert "moonlight" in files[1].read_text()
    assert "daylight" in files[0].read_text()
    assert "moonlight" not in files[0].read_text()
