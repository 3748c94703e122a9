"""Scenes are painted as their captions say."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from webui.engine.training.data import (
    COLOURS,
    HUES,
    Emoji,
    Scene,
    ScenePart,
    article,
    dominant_hue,
    pair_scene,
    phrase,
    plain_code,
    plural,
    recoloured_scene,
    scenes,
    several_scene,
)
from webui.engine.training.usual import USUAL
from webui.engine.training.vae import on


def disc(colour: tuple[int, int, int], size: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A disc of one colour on nothing."""
    across = np.linspace(-1, 1, size)
    inside = across[:, None] ** 2 + across[None] ** 2 < 0.7
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[inside] = (*colour, 255)
    return pixels


@pytest.fixture
def emoji() -> Emoji:
    pixels = np.stack([disc((220, 30, 30)), disc((30, 60, 220)), disc((128, 128, 128))])
    return Emoji(
        names=("red apple", "blue book", "rock"),
        keywords=(("fruit",), (), ()),
        groups=("Food & Drink", "Objects", "Animals & Nature"),
        pixels=pixels,
        hues=tuple(dominant_hue(picture) for picture in pixels),
    )


def test_only_what_has_one_colour_has_a_hue(emoji: Emoji) -> None:
    red, blue, grey = emoji.hues
    assert red is not None and min(red, 360 - red) < 10
    assert blue is not None and abs(blue - 231) < 10
    assert grey is None


def test_a_background_fills_what_the_emoji_leaves(emoji: Emoji) -> None:
    picture = emoji.paint(Scene("", (ScenePart(0),), COLOURS["blue"]))
    assert tuple(picture[0, 0]) == COLOURS["blue"]
    assert tuple(picture[16, 16]) == (220, 30, 30)


@pytest.mark.parametrize("seed", range(8))
def test_a_recoloured_apple_is_named_and_painted_in_its_new_colour(emoji: Emoji, seed: int) -> None:
    scene = recoloured_scene(emoji, 0, np.random.default_rng(seed))
    if scene is None:
        return  # the drawn colour was its own
    word = scene.caption.split()[1]
    assert scene.caption.endswith("apple") and word in HUES and word != "red"
    turned = emoji.paint(scene)[16, 16]
    hue = dominant_hue(np.full((4, 4, 4), (*turned, 255), np.uint8))
    assert hue is not None and abs((hue - HUES[word] + 180) % 360 - 180) < 12


def test_a_pair_stands_as_its_caption_says(emoji: Emoji) -> None:
    seen = set()
    for seed in range(60):
        scene = pair_scene(emoji, 0, 1, np.random.default_rng(seed))
        picture = emoji.paint(scene)
        upright = any(word in scene.caption for word in (" above ", " below ", " over ", " under "))
        first, second = (picture[8, 16], picture[24, 16]) if upright else (picture[16, 8], picture[16, 24])
        assert first[0] > 200 and second[2] > 200  # the apple left or above, the book right or below
        turned = any(word in scene.caption for word in ("right of", " below ", " under "))
        assert scene.caption.startswith(("a blue book", "a book") if turned else ("a red apple", "an apple"))
        seen |= {upright, f"turned {turned}", scene.caption.startswith("an apple and a")}
    assert len(seen) == 4, seen


def test_several_of_a_kind_are_as_many_as_the_caption_says(emoji: Emoji) -> None:
    for seed in range(12):
        scene = several_scene(emoji, 0, np.random.default_rng(seed))
        count, _, name = scene.caption.partition(" ")
        assert len(scene.parts) == {"two": 2, "three": 3, "four": 4}[count]
        assert name in ("apples", "red apples")
        picture = emoji.paint(scene)
        for part in scene.parts:
            assert picture[round(32 * part.y), round(32 * part.x), 1] < 50  # red, not white


def test_every_kind_of_scene_comes(emoji: Emoji) -> None:
    captions = [scene.caption for scene in islice(scenes(emoji, np.random.default_rng(0)), 2000)]
    for part in (
        " on a blue background",
        ", blue background",
        " and a",
        " small ",
        " big ",
        "a green apple",
        "left of",
        "two ",
        " above ",
        " on the left and ",
        "a small green apple",
    ):
        assert any(part in caption for caption in captions), part


def test_the_same_seed_gives_the_same_scenes(emoji: Emoji) -> None:
    first, second = (list(islice(scenes(emoji, np.random.default_rng(5)), 20)) for _ in range(2))
    assert first == second


def test_articles_codes_and_batches() -> None:
    assert (article("octopus"), article("red apple")) == ("an octopus", "a red apple")
    assert plain_code("1F3F4-e0067_e0062-FE0F") == "1f3f4-e0067-e0062"
    batch = on(torch.device("cpu"), np.stack([np.full((4, 6, 3), level, np.uint8) for level in (0, 255)]))
    assert batch.shape == (2, 3, 4, 6)
    assert (batch.min(), batch.max()) == (-1.0, 1.0)


def test_the_usual_nouns_take_half_of_the_lessons_and_go_by_what_people_call_them() -> None:
    names = ("automobile", "abacus", "abacus again", "yet another abacus")
    pixels = np.zeros((4, 8, 8, 4), np.uint8)
    known = Emoji(names, ((),) * 4, ("Objects",) * 4, pixels, (None,) * 4)
    assert known.weights.sum() == pytest.approx(1.0)
    assert known.weights[0] == pytest.approx(0.5 + 0.125)
    rng = np.random.default_rng(0)
    asked = [phrase(known, 0, rng) for _ in range(600)]
    for way in ("a car", "an automobile", "cars", "the car", "A car", "a picture of a car", "a cute car"):
        assert way in asked, way


def test_each_usual_noun_means_one_of_the_emoji_names() -> None:
    assert len(USUAL) >= 300
    assert all(word == word.strip() and word and name for word, name in USUAL.items())


@pytest.mark.parametrize(("one", "many"), [("cat", "cats"), ("cherry", "cherries"), ("box", "boxes"), ("key", "keys")])
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many
