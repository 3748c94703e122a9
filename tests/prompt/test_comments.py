from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.texts import HOSTILE, LONG, prompts
from webui.prompt.comments import strip_comments


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("a # b", "a \n"),
        ("# x\na", "\na"),
        ("a\n# x\nb", "a\nb"),
        ("a #b\nc", "a \nc"),
        ("#x\n#y\nz", "\n\nz"),
        ("a", "a"),
    ],
)
def test_comments_leave_the_line_ends_that_a1111_leaves(text, stripped):
    assert strip_comments(text) == stripped


@given(prompts)
def test_nothing_of_a_comment_stays(text):
    stripped = strip_comments(text)
    assert "#" not in stripped
    assert "".join(stripped.split("\n")) == "".join(line.partition("#")[0] for line in text.split("\n"))


@given(st.text(st.characters(exclude_characters="#")))
def test_text_without_comments_stays_as_it_is(text):
    assert strip_comments(text) == text


@pytest.mark.parametrize("text", [*HOSTILE.values(), "#\n" * LONG], ids=[*HOSTILE, "comments"])
def test_hostile_text_is_parsed_in_a_time_that_grows_with_its_length(text):
    assert "#" not in strip_comments(text)
