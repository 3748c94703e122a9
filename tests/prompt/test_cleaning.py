from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.texts import HOSTILE, LONG, prompts
from webui.prompt.cleaning import made_plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("“don’t”", '"don\'t"'),
        ("ＡＢＣ　ｶﾞ", "ABC ガ"),
        ("ﬁne ﬅŉ", "fine ſt'n"),
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\x1b[31mred\x1b[0m\x00\ufeff", "red"),
        ("\x93quoted\x94 wait\x85", '"quoted" wait…'),
        ("\ud83d\ude00 \ud800", "😀 \ufffd"),
        ("&amp; &amp;lt; &EACUTE; &#65; &#59; &nothing; &copy", "& < É A &#59; &nothing; &copy"),
        ("&amp;\n<b> &amp;\n&amp;", "&\n<b> &amp;\n&amp;"),
        ("ß½日本語🐱", "ß½日本語🐱"),
    ],
)
def test_what_ftfy_makes_plain_is_made_plain(text, plain):
    assert made_plain(text) == plain


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&")))
def test_printed_ascii_stays_as_it_is(text):
    assert made_plain(text) == text


@given(prompts)
def test_what_is_plain_is_made_no_plainer(text):
    plain = made_plain(text)
    assert made_plain(plain) == plain or "&" in plain
    assert unicodedata.is_normalized("NFC", plain)
    plain.encode("utf-8")


@pytest.mark.parametrize("text", [*HOSTILE.values(), "\x1b[" * LONG], ids=[*HOSTILE, "escapes"])
def test_hostile_text_is_cleaned_in_a_time_that_grows_with_its_length(text):
    assert len(made_plain(text)) <= len(text)
