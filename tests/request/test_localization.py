"""Which language a browser asks for, and which one a file's name means."""

from __future__ import annotations

import pytest

from webui.request.localization import OWN, code_of, preferred


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-US,en;q=0.9,ja;q=0.8", ""),
        ("nl,ja;q=0.5", "ja"),
        ("fr;q=0.2, ko;q=0.7", "ko"),
        ("zh-TW,zh;q=0.9", "zh-Hant"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hant-HK", "zh-Hant"),
        ("de;q=0, es", "es"),
        ("", ""),
        ("*", ""),
        ("de;q=zwei,\x00,;;;" + "x," * 10_000, ""),
    ],
)
def test_the_language_that_a_browser_likes_best_is_taken(header: str, code: str) -> None:
    assert preferred(header, OWN) == code


def test_what_is_not_there_is_not_offered() -> None:
    assert preferred("de,ja;q=0.5", {"ja"}) == "ja"


@pytest.mark.parametrize(
    ("name", "code"), [("de_DE", "de"), ("zh_CN", "zh-Hans"), ("zh_TW", "zh-Hant"), ("ja_JP", "ja"), ("klingon", "")]
)
def test_a_file_says_its_language_by_its_name(name: str, code: str) -> None:
    assert code_of(name) == code
