from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from tests.prompt.texts import HOSTILE, LONG, prompts
from webui.prompt.schedule import Edit, prompt_schedule

PASSES = {
    "schedule.steps10.hiresNone.old0": (10, None, False),
    "schedule.steps20.hiresNone.old0": (20, None, False),
    "schedule.steps10.hires15.old0": (10, 15, False),
    "schedule.steps10.hiresNone.old1": (10, None, True),
    "schedule.steps1.hiresNone.old0": (1, None, False),
}


@pytest.mark.parametrize("case", golden("prompts"), ids=lambda case: case["prompt"])
def test_schedules_are_those_of_a1111(case):
    for name, (steps, hires_steps, use_old) in PASSES.items():
        edits = prompt_schedule(case["prompt"], steps, hires_steps, use_old)
        assert [list(edit) for edit in edits] == case[name]["out"], name


@pytest.mark.parametrize(
    ("text", "first_pass", "hires_pass"),
    [
        ("a [cat:dog:1.5] x", [(20, "a cat x")], [(5, "a cat x"), (10, "a dog x")]),
        ("a [cat:dog:0.5] x", [(10, "a cat x"), (20, "a dog x")], [(10, "a dog x")]),
        ("a [cat:dog:25] x", [(20, "a cat x")], [(5, "a cat x"), (10, "a dog x")]),
        ("[a:b:1]", [(1, "a"), (20, "b")], [(10, "b")]),
        ("[a:b:1.0]", [(20, "a")], [(10, "b")]),
        ("[a:b:1e-1]", [(20, "b")], [(10, "b")]),
        ("[a:b:-0.5]", [(20, "b")], [(10, "b")]),
    ],
)
def test_fractions_from_one_to_two_and_late_steps_belong_to_the_hires_pass(text, first_pass, hires_pass):
    assert list(prompt_schedule(text, 20)) == first_pass
    assert list(prompt_schedule(text, 20, 10)) == hires_pass


def test_the_old_way_knows_no_hires_pass():
    assert prompt_schedule("a [cat:dog:1.5] x", 20, 10, use_old=True) == ((1, "a cat x"), (20, "a dog x"))


steps = st.integers(1, 30)


@given(prompts, steps, st.none() | steps, st.booleans())
def test_every_step_has_one_text(text, steps, hires_steps, use_old):
    ends = [edit.until_step for edit in prompt_schedule(text, steps, hires_steps, use_old)]
    assert ends == sorted(set(ends))
    assert ends[0] >= 1
    assert ends[-1] == (steps if hires_steps is None or use_old else hires_steps)


@given(st.text(alphabet=st.characters(exclude_characters="[]")), steps)
def test_text_without_square_brackets_stays_as_it_is(text, steps):
    assert prompt_schedule(text, steps) == (Edit(steps, text),)


word = st.text(st.characters(exclude_characters="[]():|\\"), min_size=1, max_size=8)


@given(word, word, word, steps, st.integers(1, 30))
def test_editing_changes_at_its_step_and_nowhere_else(around, before, after, steps, when):
    edits = prompt_schedule(f"{around}[{before}:{after}:{when}]{around}", steps)
    for step in range(1, steps + 1):
        text = next(edit.text for edit in edits if step <= edit.until_step)
        assert text == f"{around}{before if step <= when else after}{around}"


@given(st.lists(word, min_size=2, max_size=5), steps)
def test_alternation_takes_turns(options, steps):
    edits = prompt_schedule(f"[{'|'.join(options)}]", steps)
    assert [edit.text for edit in edits] == [options[step % len(options)] for step in range(steps)]


@given(word, word, st.sampled_from(["]", ")", ":", "[", "(", "(a", "[b:c"]))
def test_a_bracket_that_fits_nowhere_is_text_and_spoils_no_other(before, after, stray):
    assert [edit.text for edit in prompt_schedule(f"{stray}[{before}:{after}:3]", 5)] == [stray + before, stray + after]


@pytest.mark.parametrize("stray", ["|", "(a|b)", "\\", "\\\n", "[a|b:c]", "[a|b"])
def test_what_the_grammar_does_not_know_makes_the_whole_text_literal(stray):
    text = f"[a:b:3] {stray}"
    assert prompt_schedule(text, 5) == ((5, text),)


@pytest.mark.parametrize("number", ["1e999", "9" * 500, "-1e999", "1.5e999"])
def test_steps_beyond_any_number_are_the_last_or_none(number):
    for edits in (prompt_schedule(f"[a:b:{number}]", 5), prompt_schedule(f"[a:b:{number}]", 5, 4)):
        assert [edit.text for edit in edits] == ["b" if number.startswith("-") else "a"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_parsed_in_a_time_that_grows_with_its_length(text):
    assert prompt_schedule(text, 2)[-1].until_step == 2


def test_nesting_may_be_as_deep_as_the_text_is_long():
    edits = prompt_schedule("[" * LONG + "x" + ":y:3]" * LONG, 5)
    assert [edit.text for edit in edits] == ["x", "y"]
