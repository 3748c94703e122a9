"""Regional Prompter: ratios, words and masks say which text holds where.

The pictures are compared with recorded ones in tests/golden/test_pictures.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.engine.conftest import Engine, levels, most_apart
from tests.engine.test_generate import CLOSE, png, request
from webui.base.errors import UserError
from webui.features.regional_prompter.areas import areas_of, of_cells, of_mask
from webui.features.regional_prompter.parameters import (
    ATTENTION,
    CALCULATIONS,
    COMMENT,
    DRAWN,
    FLIP_PROMPTS,
    KEEP_AND,
    LATENT,
    MASK,
    NOT_HIRES,
    ONLY_HIRES,
    OPTIONS,
    Params,
)
from webui.prompt.regions import (
    Keys,
    Rectangle,
    colours,
    layout,
    negative_parts,
    ratios_of,
    shares_of,
)
from webui.request.facts import facts_of
from webui.request.fields import Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.plan import NetworkRef
from webui.request.settings import Settings
from webui.server.api.alwayson import features_in

WIDE: dict[str, Any] = {"width": 128, "height": 64, "steps": 2, "sampler_name": "Euler", "negative_prompt": "blurry"}
TWO = "a red cat BREAK a blue dog"
PROGRAM: list[Any] = [
    *(True, False, "Matrix", "Columns", "Mask", "Prompt", "1,1", "0.2", False, False, False, "Attention", False),
    *("0", "0", "0.4", "", "0", "0", False),
]
"""What a program sends, in the extension's order."""
both = pytest.mark.parametrize("calculation", CALCULATIONS)
sizes = st.integers(1, 9)
ratios = st.lists(st.lists(sizes, min_size=1, max_size=4), min_size=1, max_size=4)


def regional(**values: Any) -> dict[str, Any]:
    return {"Regional Prompter": values}


def spelt(groups: list[list[int]]) -> str:
    return ";".join(",".join(map(str, group)) for group in groups)


# ---------------------------------------------------------------- ratios and words


