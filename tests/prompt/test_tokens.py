from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.texts import HOSTILE, prompts
from webui.prompt.clip_vocabulary import derive
from webui.prompt.tokens import COMMA, END, SIZE, START, clip_tokenizer, open_clip_tokenizer


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    """Each token's bytes as Latin-1, a space at a word's end: from the file of merges alone, as CLIP publishes it."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unprinted = [byte for byte in range(256) if byte not in printed]
    letter_of_byte = {chr(byte): chr(byte) for byte in printed}
    letter_of_byte |= {chr(256 + index): chr(byte) for index, byte in enumerate(unprinted)}
    letters = list(letter_of_byte.values())
    merged = []
    for line in gzip.decompress(Path(derive.__file__).with_name("merges.txt.gz").read_bytes()).decode().split("\n"):
        token = line.replace(" ", "")
        stem = token.removesuffix("</w>")
        merged.append("".join(letter_of_byte[letter] for letter in stem) + " " * (stem != token))
    return [*letters, *(f"{letter} " for letter in letters), *merged, "<|startoftext|> ", "<|endoftext|> "]


@pytest.fixture(scope="module")
def ranks(vocabulary) -> dict[str, int]:
    return {token: rank for rank, token in enumerate(vocabulary)}


def test_the_vocabulary_has_its_size_and_landmarks(vocabulary):
    assert len(vocabulary) == SIZE == len(set(vocabulary))
    assert vocabulary[COMMA] == ", "
    assert vocabulary[START].startswith("<|start")
    assert vocabulary[END].startswith("<|end")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("ＡＢＣ", [5334]),
        ("🐱🐶", [35710, 10631]),
        ("ß", [127, 509]),
        ("½", [33613]),
        ("a <|endoftext|> b", [320, END, 321]),
        ("<|StartOfText|>", [START]),
        ("  \n ", []),
    ],
)
def test_tokens_are_those_of_clip(text, tokens):
    assert clip_tokenizer().encode(text) == tokens


def test_open_clip_has_other_special_words_and_unescapes_all_html():
    assert open_clip_tokenizer().encode("<end_of_text>") == [END]
    assert clip_tokenizer().encode("<end_of_text>") != [END]
    assert open_clip_tokenizer().encode("<&amp;") == clip_tokenizer().encode("<&")
    assert clip_tokenizer().encode("<&amp;") != clip_tokenizer().encode("<&")


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz ABC,.!0123456789-_éñß日本кот½²")))
def test_the_tokens_of_a_text_spell_it(vocabulary, text):
    spelt = "".join(vocabulary[token] for token in clip_tokenizer().encode(text))
    assert spelt.replace(" ", "").encode("latin-1").decode("utf-8") == text.replace(" ", "").lower()


@given(prompts)
def test_any_text_has_tokens_and_white_space_and_case_do_not_matter(text):
    tokens = clip_tokenizer().encode(text)
    assert all(0 <= token < SIZE for token in tokens)
    assert clip_tokenizer().encode(f" \n{text}\t") == tokens


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_cut_in_a_time_that_grows_with_its_length(text):
    assert len(clip_tokenizer().encode(text)) <= len(text)


@given(st.text(st.sampled_from("abcdeinorst"), min_size=1, max_size=30))
def test_a_word_is_merged_as_the_paper_says(vocabulary, ranks, word):
    """Again and again the pair that comes first in the table."""
    parts = [*word[:-1], f"{word[-1]} "]
    while len(parts) > 1:
        pairs = [left + right for left, right in pairwise(parts)]
        best = min(pairs, key=lambda pair: ranks.get(pair, SIZE))
        if best not in ranks:
            break
        position = pairs.index(best)
        parts[position : position + 2] = [best]
    assert [vocabulary[token] for token in clip_tokenizer().encode(word)] == parts
