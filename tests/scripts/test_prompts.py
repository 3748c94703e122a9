"""Prompt matrix, and prompts from lines."""

from __future__ import annotations

import shlex
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.request.fields import Generation, Img2Img, Txt2Img
from webui.request.params import param_of
from webui.scripts.prompts_from_file import lines_of, split_words
from webui.scripts.script import Script, Seeds, Table


def expanded(title: str, request: Generation, most: int = 1000, **values: Any) -> Table:
    script: Script = registry.script(title).made(**values)
    return script.expand(request, Seeds(50, 60, count(1).__next__), most)


def prompts(table: Table) -> list[str]:
    return [cell.request.prompt for cell in table.cells]


@pytest.mark.parametrize("entry", registry.scripts(), ids=lambda entry: entry.name)
def test_every_script_is_declared_whole(entry: registry.ScriptEntry) -> None:
    script: type[Script] = registry.resolved(entry.code)
    assert script.title == entry.name
    assert all(param_of(info) is not None and info.description for info in script.model_fields.values())
    for cls in (Txt2Img, Img2Img):
        described = script.arguments(cls)
        values = [each["value"] for each in described]
        if entry.name == "X/Y/Z plot":
            values[0] = 4  # A1111's clients send an axis as its place.
            values[3] = values[6] = 0
        script.made(**script.of_arguments(cls, values))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_with_prompts_is_read_in_the_usual_codings(coding: str) -> None:
    assert lines_of("ein Käfer\n猫".encode(coding)) == "ein Käfer\n猫"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n", b"a\0b", b"x" * 1_000_001, b"x" * 4_000_001])
def test_a_file_that_is_no_list_of_prompts_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match="The file with prompts") as caught:
        lines_of(content)
    assert caught.value.field == "lines"


def test_a_script_that_is_none_is_refused_with_one_that_is_like_it() -> None:
    with pytest.raises(NotFound, match="not found") as caught:
        registry.script("promt matrix")
    assert "Prompt matrix" in caught.value.hint


def test_the_matrix_has_every_combination() -> None:
    table = expanded("Prompt matrix", Txt2Img(prompt="a fox|in snow, |at night", n_iter=3, batch_size=2))
    assert prompts(table) == ["a fox", "a fox, in snow", "a fox, at night", "a fox, in snow, at night"]
    assert [cell.place for cell in table.cells] == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]
    assert {cell.request.seed for cell in table.cells} == {50}
    assert table.count == 4
    assert table.sheets is not None
    assert table.sheets.titles[0] == ((("in snow,", False),), (("in snow,", True),))


def test_the_matrix_may_begin_with_the_parts_and_differ_in_the_negative_prompt() -> None:
    table = expanded(
        "Prompt matrix",
        Txt2Img(prompt="a|b", negative_prompt="ugly|old", seed=7),
        prompt_type="negative",
        put_at_start=True,
        delimiter="space",
        different_seeds=True,
    )
    assert [cell.request.negative_prompt for cell in table.cells] == ["ugly", "old ugly"]
    assert [cell.request.seed for cell in table.cells] == [7, 8]
    assert prompts(table) == ["a|b", "a|b"]


def test_three_parts_make_four_columns_and_two_rows() -> None:
    table = expanded("Prompt matrix", Txt2Img(prompt="x|a|b|c"))
    assert table.sheets is not None
    assert [len(titles) for titles in table.sheets.titles] == [4, 2, 1]
    for cell in table.cells:
        column, row, _ = cell.place
        there = [text for text, is_there in (*table.sheets.titles[0][column], *table.sheets.titles[1][row]) if is_there]
        assert cell.request.prompt == ", ".join(["x", *there])


def test_too_large_a_matrix_is_refused() -> None:
    with pytest.raises(UserError, match="too many"):
        expanded("Prompt matrix", Txt2Img(prompt="|" * 500))


