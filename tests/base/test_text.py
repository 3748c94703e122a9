"""Halves of letters and file names that are no UTF-8 become text that everything takes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.base.errors import UserError
from webui.base.text import clean, cleaned, named, path_named

ANY = st.text(st.characters(codec=None, categories=None), max_size=40)


@given(ANY)
def test_clean_text_can_be_written_and_keeps_every_whole_letter(text: str) -> None:
    found = clean(text)
    found.encode()
    assert len(found) == len(text)
    assert all(new == old or "\ud800" <= old <= "\udfff" for new, old in zip(found, text, strict=True))


@given(st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_nothing_of_a_tree_is_left_out_of_the_cleaning(tree: object) -> None:
    json.dumps(cleaned(tree), ensure_ascii=False).encode()


@given(ANY)
def test_an_error_can_be_told_whatever_it_names(text: str) -> None:
    str(UserError(text, hint=text, field=text)).encode()


@pytest.mark.skipif(sys.platform != "linux", reason="only there file names are bytes")
@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_a_file_of_any_name_is_found_by_its_text(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    folder = tmp_path_factory.mktemp("names", numbered=True)
    path = folder / os.fsdecode(b"_" + name)
    path.touch()
    text = named(path)
    text.encode()
    assert path_named(text) == path


def test_a_file_that_is_really_called_so_comes_first(tmp_path: Path) -> None:
    (tmp_path / "caf%E9.png").touch()
    assert path_named(str(tmp_path / "caf%E9.png")) == tmp_path / "caf%E9.png"
    assert named("caf\udce9") == "caf%E9"
