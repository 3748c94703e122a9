from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from tests.prompt.texts import HOSTILE, LONG, prompts
from webui.prompt.attention import BREAK, Span, parse_attention


@pytest.mark.parametrize("case", golden("prompts"), ids=lambda case: case["prompt"])
def test_weights_are_those_of_a1111(case):
    assert [list(span) for span in parse_attention(case["prompt"])] == case["attention"]["out"]


@given(prompts)
def test_any_text_has_spans_and_neighbours_differ_in_weight(text):
    spans = parse_attention(text)
    assert spans
    assert all(left.weight != right.weight for left, right in pairwise(spans))


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\")))
def test_text_without_brackets_stays_as_it_is(text):
    spans = parse_attention(text)
    if BREAK not in spans:
        assert spans == (Span(text, 1.0),)


@given(st.text())
def test_escaped_text_stays_as_it_is(text):
    escaped = "".join(f"\\{letter}" if letter in "()[]\\" else letter for letter in text)
    if "BREAK" not in text:
        assert "".join(span.text for span in parse_attention(escaped)) == text


@given(prompts, st.floats(0.1, 3).map(lambda weight: round(weight, 2)))
def test_brackets_around_plain_text_give_it_their_weight(text, weight):
    inner = "".join(letter for letter in text if letter not in "()[]\\:") or "x"
    spans = parse_attention(f"({inner}:{weight})")
    if all(span.text != "BREAK" for span in spans):
        assert spans == (Span(inner, weight),)


def test_what_is_no_number_is_text_in_plain_brackets():
    # A1111: raises ValueError
    for text in ("(x:1.2.3)", "(x:.)", "(x:1..2)", "(x:abc)", "(x:)"):
        (span,) = parse_attention(text)
        assert span == (text[1:-1], 1.1)


def test_break_is_a_mark_of_its_own_but_a_word_inside_brackets():
    assert [span.is_break for span in parse_attention("a BREAK b")] == [False, True, False]
    assert not any(span.is_break for span in parse_attention("(a BREAK b)"))
    assert ("BREAK", -1.1) in parse_attention("(a BREAK b)")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_parsed_in_a_time_that_grows_with_its_length(text):
    spans = parse_attention(text)
    assert sum(len(span.text) for span in spans) <= len(text)


def test_deep_brackets_stop_counting_before_weights_overflow():
    (span,) = parse_attention("(" * LONG + "a")
    assert math.isfinite(span.weight)
    assert span.weight > 1000