def test_each_line_is_a_request_with_options_of_its_own() -> None:
    lines = """
    a fox
    --prompt "a red cat" --steps 7 --sampler_name "Euler a" --sd_model second --seed 9
    --prompt a dog in the park --negative_prompt "old" --n_iter 2
    """
    table = expanded("Prompts from file or textbox", Txt2Img(prompt="at night", negative_prompt="ugly"), lines=lines)
    assert prompts(table) == ["a fox at night", "a red cat at night", "a dog in the park at night"]
    second = table.cells[1].request
    assert (second.steps, second.sampler_name, second.seed) == (7, "Euler a", 9)
    assert second.override_settings == {"sd_model_checkpoint": "second"}
    assert table.cells[2].request.negative_prompt == "old ugly"
    assert table.count == 4
    assert table.sheets is None


def test_seeds_of_lines_differ_stay_or_count_up() -> None:
    def seeds(**values: Any) -> list[int]:
        table = expanded("Prompts from file or textbox", Txt2Img(), lines="a\nb\nc", **values)
        return [cell.request.seed for cell in table.cells]

    assert len(set(seeds())) == 3
    assert seeds(iterate_batch=True) == [50, 50, 50]
    assert seeds(iterate=True) == [50, 51, 52]


def test_no_prompts_and_too_many_are_refused() -> None:
    for lines, told in (("", "no prompts"), ("--prompt a --n_iter 5000", "too many")):
        with pytest.raises(UserError, match=told):
            expanded("Prompts from file or textbox", Txt2Img(), lines=lines)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('--prompt "a fox', "a quotation mark is not closed"),
        ("a fox -- it's red", "a quotation mark is not closed"),
        ("--colour red", "no option '--colour'"),
        ("a fox --steps 7", "no option 'a'"),
        ("--prompt a --steps many", "Sampling steps"),
        ("--prompt a --steps 0", "Sampling steps"),
        ("--prompt a --steps", "no value"),
    ],
)
def test_a_line_whose_options_cannot_be_read_is_a_prompt_and_that_is_said(line: str, told: str) -> None:
    table = expanded("Prompts from file or textbox", Txt2Img(), lines=f"a cat\n{line}")
    assert prompts(table) == ["a cat", line]
    (remark,) = table.remarks
    assert remark.startswith("Line 2 is taken as a prompt")
    assert told in remark


def test_an_option_that_nearly_fits_is_made_to_fit() -> None:
    table = expanded("Prompts from file or textbox", Txt2Img(), lines="--prompt a --steps 7.9 --subseed_strength 2")
    request = table.cells[0].request
    assert (request.steps, request.subseed_strength) == (7, 1.0)
    assert len(table.remarks) == 2


@given(text(alphabet="ab\xa0 \t\n\"'\\é-", max_size=30))
def test_a_line_has_the_words_that_a_shell_has(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(UserError):
            list(split_words(line))
    else:
        assert list(split_words(line)) == expected


def test_all_combinations_of_a_prompt_are_made_up_to_the_limit() -> None:
    title = "Dynamic prompts: all combinations"
    table = expanded(title, Txt2Img(prompt="a {red|green} {cat|dog}", batch_size=2))
    assert prompts(table) == ["a red cat", "a red dog", "a green cat", "a green dog"]
    assert {cell.request.templates["prompt"] for cell in table.cells} == {"a {red|green} {cat|dog}"}
    assert [cell.request.seed for cell in table.cells] == [50] * 4 and table.count == 8
    table = expanded(title, Txt2Img(prompt="{a|b|c}", batch_size=2), limit=2, different_seeds=True)
    assert prompts(table) == ["a", "b"] and [cell.request.seed for cell in table.cells] == [50, 52]
    assert table.remarks == ("Only the first 2 combinations of the prompt were made.",)
    with pytest.raises(UserError, match="no choices to combine"):
        expanded(title, Txt2Img(prompt="a {fox}"))
