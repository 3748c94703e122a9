"""Dynamic prompts: choices, wildcards and variables in a prompt."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis.strategies import integers, text

from webui.base.errors import UserError
from webui.prompt.dynamic import parsed
from webui.prompt.filling import Lines, all_texts, filled

LISTS = {
    "colour": ("red", "green", "blue"),
    "odd": ("1::rare", "9::often"),
    "coat": ("a __colour__ coat", "a ${size:long} coat"),
    "round": ("around __about__",),
    "about": ("about __round__",),
    "bomb": ("__bomb1__ __bomb1__ __bomb1__ __bomb1__ __bomb1__ __bomb1__ __bomb1__ __bomb1__ __bomb1__",),
    **{f"bomb{n}": (f"__bomb{n + 1}__ " * 9,) for n in range(1, 6)},
}


def look(name: str) -> Lines:
    return Lines.of(LISTS.get(name, ()))


def every(template: str) -> set[str]:
    """What 60 seeds make of a template."""
    return {filled(template, look, seed).text for seed in range(60)}


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("a {red|green} fox", {"a red fox", "a green fox"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("{a|}x", {"ax", "x"}),
        ("{0::a|b}", {"b"}),
        ("{2$$a|b|c}", {"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}),
        ("{1-2$$ and $$a|b}", {"a", "b", "a and b", "b and a"}),
        ("{-2$$+$$a|b}", {"a", "b", "a+b", "b+a"}),
        ("{5$$|$$ a | a }", {"a|a"}),
        ("{2$$__colour__}", {f"{a}, {b}" for a in LISTS["colour"] for b in LISTS["colour"] if a != b}),
        ("__coat__", {"a red coat", "a green coat", "a blue coat", "a long coat"}),
        ("__coat(size=short)__", {"a red coat", "a green coat", "a blue coat", "a short coat"}),
        ("${c=!{a|b}}${c}${c}", {"aa", "bb"}),
        ("${c={a|b}}${c}${c}", {"aa", "ab", "ba", "bb"}),
        ("${c:{a|b}}", {"a", "b"}),
        ("<lora:x:{0.5|1}> (cat:{1.1|1.2})", {f"<lora:x:{a}> (cat:{b})" for a in ("0.5", "1") for b in ("1.1", "1.2")}),
    ],
)
def test_a_template_becomes_each_of_its_texts(template: str, texts: set[str]) -> None:
    assert every(template) == texts


def test_all_texts_are_those_that_chance_makes_but_for_the_order_of_several() -> None:
    template = "{a|b} __colour__ ${c=!{x|y}}${c} {1-2$$+$$p|q}"
    texts, remarks = all_texts(template, look, 1000)
    assert texts[:2] == ("a red x p", "a red x q") and len(texts) == 2 * 3 * 2 * 3 and not remarks
    chance = {text.replace("q+p", "p+q") for text in every(template)}
    assert chance <= set(texts)
    assert all_texts(template, look, 5)[0] == texts[:5]


def test_weights_count() -> None:
    found = Counter(filled("__odd__ {9::a|b}", look, seed).text for seed in range(1000))
    assert found["often a"] > 700 and found["rare b"] < 50


def test_the_same_seed_gives_the_same_text_and_the_next_ones_others() -> None:
    """These texts stand: pictures of an earlier day must be made again."""
    template = "{red|green|blue} {2$$a|b|c|d} __odd__"
    assert [filled(template, look, seed).text for seed in (1, 2, 2**40)] == GOLDEN
    assert filled(template, look, 1, "negative").text != GOLDEN[0]


GOLDEN = ["green c, b often", "green b, a often", "green d, c often"]


def test_prompts_that_begin_alike_make_the_same_choices() -> None:
    for seed in range(20):
        assert filled("__colour__", look, seed).text == filled("__colour__ {a|b}", look, seed).text.split()[0]


def test_in_turn_means_that_the_seed_counts() -> None:
    assert [filled("{@a|b|c} __@colour__", look, seed).text for seed in range(4)] == [
        "a red", "b green", "c blue", "a red",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "plain",
    ["{word}", "{{word}}", "a {b", "a|b}", "{}", "[a|b]", r"\{a|b\}", "${x}", "$$", "a_b__c", "__ x __", "___", "{$$}",
     '{"a": [1, 2]}', "(a:1.2), [b:c:0.5] AND d"],
)  # fmt: skip
def test_what_is_no_choice_is_text(plain: str) -> None:
    assert filled(plain, look, 1) == (plain, ())
    assert all_texts(plain, look, 9) == ((plain,), ())


@given(text("{}|$_=:@~-\\2a, ()x"), integers(0, 10))
def test_any_text_becomes_something(template: str, seed: int) -> None:
    filled(template, look, seed)
    texts, _ = all_texts(template, look, 20)
    assert 1 <= len(texts) <= 20


def test_what_cannot_be_filled_in_stays_and_is_told() -> None:
    made = filled("a __beast__ __beast__", look, 1)
    assert made.text == "a __beast__ __beast__"
    assert made.remarks == ("There is no wildcard 'beast' in models/wildcards. It was left as text.",)
    made = filled("__round__", look, 1)
    assert made.text == "around about __round__"
    assert made.remarks == ("The wildcard 'round' contains itself (round → about → round). It was left as text.",)


@pytest.mark.parametrize("template", ["__bomb__", "{5$$__bomb__|__bomb__}", "${x=__bomb__}${x}${x}"])
def test_what_grows_without_end_is_refused_in_words(template: str) -> None:
    with pytest.raises(UserError, match=r"more than 5,000 choices|longer than 200,000"):
        filled(template, look, 1)


def test_variables_do_not_mean_themselves() -> None:
    assert filled("${x=a${x}}${x}", look, 1).text == "a${x}"


@pytest.mark.parametrize("unit", ["{", "{a|", "__a", "${x=", "{2$$", "__a(__", "\\", "{{|}", "{a|b}"])
def test_reading_takes_time_like_the_length(unit: str) -> None:
    def seconds(size: int) -> float:
        begin = time.thread_time()
        parsed(unit * (size // len(unit)))
        return time.thread_time() - begin

    short = max(min(seconds(4_000) for _ in range(3)), 1e-4)
    assert min(seconds(40_000) for _ in range(3)) < 40 * short
