"""LoRAs by block and by step: what tags say."""

from __future__ import annotations

import math

import pytest

from webui.prompt.lora_blocks import LISTS, PRESETS, Steps, block_weights, read_presets, steps_of
from webui.prompt.networks import extract_networks


def test_lists_have_as_many_blocks_as_weights_and_each_once() -> None:
    for count, blocks in LISTS.items():
        assert len(blocks) == len(set(blocks)) == count and blocks[0] == "BASE"


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("OUTALL", "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1"),
        ("INS", "1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0"),
        ("MIDD", "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0"),
        ("OUTD", "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0"),
    ],
)
def test_a_name_is_its_list(name: str, weights: str) -> None:
    assert block_weights(name, "SD1") == block_weights(weights, "SD1")
    assert len(block_weights(name, "SDXL")) == 20


def test_all_names_are_known_in_any_letters_and_other_lists_are_refused() -> None:
    for name in PRESETS:
        assert block_weights(name.lower(), "SD1")
    for wrong in ("FACE", "1,0", "1,,1", ",".join(["nan"] * 12)):
        with pytest.raises(ValueError, match=r"."):
            block_weights(wrong, "SD1")


@pytest.mark.parametrize(
    ("tag", "steps"),
    [
        ("<lora:a:1>", None),
        ("<lora:a:1:start=5>", Steps(5, math.inf)),
        ("<lora:a:1:stop=7>", Steps(0, 7)),
        ("<lora:a:1:step=5-12>", Steps(5, 12)),
        ("<lora:a:1:lbw=OUTALL:step=-3>", Steps(0, 3)),
        ("<lora:a:1:start=0.5>", Steps(0.5, math.inf)),
    ],
)
def test_a_tag_says_in_which_steps_it_acts(tag: str, steps: Steps | None) -> None:
    assert steps_of(extract_networks(tag)[1][0]) == steps


def test_shares_of_the_steps_are_those_of_the_pass() -> None:
    assert [step for step in range(1, 11) if Steps(0.5, 0.8).has(step, 10)] == [5, 6, 7, 8]


def test_presets_are_read_line_by_line() -> None:
    assert read_presets("# mine\nFACE:1,0,1\nbroken\n HAND : 0,1\n") == {"FACE": "1,0,1", "HAND": "0,1"}
