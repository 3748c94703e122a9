from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from tests.prompt.texts import HOSTILE, prompts
from webui.prompt.networks import extract_networks


@pytest.mark.parametrize("case", golden("prompts"), ids=lambda case: case["prompt"])
def test_tags_are_those_of_a1111(case):
    text, tags = extract_networks(case["prompt"])
    by_kind: dict[str, list[dict[str, object]]] = {}
    for tag in tags:
        by_kind.setdefault(tag.kind, []).append({"positional": list(tag.positional), "named": dict(tag.named)})
    expected = case["extra_networks"]["out"]
    assert text == expected["prompt"]
    assert by_kind == {
        kind: [{"positional": tag["positional"], "named": tag["named"]} for tag in tags]
        for kind, tags in expected["data"].items()
    }


def test_a_lora_with_weights_of_its_own_for_text_and_picture():
    text, (first, second) = extract_networks("a <lora:x:0.5> <lora:y:te=1:unet=0.2>b")
    assert text == "a  b"
    assert (first.kind, first.name, first.positional) == ("lora", "x", ("x", "0.5"))
    assert (second.name, second.get("te"), second.get("unet"), second.get("dyn", "-")) == ("y", "1", "0.2", "-")


def test_an_argument_with_two_equals_signs_is_positional():
    _, (tag,) = extract_networks("<lora:a=b=c:d=>")
    assert (tag.positional, tag.named) == (("a=b=c",), (("d", ""),))


@given(prompts)
def test_what_is_left_is_the_text_without_the_tags(text):
    left, tags = extract_networks(text)
    assert len(left) + sum(len(tag.kind) + 3 for tag in tags) <= len(text)
    assert bool(tags) == (left != text)


names = st.text(st.characters(exclude_characters=">:"), min_size=1)


@given(prompts.filter(lambda text: "<" not in text), st.lists(st.tuples(st.from_regex(r"\w+", fullmatch=True), names)))
def test_every_tag_is_found_wherever_it_stands(text, wanted):
    written = text + text.join(f"<{kind}:{name}:0.5>" for kind, name in wanted)
    left, tags = extract_networks(written)
    assert [(tag.kind, tag.name) for tag in tags] == wanted
    assert left == text + text * max(0, len(wanted) - 1)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_parsed_in_a_time_that_grows_with_its_length(text):
    left, _ = extract_networks(text)
    assert len(left) <= len(text)
