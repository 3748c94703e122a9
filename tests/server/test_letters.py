"""JSON that comes in holds whole letters, however it is cut into pieces on its way."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from webui.base.text import cleaned
from webui.server.api.errors import Letters

PIECES = st.sampled_from(
    ["\\", "\\\\", "\\ud83d", "\\ude00", "\\uD800", "u", "d8", "00", "a", '\\"', "\\n", "é", "\\u00e9"]
)


def passed(body: bytes, cuts: list[int]) -> bytes:
    letters = Letters()
    ends = sorted({cut % (len(body) + 1) for cut in cuts} | {len(body)})
    begins = [0, *ends[:-1]]
    return b"".join(
        letters.whole(body[begin:end], more=end < len(body)) for begin, end in zip(begins, ends, strict=True)
    )


@given(st.lists(PIECES, max_size=30), st.lists(st.integers(0, 500), max_size=12))
def test_a_text_says_the_same_but_for_its_halves_of_letters(pieces: list[str], cuts: list[int]) -> None:
    body = f'["{"".join(pieces)}"]'.encode()
    found = passed(body, cuts)
    assert len(found) == len(body)
    try:
        meant = json.loads(body)
    except ValueError:
        return
    assert json.loads(found) == cleaned(meant)


@given(st.text(st.characters(codec=None, categories=None), max_size=60), st.lists(st.integers(0, 500), max_size=12))
def test_halves_written_as_bytes_go_too(text: str, cuts: list[int]) -> None:
    body = json.dumps([text], ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert json.loads(passed(body, cuts).decode()) == cleaned([text])


@given(st.binary(max_size=80), st.lists(st.integers(0, 100), max_size=8))
def test_the_length_stays_whatever_comes(body: bytes, cuts: list[int]) -> None:
    assert len(passed(body, cuts)) == len(body)