@settings(deadline=None)
@given(ratios, st.integers(1, 6), st.booleans(), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_all_parts_together_have_the_whole_say_everywhere(
    groups: list[list[int]], count: int, by_rows: bool, height: int, width: int, has_base: bool
) -> None:
    prompt = " BREAK ".join(["x"] * (count + has_base))
    found = layout(prompt, Keys(has_base=has_base), ratios_of(spelt(groups)), by_rows=by_rows)
    assert len(found.cells) == len(found.regions) <= count
    shares = shares_of("0.2,0.6", len(found.regions))
    parts = areas_of(found, shares, None)((height, width))
    assert parts.shape == (len(found.texts), height, width)
    torch.testing.assert_close(parts.sum(dim=0), torch.ones(height, width))
    _, rest = of_cells(found.cells, (height, width))
    assert rest.sum() == 0


def test_ratios_mean_columns_rows_and_rows_of_columns() -> None:
    def cells(prompt: str, said: str, **more: bool) -> tuple[Rectangle, ...]:
        return layout(prompt, Keys(), ratios_of(said, flip=more.pop("flip", False)), **more).cells

    columns = (Rectangle(0, 1, 0, 0.25), Rectangle(0, 1, 0.25, 1))
    rows = (Rectangle(0, 0.25, 0, 1), Rectangle(0.25, 1, 0, 1))
    assert cells("a BREAK b", "1,3") == columns
    assert cells("a BREAK b", "1;3") == cells("a BREAK b", "1,3", by_rows=True) == rows
    assert cells("a BREAK b", "1,3", flip=True) == rows
    two_rows = cells("a ADDCOL b ADDROW c", "1,1,1;3,1")
    assert two_rows == (Rectangle(0, 0.25, 0, 0.5), Rectangle(0, 0.25, 0.5, 1), Rectangle(0.25, 1, 0, 1))
    assert cells("a BREAK b BREAK c", "1,1,1;3,1") == two_rows
    assert cells("a ADDCOL b", "1") == (Rectangle(0, 1, 0, 0.5), Rectangle(0, 1, 0.5, 1))  # what is not said is 1
    assert cells("a BREAK b", "1,1,1") == cells("a BREAK b BREAK c", "1,1")  # what is too much does not count


def test_words_part_the_prompt() -> None:
    plain, two = Keys(), ratios_of("1,1")
    assert layout("a BREAK b", plain, two).texts == ("a ", " b")
    assert layout("a AND b", plain, two).texts == ("a ", " b")
    assert layout("a AND b", Keys(keeps_and=True), two).texts == ("a AND b",)
    assert layout("a BREAK b", Keys(keeps_break=True), two).texts == ("a BREAK b",)
    assert layout("a BREAK b BREAK c", plain, two).texts == ("a ", " b ")
    assert layout("a BREAK ", plain, two).texts == ("a ", "_")
    assert layout("a BREAK b", Keys(is_reversed=True), two).regions == (" b", "a ")
    whole = ("q , p ", ("q , a ", "q , b"))
    for keys, prompt in (
        (plain, "q ADDCOMM p ADDBASEa ADDCOL b"),
        (Keys(has_common=True, has_base=True), "q BREAK p BREAKa BREAK b"),
    ):
        found = layout(prompt.replace("ADDBASEa", "ADDBASE a").replace("BREAKa", "BREAK a"), keys, two)
        assert (found.base, tuple(each.replace("  ", " ") for each in found.regions)) == (
            "q ,  p ",
            tuple(each.replace(", ", ", ") for each in whole[1]),
        )
    assert negative_parts("x", has_common=False) == ("x",)
    assert negative_parts("x BREAK y BREAK z", has_common=True) == ("x ,  y ", "x ,  z")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ratios": ""}, "Divide Ratio cannot be ''"),
        ({"ratios": "1,,1"}, "an empty place is no number"),
        ({"ratios": "1,0"}, "'0' is no number from 0.001 to 1000"),
        ({"ratios": "1,-2"}, "'-2' is no number"),
        ({"ratios": "a;b"}, "'a' is no number"),
        ({"ratios": "nan"}, "'nan' is no number"),
        ({"ratios": ",".join("1" * 200)}, "more than 64 regions"),
        ({"base_ratios": "2"}, "Base Ratio cannot be '2'"),
        ({"splitting": "Random"}, "the choices are"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(values: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Params.made(**values)


@pytest.mark.parametrize(
    ("prompt", "values", "said"),
    [
        (TWO, {}, []),
        (f"{TWO} BREAK a bird", {}, ["the prompt has 3 regions, but Divide Ratio has 2: what stands behind"]),
        (TWO, {"ratios": "1,1,1"}, ["the prompt has 2 regions, but Divide Ratio has 3: the others were ignored."]),
        (f"a park BREAK {TWO}", {"use_base": True}, []),
        (f"{TWO} BREAK a bird", {"ratios": "1,1,1;1"}, []),
        ("a red cat BREAK ", {}, ["region 2 has no text."]),
        ("a red cat ADDCOL a blue dog", {"ratios": "1"}, []),
        ("a red cat", {}, []),
    ],
)
def test_ratios_that_do_not_add_up_and_regions_without_a_text_are_told(
    prompt: str, values: dict[str, Any], said: list[str]
) -> None:
    found = Params.made(**values).oddities(prompt)
    assert len(found) == len(said) and all(sentence in one for sentence, one in zip(said, found, strict=True)), found


def test_a_mask_that_is_missing_and_too_many_regions_are_refused_in_words(engine: Engine) -> None:
    with pytest.raises(UserError, match="mask of the regions is missing"):
        engine.plan(request(prompt=TWO, features=regional(mode=MASK)))
    with pytest.raises(UserError, match="70 regions"):
        engine.plan(request(prompt=" ADDCOL ".join("a" * 70), features=regional()))


# ---------------------------------------------------------------- masks


def test_a_mask_says_by_colours_where_regions_are() -> None:
    assert colours(4) == ((128, 64, 64), (64, 128, 128), (96, 128, 64), (96, 64, 128))
    assert len(set(colours(64))) == 64
    drawn = np.full((8, 8, 3), 255, np.uint8)
    drawn[:, :2], drawn[:, 2:4] = colours(2)
    regions, rest = of_mask(Image.fromarray(drawn), 2, (4, 4))
    assert regions[:, 0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert rest[0].tolist() == [0, 0, 1, 1]
    found = areas_of(layout("a BREAK b", Keys(), None), (0.2, 0.2), Image.fromarray(drawn))((4, 4))
    assert found[:, 0].tolist() == [[1, 0, 1, 1], [0, 1, 0, 0]]  # what nobody has is the first region's


@both
def test_columns_may_be_painted(engine: Engine, calculation: str) -> None:
    drawn = np.zeros((16, 32, 3), np.uint8)
    drawn[:, :16], drawn[:, 16:] = colours(2)
    asked = {**WIDE, "prompt": TWO}
    painted = regional(mode=MASK, mask="mask", calculation=calculation)
    by_mask = engine.run(request(**asked, features=painted), {"mask": png(Image.fromarray(drawn))})[0]
    assert by_mask.rgb == engine.run(request(**asked, features=regional(calculation=calculation)))[0].rgb


# ---------------------------------------------------------------- pictures


def halves(one: Any, other: Any) -> tuple[float, float]:
    """How far two pictures are apart, on average, in their left half and in their right half."""
    apart = np.abs(levels(one) - levels(other)).mean(axis=(0, 2))
    middle = len(apart) // 2
    return float(apart[:middle].mean()), float(apart[middle:].mean())


@both
def test_a_text_acts_in_its_region(engine: Engine, calculation: str) -> None:
    times = 2 if calculation == LATENT else 1.2  # self-attention tells one region of the other
    wish = {**WIDE, "steps": 1, "features": regional(calculation=calculation)}
    one = engine.run(request(**wish, prompt=TWO))[0]
    left, right = halves(one, engine.run(request(**wish, prompt="a green tree BREAK a blue dog"))[0])
    assert left > times * right
    left, right = halves(one, engine.run(request(**wish, prompt="a red cat BREAK a green tree"))[0])
    assert right > times * left


@both
def test_one_text_for_all_regions_is_that_text(engine: Engine, calculation: str) -> None:
    """The tokens of both regions are the same, so that it does not matter where they are looked at."""
    plain = engine.run(request(**WIDE, prompt="a cat"))[0]
    wish = regional(calculation=calculation, use_base=True, base_ratios="0.3,0.8", ratios="1,2;1,1")
    made = engine.run(request(**WIDE, prompt="a cat BREAK a cat BREAK a cat", features=wish))[0]
    assert most_apart(plain, made) <= CLOSE


@both
def test_pictures_of_a_batch_have_regions_of_their_own(engine: Engine, calculation: str) -> None:
    wish = {**WIDE, "prompt": TWO, "features": regional(calculation=calculation)}
    together = engine.run(request(**wish, batch_size=2))
    assert most_apart(together[1], engine.run(request(**wish, seed=8))[0]) <= CLOSE


@both
def test_a_prompt_without_such_words_is_what_it_was(engine: Engine, calculation: str) -> None:
    plain = engine.run(request(**WIDE))[0]
    assert engine.run(request(**WIDE, features=regional(calculation=calculation)))[0].rgb == plain.rgb


def test_a_negative_prompt_may_have_regions_too(engine: Engine) -> None:
    wish = {**WIDE, "steps": 1, "prompt": f"{TWO} BREAK a bird", "features": regional(ratios="2,1,1")}
    whole = engine.run(request(**{**wish, "negative_prompt": "red"}))[0]
    same = engine.run(request(**{**wish, "negative_prompt": "red BREAK red"}))[0]
    assert most_apart(whole, same) <= CLOSE
    left, right = halves(whole, engine.run(request(**{**wish, "negative_prompt": "red BREAK blurry"}))[0])
    assert right > 1.1 * left


def test_a_negative_prompt_as_long_as_the_prompt_is_seen_with_it_as_in_the_extension(engine: Engine) -> None:
    """Every two heads of the attention look as one then, in the modes that the extension has."""
    drawn = {"mode": DRAWN, "regions": '{"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a red cat"}}'}
    for values, prompt, is_seen in (({}, TWO, True), (drawn, "a blue dog", False)):
        wish = {**WIDE, "steps": 1, "prompt": prompt, "features": regional(**values)}
        whole = engine.run(request(**{**wish, "negative_prompt": "red"}))[0]
        same = engine.run(request(**{**wish, "negative_prompt": "red BREAK red"}))[0]
        assert (most_apart(whole, same) > CLOSE) == is_seen, values


def test_how_many_texts_come_in_one_call_says_whether_they_are_seen_together(engine: Engine) -> None:
    """A1111: both in one call where they are equally long, by themselves or by padding, unless calls are kept apart;
    three texts in one call are no pair; without guidance both are asked for all the same."""
    wish = {**WIDE, "steps": 1, "features": regional()}
    equal, apart = {"negative_prompt": "red BREAK red"}, {"negative_prompt": "red"}
    padded, single = {"pad_cond_uncond": True}, {"batch_cond_uncond": False}

    def made(prompt: str = TWO, settings: dict[str, Any] | None = None, **values: Any) -> Any:
        return engine.run(request(**{**wish, **values, "prompt": prompt, "override_settings": settings or {}}))[0]

    whole, merged = made(**apart), made(**equal)
    assert most_apart(whole, merged) > CLOSE
    assert most_apart(made(settings=single, **equal), whole) <= CLOSE
    assert most_apart(made(settings=padded, **apart), merged) <= CLOSE
    assert most_apart(made(cfg_scale=1, **equal), made(cfg_scale=1, **apart)) > CLOSE
    wish["features"] = regional(options=(KEEP_AND,))
    two = "a red cat BREAK a park AND a blue dog BREAK a park"
    pair, alone = made(two, **apart), made(two, settings=single, **apart)
    assert most_apart(pair, alone) > CLOSE, "the two parts are a pair"
    assert most_apart(made(two, **equal), alone) <= CLOSE, "with the negative prompt they are three"


def test_regions_hold_within_tiles(engine: Engine) -> None:
    tiles = {"Tiled Diffusion": {"tile_width": 16, "tile_height": 16, "overlap": 8}}
    wish = {**WIDE, "width": 256, "height": 128, "steps": 1}
    one = engine.run(request(**wish, prompt=TWO, features={**regional(), **tiles}))[0]
    changed = engine.run(request(**wish, prompt="a red cat BREAK a green tree", features={**regional(), **tiles}))[0]
    left, right = halves(one, changed)
    assert right > 2 * left


def test_an_option_keeps_the_regions_for_one_of_two_passes(engine: Engine) -> None:
    hires = {**WIDE, "prompt": TWO, "enable_hr": True, "denoising_strength": 0.5, "hr_scale": 1.5}
    features = [{}, regional(), regional(options=[ONLY_HIRES]), regional(options=[NOT_HIRES])]
    made = [engine.run(request(**hires, hr_upscaler="Latent", features=each))[0].rgb for each in features]
    assert len({*made}) == len(made), "in neither, in both, in the second, in the first"


# ---------------------------------------------------------------- LoRAs


def with_loras(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine with the LoRAs a and b, which change attention, convolutions and what a ResNet knows of the time."""
    with engine.models.lend(engine.ref, None) as loaded:
        unet = loaded.model.parts["unet"]
        layers = {
            name: module.weight.shape
            for name, module in unet.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and name.startswith("up_blocks")
        }
    refs = {}
    for seed, name in enumerate("ab"):
        draw = torch.Generator().manual_seed(seed)
        tensors = {}
        for layer, (outputs, inputs, *kernel) in layers.items():
            key = f"lora_unet_{layer.replace('.', '_')}"
            tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, 2, *[1] * len(kernel), generator=draw) * 0.1
            tensors[f"{key}.lora_down.weight"] = torch.randn(2, inputs, *kernel, generator=draw) / (inputs * 3) ** 0.5
        save_file(tensors, folder / f"{name}.safetensors")
        refs[name] = NetworkRef(str(folder / f"{name}.safetensors"), name, f"{name}" * 12)
    monkeypatch.setattr(engine, "networks", refs)
    return engine


@both
def test_two_loras_stay_in_their_two_regions(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 1.5 if calculation == LATENT else 1.2  # self-attention tells one region of the other
    engine = with_loras(engine, tmp_path, monkeypatch)
    wish = {**WIDE, "width": 256, "steps": 1, "features": regional(calculation=calculation)}
    plain = engine.run(request(**wish, prompt=TWO))[0]
    left, right = halves(plain, engine.run(request(**wish, prompt="a red cat <lora:a:1> BREAK a blue dog"))[0])
    assert left > times * right
    left, right = halves(plain, engine.run(request(**wish, prompt="a red cat BREAK a blue dog <lora:b:1>"))[0])
    assert right > times * left
    two = engine.run(request(**wish, prompt="a red cat <lora:a:1> BREAK a blue dog <lora:b:1>"))[0]
    left, right = halves(two, engine.run(request(**wish, prompt="a red cat <lora:a:1> BREAK a blue dog"))[0])
    assert right > times * left
    assert dict(two.facts)["Lora hashes"] == "a: aaaaaaaaaaaa, b: bbbbbbbbbbbb"
    assert engine.run(request(**wish, prompt=TWO))[0].rgb == plain.rgb  # nothing stays behind


@both
def test_a_lora_of_all_regions_is_that_lora(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it adds at each place is what it adds as a whole, in the same and in other words."""
    engine = with_loras(engine, tmp_path, monkeypatch)
    wish = {**WIDE, "features": regional(calculation=calculation, negative_unet="1")}
    # with Attention, a tag that all parts have acts everywhere as it is
    other = "1" if calculation == LATENT else "1.0"
    each = engine.run(request(**wish, prompt=f"a cat <lora:a:1> BREAK a cat <lora:a:{other}>"))[0]
    assert most_apart(each, engine.run(request(**WIDE, prompt="a cat <lora:a:1>"))[0]) <= CLOSE
    assert most_apart(each, engine.run(request(**WIDE, prompt="a cat"))[0]) > 20


@both
def test_a_lora_of_the_common_prompt_acts_in_all_regions_and_the_regions_own_stay(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_loras(engine, tmp_path, monkeypatch)
    wish = {**WIDE, "width": 256, "steps": 1, "features": regional(calculation=calculation, use_common=True)}

    def made(common: str = "", left: str = "", right: str = "") -> Any:
        return engine.run(request(**wish, prompt=f"best{common} BREAK a red cat{left} BREAK a blue dog{right}"))[0]

    plain, common = made(), made(" <lora:a:1>")
    assert common.rgb == made(left=" <lora:a:1>", right=" <lora:a:1>").rgb, "as if each region had it"
    left, right = halves(plain, common)
    assert min(left, right) > 3 and max(left, right) < 3 * min(left, right)
    dressed = made(" <lora:a:1>", right=" <lora:b:1>")
    left, right = halves(common, dressed)
    assert right > 1.2 * left
    assert dict(dressed.facts)["Lora hashes"] == "a: aaaaaaaaaaaa, b: bbbbbbbbbbbb"
    assert made().rgb == plain.rgb


@both
def test_a_lora_of_the_base_prompt_acts_as_far_as_the_base_does(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention: in the whole picture, as in the extension; Latent: where the base has its share, here on the left."""
    engine = with_loras(engine, tmp_path, monkeypatch)
    values = regional(calculation=calculation, use_base=True, base_ratios="0.8,0")
    wish = {**WIDE, "width": 256, "steps": 1, "features": values}

    def made(base: str = "", left: str = "", right: str = "") -> Any:
        return engine.run(request(**wish, prompt=f"a park{base} BREAK a red cat{left} BREAK a blue dog{right}"))[0]

    plain, dressed = made(), made(" <lora:a:1>")
    left, right = halves(plain, dressed)
    if calculation == LATENT:
        assert left > 1.5 * right
    else:
        assert min(left, right) > 3 and max(left, right) < 3 * min(left, right)
        assert dressed.rgb == made(*[" <lora:a:1>"] * 3).rgb, "as if each part had it"
    left, right = halves(dressed, made(" <lora:a:1>", right=" <lora:b:1>"))
    assert right > 1.2 * left, "a region's own stays in it"
    assert made().rgb == plain.rgb


def of_kind(kind: str, layer: str, shape: tuple[int, ...], draw: torch.Generator) -> dict[str, torch.Tensor]:
    """A change of a layer in the form of this kind of file; shape: of the layer's weight."""
    key, (outputs, inputs) = f"lora_unet_{layer.replace('.', '_')}", shape

    def drawn(*sides: int) -> torch.Tensor:
        return torch.randn(*sides, generator=draw) * 0.2

    if kind == "LoHa":
        return {
            f"{key}.hada_w{n}_{side}": drawn(*sides)
            for n in (1, 2)
            for side, sides in (("a", (outputs, 2)), ("b", (2, inputs)))
        }
    if kind == "LoKr":
        return {f"{key}.lokr_w1": drawn(4, 4), f"{key}.lokr_w2": drawn(outputs // 4, inputs // 4)}
    found = {f"{key}.lora_up.weight": drawn(outputs, 2), f"{key}.lora_down.weight": drawn(2, inputs)}
    return found | ({f"{key}.dora_scale": drawn(outputs, 1).abs() + 1} if kind == "DoRA" else {})


@pytest.mark.parametrize("kind", ["LoHa", "LoKr", "DoRA"])
def test_a_lora_of_every_kind_acts_in_its_region_at_its_weight(
    engine: Engine, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the text; twice in two regions, with two weights; and nothing of it is left when it is gone."""
    draw = torch.Generator().manual_seed(5)
    with engine.models.lend(engine.ref, None) as loaded:
        layers = {
            name: tuple(module.weight.shape)
            for name, module in loaded.model.parts["unet"].named_modules()
            if name.startswith("up_blocks") and name.endswith(("to_out.0", "net.2")) and isinstance(module, nn.Linear)
        }
    tensors = {k: v for name, shape in layers.items() for k, v in of_kind(kind, name, shape, draw).items()}
    save_file(tensors, tmp_path / "a.safetensors")
    monkeypatch.setattr(engine, "networks", {"a": NetworkRef(str(tmp_path / "a.safetensors"), "a", "a" * 12)})
    wish = {**WIDE, "width": 256, "steps": 1, "features": regional(calculation=LATENT, negative_unet="0")}

    def made(left: str, right: str) -> Any:
        return engine.run(request(**wish, prompt=f"a red {left} cat BREAK a blue {right} dog"))[0]

    plain = made("", "")
    more, less = (halves(plain, made(f"<lora:a:{a}>", f"<lora:a:{b}>")) for a, b in ((1, 0.1), (0.1, 1)))
    assert more[0] > 1.5 * less[0] and less[1] > 1.5 * more[1], (more, less)
    assert made("", "").rgb == plain.rgb


def test_nothing_of_one_mode_is_left_in_the_other(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_loras(engine, tmp_path, monkeypatch)

    def made(calculation: str) -> bytes:
        features = regional(calculation=calculation)
        return engine.run(request(**WIDE, prompt="a cat <lora:a:1> BREAK a dog", features=features))[0].rgb

    first = [made(ATTENTION), made(LATENT)]
    assert [made(ATTENTION), made(LATENT)] == first


@both
def test_two_loras_stay_in_their_two_regions_in_both_passes_of_hires_fix(
    engine: Engine, calculation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 1.5 if calculation == LATENT else 1.1  # self-attention tells one region of the other, and twice
    engine = with_loras(engine, tmp_path, monkeypatch)
    hires = {"enable_hr": True, "denoising_strength": 0.9, "hr_scale": 1.5, "hr_second_pass_steps": 1}
    wish = {**WIDE, "width": 256, "steps": 1, **hires, "hr_upscaler": "Latent"}

    def made(prompt: str, *options: str) -> Any:
        return engine.run(request(**wish, prompt=prompt, features=regional(calculation=calculation, options=options)))[
            0
        ]

    for options in ((), (ONLY_HIRES,)):
        plain = made(TWO, *options)
        left, right = halves(plain, made("a red cat <lora:a:1> BREAK a blue dog", *options))
        assert left > times * right
        left, right = halves(plain, made("a red cat BREAK a blue dog <lora:b:1>", *options))
        assert right > times * left


def test_the_loras_of_regions_stop(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = with_loras(engine, tmp_path, monkeypatch)
    pictures = [
        engine.run(request(**WIDE, prompt=f"a cat BREAK a dog <lora:a:{weight}>", features=regional(stop_step=stop)))[0]
        for weight, stop in ((1, "0"), (1, "1"), (0, "0"))
    ]
    assert len({each.rgb for each in pictures}) == 3


# ---------------------------------------------------------------- programs and infotexts


def test_a_program_asks_as_it_asks_the_extension() -> None:
    (found,) = features_in({"Regional Prompter": {"args": PROGRAM}}).values()
    assert Params.made(**found) == Params()  # type: ignore[arg-type]
    options = [*PROGRAM[:12], [FLIP_PROMPTS, "debug"], *PROGRAM[13:]]
    (found,) = features_in({"regional prompter": {"args": options}}).values()
    assert Params.made(**found).options == (FLIP_PROMPTS,)  # type: ignore[arg-type]
    options[12] = KEEP_AND
    (found,) = features_in({"Regional Prompter": {"args": options}}).values()
    assert Params.made(**found).keys.keeps_and  # type: ignore[arg-type]
    assert features_in({"Regional Prompter": {"args": [False, *PROGRAM[1:]]}}) == {}
    assert features_in({"Regional Prompter": {"args": [{"enabled": True, "ratios": "2,1"}]}}) == {
        "Regional Prompter": {"ratios": "2,1"}
    }


def test_the_infotext_is_the_extension_s_and_gives_all_back(engine: Engine) -> None:
    wish = regional(ratios="1,2,1;2,1", calculation=LATENT, options=list(OPTIONS[3:5]), use_base=True, flip=True)

    def infotext(prompt: str, features: Any) -> str:
        asked = request(prompt=prompt, features=features)
        made = engine.plan(asked)
        facts = facts_of(made.batches[0][0], made, Settings().save, "")
        return write(prompt, "", labels_of(made.batches[0][0].request, made.batches[0][0].render, facts))

    text = infotext(TWO, wish)
    assert "RP Active: True, RP Divide mode: Matrix, RP Matrix submode: Columns" in text
    assert 'RP Ratios: "1,2,1;2,1", RP Base Ratios: 0.2, RP Use Base: True' in text
    assert 'RP Options: "Flip prompts, Comment Out `#`"' in text
    again = fields_of(read(text), Txt2Img)["features"]
    assert infotext(TWO, again) == text
    assert "RP" not in infotext("a cat", wish)


def test_what_stands_behind_a_number_sign_may_be_left_out() -> None:
    assert Params(options=(COMMENT,)).layout("a # BREAK\nBREAK b") == Params().layout("a \nBREAK b")
    assert Params(options=(COMMENT,)).layout("a # BREAK b") is None
