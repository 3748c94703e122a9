"""Themes: ours, Gradio's, files; a broken one is named, and the page stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from webui.catalog.problems import Problems
from webui.catalog.themes import GRADIOS, theme_names
from webui.server.ui.theme import theme


def sheet_of(made: Any) -> str:
    return str(made._get_theme_css())


def test_gradio_s_themes_and_files_can_be_chosen(tmp_path: Path) -> None:
    gr.themes.Soft(primary_hue="rose").dump(str(tmp_path / "mine.json"))
    problems = Problems()
    assert theme_names(tmp_path)[-1] == "mine" and set(GRADIOS) < set(theme_names(tmp_path))
    sheets = {name: sheet_of(theme(name, tmp_path, problems)) for name in theme_names(tmp_path)}
    assert len(set(sheets.values())) == len(sheets) and not problems.all()
    assert sheet_of(theme("", tmp_path, problems)) == sheets["Default"]


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"theme": 5}', "x" * 2_000_000])
def test_a_broken_one_is_named_and_ours_is_used(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "mine.json").write_text(content)
    problems = Problems()
    found = theme("mine", tmp_path, problems)
    assert sheet_of(found) == sheet_of(theme("Default", tmp_path, Problems()))
    (problem,) = problems.all()
    assert problem.name == "mine"


def test_a_theme_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "themes").mkdir()
    gr.themes.Soft().dump(str(tmp_path / "outside.json"))
    problems = Problems()
    theme("../outside", tmp_path / "themes", problems)
    assert len(problems.all()) == 1
