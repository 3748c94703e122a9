"""Regional Prompter's mode Prompt: a region lies where words of the base prompt are looked at.

A recorded picture is compared in tests/golden/test_pictures.py.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.engine.conftest import Engine, levels, most_apart
from tests.engine.test_generate import CLOSE, request
from webui.base.errors import UserError
from webui.features.regional_prompter import engine as regional_engine
from webui.features.regional_prompter.parameters import ATTENTION, CALCULATIONS, LATENT, PROMPT, PROMPT_EX, Params
from webui.features.regional_prompter.words import WordMap
from webui.prompt.regions import Keys, layout_by_words, places_of
from webui.request.facts import facts_of
from webui.request.fields import Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.settings import Settings

WIDE: dict[str, Any] = {"width": 128, "height": 64, "steps": 5, "sampler_name": "Euler", "negative_prompt": "blurry"}
RED_CAT = "a cat BREAK a red one, cat"
both = pytest.mark.parametrize("calculation", CALCULATIONS)


def by_words(**values: Any) -> dict[str, Any]:
    return {"Regional Prompter": {"mode": PROMPT, **values}}


# ---------------------------------------------------------------- words


def test_each_further_part_names_the_words_behind_its_last_comma() -> None:
    found = layout_by_words("a lady, hair BREAK red, (hair:0.5) ADDCOL a dog AND blue", Keys())
    assert (found.base, found.regions) == ("a lady, hair ", (" red, (hair:0.5) ", " a dog ", " blue"))
    assert found.targets == ("(hair:0.5)", "a dog", "blue")
    assert found.cells == ()
    assert layout_by_words("a BREAK b AND c", Keys(keeps_and=True)).regions == (" b AND c",)
    assert layout_by_words("a BREAK b ADDCOL c", Keys(keeps_break=True)).base == "a BREAK b "
    common = layout_by_words("best BREAK a cat BREAK red, cat", Keys(has_common=True))
    assert (common.base, common.targets) == ("best ,  a cat ", ("cat",))
    assert common.texts == layout_by_words("best ADDCOMM a cat BREAK red, cat", Keys()).texts
    assert layout_by_words("a BREAK b BREAK c", Keys(is_reversed=True)).regions == (" c", " b ")
    assert layout_by_words("a BREAK b,", Keys()).targets == ("",)


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_words_are_found_as_they_stand_together_or_else_one_by_one(text: list[int], words: list[int]) -> None:
    places = places_of(words, text)
    runs = [i for i in range(len(text)) if text[i : i + len(words)] == words]
    if runs:
        assert places == tuple(range(runs[0], runs[0] + len(words)))
    else:
        assert {text[place] for place in places} == set(words) & set(text)


# ---------------------------------------------------------------- where regions are

looks = st.lists(st.integers(0, 9), min_size=6, max_size=6).map(lambda each: torch.tensor(each).reshape(2, 3) / 9)


def found(maps: list[Tensor], *, overwrites: bool, adds: bool, share: float = 0.0, threshold: float = 0.5) -> WordMap:
    word = WordMap([threshold] * len(maps), [share] * len(maps), overwrites=overwrites, adds=adds)
    word.add(torch.stack(maps))
    word.find(0)
    return word


@settings(deadline=None)
@given(st.lists(looks, min_size=1, max_size=4), st.booleans(), st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_all_parts_together_have_the_whole_say_everywhere(
    maps: list[Tensor], overwrites: bool, adds: bool, share: float, threshold: float
) -> None:
    word = found(maps, overwrites=overwrites, adds=adds, share=share, threshold=threshold)
    for size in ((2, 3), (4, 6), (1, 1)):
        areas = word.areas(size)
        assert areas.shape == (1 + len(maps), *size)
        torch.testing.assert_close(areas.sum(dim=0), torch.ones(size))
        assert bool((areas[1:] >= 0).all())
        if overwrites or not adds:
            assert bool((areas >= -1e-6).all())


def test_a_region_is_where_its_words_are_looked_at_most() -> None:
    left = torch.tensor([[1.0, 0.6, 0.0], [0.7, 0.2, 0.0]])
    right = left.flip(1)
    areas = found([left, right], overwrites=False, adds=True).areas((2, 3))
    assert areas[1].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert areas[2].tolist() == [[0, 1, 1], [0, 0, 1]]
    assert areas[0].tolist() == [[0, -1, 0], [0, 1, 0]]  # where both are, the base is taken off once
    shared = found([left, right], overwrites=False, adds=False).areas((2, 3))
    assert shared[:, 0, 1].tolist() == [0, 0.5, 0.5]
    later = found([left, right], overwrites=True, adds=True, share=0.25).areas((2, 3))
    assert later[:, 0, 1].tolist() == [0.25, 0, 0.75]


def test_what_all_layers_say_counts_whatever_their_size() -> None:
    word = WordMap([0.5], [0.0], overwrites=False, adds=True)
    word.add(torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    word.add(torch.tensor([[[0.0]]]))
    word.find(0)
    assert word.areas((2, 2))[1].tolist() == [[1, 1], [0, 0]]
    word.find(101)  # a threshold falls from step to step, so that regions grow
    assert word.areas((2, 2))[1].tolist() == [[1, 1], [1, 1]]


# ---------------------------------------------------------------- pictures


def halves(one: Any, other: Any) -> tuple[float, float]:
    """How far two pictures are apart, on average, in their left half and in their right half."""
    apart = np.abs(levels(one) - levels(other)).mean(axis=(0, 2))
    middle = len(apart) // 2
    return float(apart[:middle].mean()), float(apart[middle:].mean())


@both
@pytest.mark.parametrize("prompt_mode", [PROMPT, PROMPT_EX])
def test_a_text_acts_where_its_words_are_looked_at(
    engine: Engine, calculation: str, prompt_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is made to look at the word in the left half alone."""

    def left(attention: Any, x: Tensor, tokens: Tensor, places: Any, power: float) -> Tensor:
        side = round((x.shape[1] / 2) ** 0.5)
        looks = torch.zeros(1, len(places), side, 2 * side)
        looks[..., :side] = 1
        return looks.flatten(-2)

    monkeypatch.setattr(regional_engine, "looked_at", left)
    times = 2 if calculation == LATENT else 1.2  # self-attention tells one region of the other
    wish = {**WIDE, "features": by_words(calculation=calculation, prompt_mode=prompt_mode)}
    one = engine.run(request(**wish, prompt=RED_CAT))[0]
    in_left, in_right = halves(one, engine.run(request(**wish, prompt="a cat BREAK a green tree, cat"))[0])
    assert in_left > times * in_right
    (mask,) = one.extras
    drawn = np.asarray(Image.open(io.BytesIO(mask.content)))
    assert drawn.shape == (64, 128)
    assert drawn[:, :56].min() == 255
    assert drawn[:, 72:].max() == 0


