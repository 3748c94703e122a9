"""Regional Prompter's mode Drawn: regions that carry their own prompts, as the page's editor writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.conftest import Engine, levels, most_apart
from tests.engine.features.test_regional_prompter import with_loras
from tests.engine.test_generate import CLOSE, png, request
from webui.base.errors import UserError
from webui.features.drawn_regions import WHITE, DrawnRegion, drawn
from webui.features.regional_prompter.parameters import CALCULATIONS, DRAWN, LATENT, MASK, Params
from webui.prompt.regions import colours
from webui.request.facts import facts_of
from webui.request.fields import Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.settings import Settings

WIDE: dict[str, Any] = {"width": 128, "height": 64, "steps": 2, "sampler_name": "Euler", "negative_prompt": "blurry"}
LEFT = {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a red cat"}
RIGHT = {"x": 0.5, "y": 0, "w": 0.5, "h": 1, "prompt": "a blue dog"}
both = pytest.mark.parametrize("calculation", CALCULATIONS)
shares = st.floats(0, 1).map(lambda each: round(each, 3))


def text_of(*regions: dict[str, Any]) -> str:
    return json.dumps({f"Region {number}": each for number, each in enumerate(regions, 1)})


def by_hand(*regions: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"Regional Prompter": {"mode": DRAWN, "regions": text_of(*regions), **values}}


def halves(one: Any, other: Any) -> tuple[float, float]:
    """How far two pictures are apart, on average, in their left half and in their right half."""
    apart = np.abs(levels(one) - levels(other)).mean(axis=(0, 2))
    middle = len(apart) // 2
    return float(apart[:middle].mean()), float(apart[middle:].mean())


# ---------------------------------------------------------------- shapes


@settings(deadline=None, max_examples=50)
@given(shares, shares, shares, shares, st.integers(64, 2048), st.integers(64, 2048))
def test_a_rectangle_is_where_it_was_drawn(x: float, y: float, w: float, h: float, width: int, height: int) -> None:
    region = DrawnRegion(x=x, y=y, w=w or 0.1, h=h or 0.1)
    found = np.asarray(drawn([region], (width, height)))
    assert max(found.shape[:2]) == 512
    is_own = (found == colours(1)[0]).all(axis=-1)
    rows, columns = np.indices(is_own.shape)
    inner = (columns + 1 > is_own.shape[1] * x + 1) & (columns < is_own.shape[1] * min(x + region.w, 1) - 1)
    inner &= (rows + 1 > is_own.shape[0] * y + 1) & (rows < is_own.shape[0] * min(y + region.h, 1) - 1)
    assert is_own[inner].all()
    assert abs(int(is_own.sum()) - is_own.size * min(region.w, 1 - x) * min(region.h, 1 - y)) <= sum(is_own.shape)


def test_a_brush_paints_and_erases_and_a_later_region_lies_over_those_before() -> None:
    below = DrawnRegion(x=0, y=0, w=1, h=1)
    painted = DrawnRegion(strokes=((0.1, 0.2, 0.5, 0.8, 0.5), (-0.05, 0.5, 0.5)))
    found = np.asarray(drawn([below, painted], (512, 512)))
    first, second = (np.array(colour) for colour in colours(2))
    assert (found[256, 100] == second).all()
    assert (found[256, 256] == first).all()  # erased: what lies below is seen
    assert (found[290, 256] == second).all()
    assert (found[50, 256] == first).all()
    assert (np.asarray(drawn([painted], (512, 512)))[0, 0] == WHITE).all()


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ("[]", "no object of regions"),
        (text_of({"x": 2}), "Region 1 of Regional Prompter: x cannot be 2"),
        (text_of(LEFT, {"w": 0}), "Region 2 of Regional Prompter: It has no width or no height"),
        (text_of({"strokes": [[0.1, 0.2]]}), "One of its strokes is none"),
        (text_of({"strokes": [[0.1, 0.2, 99]]}), "One of its strokes is none"),
        (text_of({"strokes": [[0.1, *[0.5] * 4000]]}), "More than 4000 numbers"),
        (text_of({"weight": 3}), "Weight cannot be 3"),
        (text_of(*[LEFT] * 33), "has 33 regions"),
        (" " * 50_001, "50000"),
    ],
)
def test_regions_that_make_no_sense_are_refused_in_words(regions: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Params.made(mode=DRAWN, regions=regions)


def test_no_region_at_all_is_refused_in_words_and_other_modes_do_not_look(engine: Engine) -> None:
    with pytest.raises(UserError, match="no region is drawn"):
        engine.plan(request(features=by_hand({**LEFT, "enable": False})))
    Params.made(mode="Matrix", regions="{")


# ---------------------------------------------------------------- pictures


@both
def test_drawn_regions_are_a_mask_and_a_base_prompt(engine: Engine, calculation: str) -> None:
    """The same regions, as the mode Mask has them."""
    regions = ({**LEFT, "weight": 0.75}, {**RIGHT, "weight": 0.5, "neg_prompt": "red"})
    made = engine.run(request(**WIDE, prompt="a park", features=by_hand(*regions, calculation=calculation)))[0]
    mask = png(drawn([DrawnRegion(**each) for each in regions], (128, 64)))
    values = {"mode": MASK, "mask": "mask", "use_base": True, "base_ratios": "0.25,0.5", "calculation": calculation}
    prompt = "a park BREAK a red cat BREAK a blue dog"
    wish = {**WIDE, "prompt": prompt, "negative_prompt": "blurry BREAK blurry, red"}
    masked = engine.run(request(**wish, features={"Regional Prompter": values}), {"mask": mask})[0]
    assert most_apart(made, masked) <= CLOSE


@both
def test_each_region_has_its_own_loras(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 1.5 if calculation == LATENT else 1.2  # self-attention tells one region of the other
    engine = with_loras(engine, tmp_path, monkeypatch)

    def made(left: str, right: str) -> Any:
        regions = ({**LEFT, "prompt": f"a red cat {left}"}, {**RIGHT, "prompt": f"a blue dog {right}"})
        wish = {**WIDE, "width": 256, "steps": 1, "prompt": "a park"}
        return engine.run(request(**wish, features=by_hand(*regions, calculation=calculation)))[0]

    plain, one, two = made("", ""), made("<lora:a:1>", ""), made("<lora:a:1>", "<lora:b:1>")
    left, right = halves(plain, one)
    assert left > times * right
    left, right = halves(one, two)
    assert right > times * left
    assert dict(two.facts)["Lora hashes"] == "a: aaaaaaaaaaaa, b: bbbbbbbbbbbb"
    assert made("", "").rgb == plain.rgb  # nothing stays behind


def test_a_region_without_weight_has_no_effect(engine: Engine) -> None:
    plain = engine.run(request(**WIDE, prompt="a park"))[0]
    made = engine.run(request(**WIDE, prompt="a park", features=by_hand({**LEFT, "weight": 0})))[0]
    assert most_apart(plain, made) <= CLOSE


def test_regions_are_in_the_infotext_and_come_back(engine: Engine) -> None:
    painted = {"prompt": 'a cat, "quoted": (so:1.2)\nand on <lora:x:1>', "strokes": [[0.1, 0.2, 0.3]], "weight": 1.0}

    def infotext(features: Any) -> str:
        made = engine.plan(request(prompt="a park", features=features))
        first = made.batches[0][0]
        return write("a park", "", labels_of(first.request, first.render, facts_of(first, made, Settings().save, "")))

    wish = by_hand(LEFT, painted)
    text = infotext(wish)
    assert "RP Divide mode: Drawn" in text
    assert 'RP Regions: {"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a red cat"}' in text
    again: Any = fields_of(read(text), Txt2Img)["features"]
    assert json.loads(again["Regional Prompter"]["regions"]) == json.loads(wish["Regional Prompter"]["regions"])
    assert infotext(again) == text
    assert "RP Regions" not in infotext({"Regional Prompter": {"regions": text_of(LEFT)}})
