from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from tests.prompt.texts import HOSTILE, prompts
from webui.prompt.composition import Part, split_and


def parts_of(multicond, index):
    return [(multicond["prompt_flat_list"][text], weight) for text, weight in multicond["res_indexes"][index]]


@pytest.mark.parametrize("case", golden("prompts"), ids=lambda case: case["prompt"])
def test_parts_are_those_of_a1111(case):
    assert list(split_and(case["prompt"])) == parts_of(case["multicond"]["out"], 0)


@pytest.mark.parametrize("case", golden("multicond_lists"), ids=lambda case: str(case["in"]))
def test_lists_of_prompts_are_those_of_a1111(case):
    for index, text in enumerate(case["in"]):
        assert list(split_and(text)) == parts_of(case["out"], index)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a :1.2", [("a", 1.2)]),
        ("(a:1.2)", [("(a:1.2)", 1.0)]),
        ("time 10:30", [("time 10", 30.0)]),
        ("a AND b :-1", [("a", 1.0), (" b", -1.0)]),
        ("a::1", [("a:", 1.0)]),
        ("a: - 1", [("a: - 1", 1.0)]),
        ("a:1e5", [("a:1e5", 1.0)]),
    ],
)
def test_a_number_at_the_end_is_a_weight(text, parts):
    assert list(split_and(text)) == parts


@given(prompts)
def test_any_text_has_parts(text):
    assert len(split_and(text)) >= 1


words = st.text(st.characters(categories=["Ll"]), min_size=1)


@given(st.lists(st.builds(Part, words, st.integers(-30, 30).map(lambda tenths: tenths / 10)), min_size=1))
def test_what_is_written_is_read(parts):
    assert split_and(" AND".join(f" {part.text} : {part.weight}" for part in parts)) == tuple(
        Part(f" {part.text}", part.weight) for part in parts
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_parsed_in_a_time_that_grows_with_its_length(text):
    assert split_and(text)
