from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from tests.prompt.texts import HOSTILE, prompts
from webui.prompt.attention import Span, parse_attention
from webui.prompt.chunks import (
    CHUNK_LENGTH,
    Count,
    FoundEmbedding,
    chunk_tokens,
    chunk_with_brackets,
    count_tokens,
    embedding_finder,
)
from webui.prompt.schedule import prompt_schedule
from webui.prompt.tokens import END, START, clip_tokenizer


def chunked(text, **options):
    return chunk_tokens(parse_attention(text), clip_tokenizer(), **options)


@pytest.mark.parametrize("case", golden("tokenize"), ids=lambda case: case["prompt"][:40])
def test_chunks_are_those_of_a1111(case):
    text = case["prompt"]
    chunks, token_count, _ = chunk_tokens(
        [Span(text, 1.0)] if case.get("emphasis") == "None" else parse_attention(text),
        clip_tokenizer(),
        comma_backtrack=case.get("comma_padding_backtrack", 20),
        find_embedding=embedding_finder({"ti-one": 1, "ti-four": 4}, clip_tokenizer()),
    )
    expected = case["out"]
    assert token_count == expected["token_count"]
    for chunk, wanted in zip(chunks, expected["chunks"], strict=True):
        assert list(chunk.tokens) == wanted["tokens"]
        assert list(chunk.multipliers) == wanted["multipliers"]
        assert [fix._asdict() for fix in chunk.fixes] == wanted["fixes"]


@given(prompts, st.integers(0, 74))
def test_every_chunk_has_the_encoders_size_and_no_token_is_lost(text, comma_backtrack):
    chunks, token_count, _ = chunked(text, comma_backtrack=comma_backtrack)
    assert all(len(chunk.tokens) == len(chunk.multipliers) == CHUNK_LENGTH + 2 for chunk in chunks)
    assert all((chunk.tokens[0], chunk.tokens[-1]) == (START, END) for chunk in chunks)
    inside = [token for chunk in chunks for token in chunk.tokens[1:-1] if token != END]
    assert inside == [
        token
        for span in parse_attention(text)
        if not span.is_break
        for token in clip_tokenizer().encode(span.text)
        if token != END
    ]
    assert ceil(max(token_count, 1) / CHUNK_LENGTH) == len(chunks)


def test_old_emphasis_weighs_brackets_as_tokens_and_keeps_one_chunk():
    tokenizer = clip_tokenizer()
    a, cat = tokenizer.encode("a cat")
    chunk = chunk_with_brackets("a ((cat)) [cat] a", tokenizer)
    assert chunk.tokens[1:5] == (a, cat, cat, a)
    assert chunk.multipliers[1:5] == pytest.approx((1.0, 1.21, 1 / 1.1, 1.0))
    literal = tuple(tokenizer.encode("((cat))"))
    assert chunk_with_brackets("((cat))", tokenizer, emphasis=False).tokens[1 : len(literal) + 1] == literal
    assert chunk_with_brackets("cat " * 100, tokenizer).tokens == (START, *[cat] * CHUNK_LENGTH, END)


@given(prompts)
def test_old_emphasis_never_raises(text):
    chunk = chunk_with_brackets(text, clip_tokenizer())
    assert len(chunk.tokens) == len(chunk.multipliers) == CHUNK_LENGTH + 2


def test_what_follows_the_last_comma_goes_to_the_next_chunk():
    text = "cat " * 60 + ", " + "dog " * 20
    cat, dog = clip_tokenizer().encode("cat dog")
    near, *_ = chunked(text, comma_backtrack=20)
    assert dog not in near[0].tokens
    assert near[1].tokens.count(dog) == 20
    far, *_ = chunked(text, comma_backtrack=10)
    assert far[0].tokens.count(cat) == 60
    assert far[0].tokens.count(dog) == 14


def test_weights_move_with_their_tokens():
    (first, second), *_ = chunked("cat " * 70 + ", (dog dog dog dog dog:1.5)")
    assert 1.5 not in first.multipliers
    assert second.multipliers[:7] == (1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.0)


def test_an_embedding_is_not_parted_and_longer_names_go_first():
    find_embedding = embedding_finder({"style": 4, "style of mine": 8, "": 3}, clip_tokenizer())
    chunks, token_count, _ = chunked("cat " * 70 + "Style of Mine style", find_embedding=find_embedding)
    assert [[tuple(fix) for fix in chunk.fixes] for chunk in chunks] == [[], [(0, "style of mine"), (8, "style")]]
    assert token_count == CHUNK_LENGTH + 12


def test_an_embedding_longer_than_a_chunk_fills_one():
    chunks, token_count, _ = chunked("a big b", find_embedding=embedding_finder({"big": 200}, clip_tokenizer()))
    assert [len(chunk.tokens) for chunk in chunks] == [77, 77, 77]
    assert token_count == 2 * CHUNK_LENGTH + 1


def test_an_embedding_moved_by_a_comma_stays_behind():
    # A1111: its vectors land in the padding, and zeros stand for it in the next chunk.
    def find_embedding(tokens, position):
        return FoundEmbedding("x", 1, 1) if tokens[position] == clip_tokenizer().encode("x")[0] else None

    (first, second), *_ = chunked("cat " * 70 + ", x dog dog dog dog", find_embedding=find_embedding)
    assert [tuple(fix) for fix in first.fixes] == [(71, "x")]
    assert first.tokens[72] == END
    assert second.fixes == ()
    assert second.tokens[1] == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", (0, 75)),
        ("a cat", (2, 75)),
        ("a cat <lora:something long:1> # a comment", (2, 75)),
        ("[a:b c d:0.5] AND (e:1.2)", (3, 75)),
        ("cat " * 75, (75, 75)),
        ("cat " * 76, (76, 150)),
        ("a BREAK b", (76, 150)),
    ],
)
def test_the_counter_shows_the_longest_text(text, count):
    assert count_tokens(text) == Count(*count)


def test_the_counter_of_a_negative_prompt_knows_no_and():
    assert count_tokens("a AND b", positive=False).used == 3


def test_the_counter_without_emphasis_counts_brackets():
    assert count_tokens("(a)", emphasis=False).used == 3


@given(prompts, st.integers(1, 10), st.booleans())
def test_the_counter_never_shows_more_than_its_maximum(text, steps, positive):
    used, most = count_tokens(text, steps, positive=positive)
    assert 0 <= used <= most
    assert most % CHUNK_LENGTH == 0


@given(prompts.filter(lambda text: not {"#", "<", "A"} & set(text)), st.integers(1, 10))
def test_the_counter_agrees_with_the_chunks(text, steps):
    counts = [chunked(edit.text).token_count for edit in prompt_schedule(text, steps)]
    assert count_tokens(text, steps, positive=False).used == max(counts)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_counted_in_a_time_that_grows_with_its_length(text):
    assert count_tokens(text, 2).used >= 0