@both
def test_until_regions_are_known_the_base_prompt_holds_everywhere(engine: Engine, calculation: str) -> None:
    plain = engine.run(request(**{**WIDE, "steps": 2, "prompt": "a cat"}))[0]
    wish = {**WIDE, "steps": 2, "prompt": RED_CAT, "features": by_words(calculation=calculation)}
    early = engine.run(request(**wish))[0]
    assert most_apart(plain, early) <= CLOSE
    assert any("too few steps" in remark for remark in early.comments)
    assert early.extras == ()
    later = engine.run(request(**{**wish, "steps": 5}))[0]
    assert most_apart(later, engine.run(request(**{**WIDE, "prompt": "a cat"}))[0]) > CLOSE
    assert later.comments == ()


@both
def test_words_that_are_not_in_the_base_prompt_are_told_and_cost_nothing(engine: Engine, calculation: str) -> None:
    wish = {**WIDE, "features": by_words(calculation=calculation)}
    one = engine.run(request(**wish, prompt=RED_CAT))[0]
    two = engine.run(request(**wish, prompt=f"{RED_CAT} BREAK blue, umbrella"))[0]
    assert most_apart(one, two) <= CLOSE
    assert [remark for remark in two.comments if '"umbrella"' in remark]


@both
def test_pictures_of_a_batch_have_regions_of_their_own(engine: Engine, calculation: str) -> None:
    wish = {**WIDE, "prompt": RED_CAT, "features": by_words(calculation=calculation, threshold="0.97")}
    together = engine.run(request(**wish, batch_size=2))
    assert most_apart(together[1], engine.run(request(**wish, seed=8))[0]) <= CLOSE
    assert [len(each.extras) for each in together] == [0, 2]


def test_both_passes_of_hires_fix_have_the_regions(engine: Engine) -> None:
    wish = {**WIDE, "enable_hr": True, "denoising_strength": 0.5, "hr_scale": 1.5, "hr_upscaler": "Latent"}
    wish |= {"features": by_words()}
    one, other = (engine.run(request(**wish, prompt=f"a cat BREAK {text}, cat"))[0] for text in ("red", "blue"))
    assert most_apart(one, other) > CLOSE
    assert len(one.extras) == 1


def test_in_tiles_no_regions_are_found(engine: Engine) -> None:
    tiles = {"Tiled Diffusion": {"tile_width": 16, "tile_height": 16, "overlap": 8}}
    wish = {**WIDE, "width": 256, "height": 128}
    plain = engine.run(request(**wish, prompt="a cat", features=tiles))[0]
    made = engine.run(request(**wish, prompt=RED_CAT, features={**by_words(), **tiles}))[0]
    assert most_apart(plain, made) <= CLOSE
    assert any("not found in tiles" in remark for remark in made.comments)


# ---------------------------------------------------------------- values


def test_thresholds_are_one_for_all_or_one_for_each() -> None:
    assert Params(threshold="0.3,0.7").thresholds(3) == (0.3, 0.7, 0.3)
    assert Params(threshold=" ").thresholds(2) == (0.4, 0.4)
    assert Params.made(mode="Matrix", threshold="any") is not None  # nothing that regions elsewhere look at
    with pytest.raises(UserError, match="threshold cannot be 'any'"):
        Params.made(mode=PROMPT, threshold="any")


def test_the_infotext_gives_the_mode_back(engine: Engine) -> None:
    def infotext(features: Any) -> str:
        made = engine.plan(request(prompt=RED_CAT, features=features))
        first = made.batches[0][0]
        return write(RED_CAT, "", labels_of(first.request, first.render, facts_of(first, made, Settings().save, "")))

    text = infotext(by_words(prompt_mode=PROMPT_EX, threshold="0.4,0.7", calculation=ATTENTION))
    assert "RP Divide mode: Prompt" in text
    assert "RP Prompt submode: Prompt-Ex" in text
    assert infotext(fields_of(read(text), Txt2Img)["features"]) == text
