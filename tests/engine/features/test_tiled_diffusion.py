"""Tiled diffusion: the tiles cover the picture, their answers are averaged, and programs of A1111 ask for it as ever.

The pictures are compared with recorded ones in tests/golden/test_pictures.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from tests.engine.conftest import Engine, levels, most_apart
from tests.engine.features.test_regional_prompter import with_loras
from tests.engine.test_generate import CLOSE, GRADIENT, png, request
from tests.engine.test_memory_plan import GIB, SD15
from webui import registry
from webui.base.errors import UserError
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.catalog.settings_store import SettingsStore
from webui.engine.denoisers import Window
from webui.engine.memory_plan import Machine, plan
from webui.features.tiled_diffusion.engine import bell, feathered, shares, windows_of
from webui.features.tiled_diffusion.inversion import details
from webui.features.tiled_diffusion.parameters import METHODS, MIXTURE, MULTI, Params, batches, grid
from webui.jobs.txt2img.server import Server
from webui.request.facts import facts_of
from webui.request.fields import Img2Img, Txt2Img
from webui.request.infotext import fields_of, labels_of, quoted, read, write
from webui.request.settings import Settings
from webui.request.workload import Workload
from webui.server.api.alwayson import features_in

WIDE: dict[str, Any] = {"width": 192, "height": 128, "steps": 2, "sampler_name": "Euler"}
"""24 by 16 latents: two tiles of 16."""
SMALL_TILES: dict[str, Any] = {"tile_width": 16, "tile_height": 16, "overlap": 8}
RECORDED: list[Any] = [
    *(True, MIXTURE, False, True, 1024, 1024, 16, 16, 8, 4, "None", 2),
    *(False, 10, 1, 1, 64, False, False, False, False),
]
"""What a program sends, in the extension's order."""
REGION = [True, 0, 0, 0.5, 1, "a blue dog", "", "Background", 0.2, -1]

sides = st.integers(1, 200)
tiles = st.integers(16, 96)


def tiled(**values: Any) -> dict[str, Any]:
    return {"Tiled Diffusion": {**SMALL_TILES, **values}}


@settings(deadline=None)
@given(sides, sides, tiles, tiles, st.integers(0, 256), st.booleans())
def test_tiles_cover_the_picture_and_overlap_as_far_as_asked(
    height: int, width: int, tall: int, wide: int, overlap: int, wraps: bool
) -> None:
    found = grid((height, width), (tall, wide), overlap, wraps=wraps)
    most = max(0, min(overlap, min(found.height, found.width) - 4))
    for side, tile, begins in ((height, found.height, found.tops), (width, found.width, found.lefts)):
        ends = [begin + tile for begin in begins]
        assert begins[0] == 0
        assert wraps or ends[-1] == side
        following = [*begins[1:], *([side] if wraps and found.tiles > 1 else [])]
        assert all(end - begin >= most for end, begin in zip(ends, following, strict=False))
    seen = torch.zeros(height, width)
    for window in windows_of(found):
        seen[window.at(seen)] += 1
    assert seen.min() >= 1


def test_tiles_lie_as_the_extension_lays_them() -> None:
    assert grid((16, 24), (16, 16), 0).lefts == grid((16, 24), (16, 16), 8).lefts == (0, 8)
    assert grid((24, 32), (16, 16), 8).lefts == (0, 8, 16)
    assert grid((16, 24), (16, 16), 32).lefts == (0, 4, 8)  # no more than 12 fit
    assert grid((16, 16), (96, 96), 48).tiles == 1
    assert [len(each) for each in batches(9, 4)] == [3, 3, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tile", [(16, 16), (96, 16), (16, 96)])
@pytest.mark.parametrize("wraps", [False, True])
def test_all_tiles_together_are_the_picture(method: str, tile: tuple[int, int], wraps: bool) -> None:
    size = (100, 120)
    found = grid(size, tile, 8, wraps=wraps)
    weight = bell(found.height, found.width) if method == MIXTURE else torch.zeros(tile, dtype=torch.float64)
    x, whole = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(1)), torch.zeros(1, 4, *size)
    for window, share in zip(windows_of(found), shares(windows_of(found), size, weight), strict=True):
        whole[window.at(whole)] += window.of(x) * share
    torch.testing.assert_close(whole, x)


def test_a_seam_fades() -> None:
    """Mixture of Diffusers: a tile has the less to say the nearer its edge is, and the next one the more."""
    found = grid((16, 24), (16, 16), 8)
    left, right = (each[8, :] for each in shares(windows_of(found), (16, 24), bell(16, 16)))
    overlap_left, overlap_right = left[8:], right[:8]
    assert all(overlap_left[1:] < overlap_left[:-1]) and all(overlap_right[1:] > overlap_right[:-1])
    assert overlap_left[-1] < 0.01 < 0.99 < overlap_left[0]
    torch.testing.assert_close(overlap_left + overlap_right, torch.ones_like(overlap_left))


def test_a_window_goes_on_at_the_other_side() -> None:
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    window = Window(3, 4, 2, 4)
    assert torch.equal(window.of(x), x[..., [3, 0], :][..., [4, 5, 0, 1]])
    assert torch.equal(window.of(x), x[window.at(x)])
    pixels = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(window.of(x), window.of(pixels, 2)[..., ::2, ::2])


@pytest.mark.parametrize("method", METHODS)
def test_how_many_tiles_are_seen_at_once_changes_nothing(engine: Engine, method: str) -> None:
    wish = {**WIDE, "width": 256, "batch_size": 2, "prompt": "a cat AND a dog"}
    one = engine.run(request(**wish, features=tiled(method=method, batch_size=1)))
    four = engine.run(request(**wish, features=tiled(method=method, batch_size=4)))
    assert max(most_apart(a, b) for a, b in zip(one, four, strict=True)) <= CLOSE
    assert most_apart(one[0], engine.run(request(**wish))[0]) > CLOSE


def test_the_methods_differ_and_one_tile_is_no_tile(engine: Engine) -> None:
    multi, mixture = (engine.run(request(**WIDE, features=tiled(method=method)))[0] for method in METHODS)
    assert most_apart(multi, mixture) > CLOSE
    plain = engine.run(request(**WIDE))[0]
    whole = request(**WIDE, features=tiled(tile_width=24))
    assert engine.run(whole)[0].rgb == plain.rgb
    assert "Tiled Diffusion" not in infotext_of(engine, whole)


def test_the_second_pass_of_hires_fix_is_whole(engine: Engine) -> None:
    wish = {"enable_hr": True, "hr_scale": 3, "denoising_strength": 0.5, "steps": 2, "width": 64, "height": 64}
    assert engine.run(request(**wish, features=tiled()))[0].rgb == engine.run(request(**wish))[0].rgb


def test_edges_meet_where_tiling_is_on_and_the_network_is_left_as_it_was(engine: Engine) -> None:
    wish = {**WIDE, "override_settings": {"tiling": True}}
    before = _paddings(engine)
    made = engine.run(request(**wish, features=tiled(method=MIXTURE)))[0]
    assert _paddings(engine) == before
    assert most_apart(made, engine.run(request(**wish))[0]) > CLOSE
    assert grid((16, 24), (16, 16), 8, wraps=True).lefts == (0, 8, 16)  # the last one goes on at the left


def _paddings(engine: Engine) -> list[str]:
    with engine.models.lend(engine.ref, None) as lent:
        layers = [each for part in lent.model.parts.values() for each in part.modules()]
    return [layer.padding_mode for layer in layers if isinstance(layer, nn.Conv2d)]


def test_a_guidance_that_looks_at_the_whole_says_that_it_cannot(engine: Engine) -> None:
    guided = {"Self-attention guidance": {"scale": 3.0}}
    made = engine.run(request(**WIDE, features={**tiled(), **guided}))[0]
    assert made.rgb == engine.run(request(**WIDE, features=tiled()))[0].rgb
    assert any("Self-attention guidance did nothing" in remark for remark in made.comments)


# ---------------------------------------------------------------- img2img


def test_the_given_picture_is_enlarged_first(engine: Engine) -> None:
    given = {"given": png(GRADIENT)}
    base = {**WIDE, "init_images": ("given",), "denoising_strength": 0.5, "prompt": "a cat"}
    for keeps, size in ((True, (96, 96)), (False, (288, 192))):
        wish = tiled(upscaler="Nearest", scale_factor=1.5, keep_input_size=keeps)
        asked = Img2Img.model_validate({**base, "features": wish})
        made = engine.run(asked, given)[0]
        assert (made.width, made.height) == size
    masked = {**base, "mask": "mask", "inpaint_full_res": True, "features": tiled(keep_input_size=True)}
    mask = Image.new("L", (64, 64))
    mask.paste(255, (10, 10, 30, 30))
    alone = engine.run(Img2Img.model_validate(masked), {**given, "mask": png(mask)})[0]
    assert (alone.width, alone.height) == (64, 64)  # the part that is made anew has the request's size


def test_the_limits_hold_for_the_size_that_comes_of_it(catalog: Catalog) -> None:
    settings = Settings().with_options({"most_megapixels": 1.0})
    name = catalog.uploads.put(png(GRADIENT))
    server = Server(catalog, SettingsStore(catalog.paths), "")
    for factor, keeps in ((8, False), (2, True)):
        wish = tiled(upscaler="Lanczos", scale_factor=factor, keep_input_size=keeps)
        asked = Img2Img.model_validate({**WIDE, "init_images": (name,), "features": wish})
        if keeps:
            assert server.plan(asked, settings).batches[0][0].request.width == 128
        else:
            with pytest.raises(UserError, match="megapixels"):
                server.plan(asked, settings)


@pytest.fixture
def catalog(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Catalog]:
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / tiny_checkpoint.name).symlink_to(tiny_checkpoint)
    made = Catalog(Paths(tmp_path))
    yield made
    made.close()


# ---------------------------------------------------------------- programs and infotexts


def test_a_program_of_the_extension_is_understood() -> None:
    (values,) = features_in({"tiled diffusion": {"args": RECORDED}}).values()
    made = Params.made(**values)
    assert (made.method, made.tile_width, made.overlap, made.upscaler) == (MIXTURE, 16, 8, "None")
    assert features_in({"Tiled Diffusion": {"args": [False, *RECORDED[1:]]}}) == {}
    asked = Txt2Img.made(**WIDE, features={"Tiled Diffusion": {**tiled()["Tiled Diffusion"], "overwrite_size": True}})
    assert asked.features["Tiled Diffusion"]["image_width"] == 1024


def test_the_size_of_the_request_may_be_overwritten(engine: Engine) -> None:
    wish = tiled(overwrite_size=True, image_width=200, image_height=136)
    picture = engine.plan(request(**WIDE, features=wish)).batches[0][0]
    assert (picture.request.width, picture.request.height) == (200, 136)


# ---------------------------------------------------------------- noise inversion


def inverting(**values: Any) -> dict[str, Any]:
    return {
        "init_images": ("given",),
        "width": 64,
        "height": 64,
        "prompt": "a cat",
        "steps": 20,
        "denoising_strength": 1,
        "cfg_scale": 1,
        "sampler_name": "Euler",
        "features": {"Tiled Diffusion": {"inversion": True, "inversion_steps": 20, "renoise_strength": 0, **values}},
    }


def again(engine: Engine, given: Image.Image, **values: Any) -> Any:
    return engine.run(Img2Img(**{"seed": 7, **values}), {"given": png(given)})[0]


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "DDIM"])
def test_the_noise_that_is_found_gives_the_picture_back(engine: Engine, sampler: str) -> None:
    """As it comes out of the VAE; whatever would be drawn."""
    seen = again(engine, GRADIENT, **{**inverting(), "denoising_strength": 0, "features": {}})
    wish = {**inverting(), "sampler_name": sampler}
    found = [again(engine, GRADIENT, **wish, seed=seed) for seed in (7, 8)]
    drawn = again(engine, GRADIENT, **{**wish, "features": {}})
    apart = [np.abs(levels(each) - levels(seen)).mean() for each in (*found, drawn)]
    assert apart[0] < apart[2] / 2
    assert most_apart(*found) <= CLOSE


@pytest.mark.long
def test_the_noise_is_looked_for_with_every_sampler(engine: Engine) -> None:
    """Each that the form offers, in tiles: a picture, or a sentence."""
    refused = []
    for entry in registry.samplers():
        wish = inverting(**SMALL_TILES, inversion_steps=1)
        wish |= {"sampler_name": entry.name, "steps": 2, "width": 192, "height": 64, "denoising_strength": 0.6}
        try:
            found = again(engine, GRADIENT.resize((192, 64)), **wish)
        except UserError as error:
            refused.append(f"{entry.name}: {error.message}")
            continue
        assert levels(found).std() > 1, entry.name
    assert refused == ["UniPC: MultiDiffusion cannot be used with the sampler UniPC."]


def test_where_there_are_no_details_noise_is_drawn_as_ever(engine: Engine) -> None:
    plain = Image.new("RGB", (64, 64), "#808080")
    wish = {**inverting(renoise_strength=1), "steps": 4}
    drawn = again(engine, plain, **{**wish, "features": {}})
    assert most_apart(again(engine, plain, **wish), drawn) <= CLOSE
    assert most_apart(again(engine, plain, **{**wish, **inverting()}), drawn) > CLOSE


def test_details_are_what_a_filter_takes_away() -> None:
    lines = np.zeros((32, 32), np.uint8)
    lines[16] = 60
    found = details(Image.fromarray(lines), 8)
    assert found.shape == (32, 32) and found[0].max() == 0
    assert found[15:18].max() > 0.5


def test_the_noise_is_looked_for_in_tiles_and_with_regions(engine: Engine) -> None:
    wish = {**inverting(**SMALL_TILES, inversion_steps=2, retouch=1.5), "width": 192, "height": 128, "steps": 2}
    one = again(engine, GRADIENT, **wish)
    values = {**wish["features"]["Tiled Diffusion"], "keep_input_size": False}
    two = again(engine, GRADIENT, **{**wish, "features": {"Tiled Diffusion": values}})
    assert (two.width, two.height) == (192, 128) != (one.width, one.height)
    control = region_control(LEFT, RIGHT)["Tiled Diffusion"]
    three = again(engine, GRADIENT, **{**wish, "features": {"Tiled Diffusion": {**values, **control}}})
    assert most_apart(two, three) > CLOSE


def test_a_program_asks_for_it_as_it_asks_the_extension_and_the_infotext_gives_it_back(engine: Engine) -> None:
    args = [*RECORDED[:12], True, 12, 1.5, 0.5, 32, *RECORDED[17:]]
    (found,) = features_in({"Tiled Diffusion": {"args": args}}).values()
    made = Params.made(**found)  # type: ignore[arg-type]
    assert (made.inversion, made.inversion_steps, made.retouch) == (True, 12, 1.5)
    assert (made.renoise_strength, made.renoise_kernel) == (0.5, 32)
    wish = Img2Img(**{**inverting(), "features": {"Tiled Diffusion": found}})
    text = infotext_of(engine, wish)
    told = '"NoiseInv": true, "NoiseInv Steps": 12, "NoiseInv Retouch": 1.5, "NoiseInv Renoise strength": 0.5, '
    assert told + '"NoiseInv Kernel size": 32' in text
    back: Any = fields_of(read(text), Img2Img)["features"]
    assert infotext_of(engine, wish.changed(features=back)) == text


# ---------------------------------------------------------------- regions

LEFT = {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a blue dog"}
RIGHT = {"x": 0.5, "y": 0, "w": 0.5, "h": 1, "prompt": "a green bird", "neg_prompt": "snow"}


def region_control(*regions: dict[str, Any], **values: Any) -> dict[str, Any]:
    numbered = {f"Region {number}": each for number, each in enumerate(regions, 1)}
    return tiled(regions=json.dumps(numbered), **values)


def test_a_program_s_regions_are_those_that_are_on() -> None:
    off = [False, *REGION[1:]]
    (found,) = features_in({"Tiled Diffusion": {"args": [*RECORDED[:18], True, True, False, *off, *REGION]}}).values()
    made = Params.made(**found)  # type: ignore[arg-type]
    assert json.loads(made.regions).keys() == {"Region 2"} and made.draw_background
    assert made.control[0].prompt == "a blue dog"
    for control in (False, True):
        args = [*RECORDED[:18], control, True, False, *(REGION if not control else off)]
        (found,) = features_in({"Tiled Diffusion": {"args": args}}).values()
        assert Params.made(**found).control == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "no object of regions"),
        ('{"a": 1}', "no object of regions"),
        ('{"Region 1": {"x": 2}}', "Region 1 of Tiled Diffusion: x cannot be 2"),
        ('{"Region 1": {"z": 2}}', "no parameter named 'z'"),
        (json.dumps({str(number): {} for number in range(40)}), "has 40 regions"),
    ],
)
def test_regions_that_make_no_sense_are_refused_in_words(regions: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Params.made(regions=regions)


def test_the_edge_of_a_region_is_soft() -> None:
    found = feathered(8, 12, 0.5)
    assert found[0].tolist() == [0] * 12
    assert found[4].tolist() == [0, 0.25, *[1] * 8, 0.25, 0]
    assert torch.equal(feathered(8, 12, 0), torch.ones(8, 12))


@pytest.mark.parametrize("method", METHODS)
def test_a_region_has_its_own_text_and_lies_where_it_is_said(engine: Engine, method: str) -> None:
    wish = {**WIDE, "steps": 1, "prompt": "a cat", "negative_prompt": "blurry"}
    one = engine.run(request(**wish, features=region_control(LEFT, RIGHT, method=method)))[0]
    other = {**RIGHT, "prompt": "a green tree"}
    two = engine.run(request(**wish, features=region_control(LEFT, other, method=method)))[0]
    apart = np.abs(levels(one) - levels(two)).mean(axis=(0, 2))
    assert apart[len(apart) // 2 :].mean() > 2 * apart[: len(apart) // 2].mean()


@pytest.mark.parametrize("method", METHODS)
def test_a_lora_of_a_region_acts_in_its_call(
    engine: Engine, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_loras(engine, tmp_path, monkeypatch)
    wish = {**WIDE, "steps": 1, "prompt": "a cat"}

    def made(left: str, right: str) -> Any:
        regions = ({**LEFT, "prompt": f"a dog {left}"}, {**RIGHT, "prompt": f"a bird {right}"})
        return engine.run(request(**wish, features=region_control(*regions, method=method, draw_background=True)))[0]

    def halves(one: Any, other: Any) -> tuple[float, float]:
        apart = np.abs(levels(one) - levels(other)).mean(axis=(0, 2))
        middle = len(apart) // 2
        return float(apart[:middle].mean()), float(apart[middle:].mean())

    plain, left, two = made("", ""), made("<lora:a:1>", ""), made("<lora:a:1>", "<lora:b:1>")
    in_left, in_right = halves(plain, left)
    assert in_left > 2 * in_right
    in_left, in_right = halves(left, two)
    assert in_right > 2 * in_left
    assert dict(two.facts)["Lora hashes"] == "a: aaaaaaaaaaaa, b: bbbbbbbbbbbb"
    assert made("", "").rgb == plain.rgb  # nothing stays behind
    assert any("Lora not found: nobody" in remark for remark in made("<lora:nobody:1>", "").comments)


def test_a_lora_of_a_region_that_is_all_of_the_picture_is_that_lora(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the network and in the text encoder alike."""
    engine = with_loras(engine, tmp_path, monkeypatch)
    whole = {"x": 0, "y": 0, "w": 1, "h": 1, "prompt": "a dog <lora:a:1>"}
    made = engine.run(request(**WIDE, prompt="a cat", cfg_scale=1, features=region_control(whole, method=MULTI)))[0]
    merged = engine.run(request(**WIDE, prompt="a cat, a dog <lora:a:1>", cfg_scale=1))[0]
    assert most_apart(made, merged) <= CLOSE
    assert most_apart(made, engine.run(request(**WIDE, prompt="a cat, a dog", cfg_scale=1))[0]) > 20


@pytest.mark.parametrize("mode", ["Background", "Foreground"])
def test_a_region_that_is_all_of_the_picture_is_the_picture(engine: Engine, mode: str) -> None:
    """Whatever lies below it; with its text behind a comma."""
    whole = {"x": 0, "y": 0, "w": 1, "h": 1, "prompt": "a dog", "feather_ratio": 0, "blend_mode": mode}
    wish = region_control(whole, method=MULTI, draw_background=mode == "Foreground")
    made = engine.run(request(**WIDE, prompt="a cat AND a bird", features=wish))[0]
    assert most_apart(made, engine.run(request(**WIDE, prompt="a cat AND a bird, a dog"))[0]) <= CLOSE


def test_regions_with_long_texts_and_without_a_place(engine: Engine) -> None:
    long = {**LEFT, "prompt": "word " * 90, "neg_prompt": "x"}
    nowhere = {**RIGHT, "x": 1.0}
    one = engine.run(request(**WIDE, features=region_control(long, nowhere, draw_background=True)))[0]
    assert one.rgb == engine.run(request(**WIDE, features=region_control(long, draw_background=True)))[0].rgb


def test_multidiffusion_with_regions_refuses_samplers_of_timesteps(engine: Engine) -> None:
    wish = {**WIDE, "sampler_name": "DDIM"}
    with pytest.raises(UserError, match="DDIM"):
        engine.plan(request(**wish, features=region_control(LEFT, method=MULTI)))
    engine.plan(request(**wish, features=region_control(LEFT, method=MIXTURE)))


def test_regions_are_in_the_infotext_and_come_back(engine: Engine) -> None:
    wish = region_control(LEFT, RIGHT, method=MIXTURE)
    text = infotext_of(engine, request(**{**WIDE, "width": 128}, features=wish))
    assert '"Region control": {"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a blue dog"}' in text
    again: Any = fields_of(read(text), Txt2Img)["features"]
    assert infotext_of(engine, request(**{**WIDE, "width": 128}, features=again)) == text


def test_multidiffusion_refuses_unipc_where_there_are_tiles(engine: Engine) -> None:
    wish = {**WIDE, "sampler_name": "UniPC"}
    with pytest.raises(UserError, match="UniPC"):
        engine.plan(request(**wish, features=tiled(method=MULTI)))
    engine.plan(request(**wish, features=tiled(method=MIXTURE)))
    engine.plan(request(**wish, features=tiled(method=MULTI, tile_width=24)))


def infotext_of(engine: Engine, asked: Txt2Img | Img2Img) -> str:
    made = engine.plan(asked, {"given": png(GRADIENT)})
    picture = made.batches[0][0]
    facts = facts_of(picture, made, Settings().save, "")
    return write(picture.request.prompt, "", labels_of(picture.request, picture.render, facts))


def test_the_infotext_is_the_extension_s_and_gives_all_back(engine: Engine) -> None:
    wish = tiled(method=MIXTURE, batch_size=2)
    text = infotext_of(engine, request(**WIDE, features=wish))
    told = (
        'Tiled Diffusion: {"Method": "Mixture of Diffusers", "Tile tile width": 16, "Tile tile height": 16, '
        '"Tile Overlap": 8, "Tile batch size": 2}'
    )
    assert told in text
    (values,) = fields_of(read(text), Txt2Img)["features"].values()  # type: ignore[attr-defined]
    assert values == {
        **wish["Tiled Diffusion"],
        "upscaler": "None",
        "scale_factor": 2.0,
        "keep_input_size": False,
        "inversion": False,
        "inversion_steps": 10,
        "retouch": 1.0,
        "renoise_strength": 1.0,
        "renoise_kernel": 64,
        "regions": "",
    }
    enlarged = tiled(upscaler="Lanczos", scale_factor=3.5)
    base = {**WIDE, "init_images": ("given",), "features": enlarged}
    text = infotext_of(engine, Img2Img.model_validate(base))
    assert "Tiled Diffusion upscaler: Lanczos, Tiled Diffusion scale factor: 3.5" in text
    assert '"Upscaler": "Lanczos", "Upscale factor": 3.5, "Keep input size": true}' in text
    again = fields_of(read(text), Img2Img)["features"]
    assert infotext_of(engine, Img2Img.model_validate({**base, "features": again})) == text


def test_an_object_in_an_infotext_is_one_value() -> None:
    regions = {"Region 1": {"prompt": 'a "blue" dog, Steps: 3, {x}: {', "seed": -1}}
    told = json.dumps({"Method": MULTI, "Region control": regions})
    text = write("a", "", [("Steps", "8"), ("Tiled Diffusion", told), ("Seed", "5"), ("Version", "1")])
    assert told in text
    labels = read(text).labels
    assert (labels["Tiled Diffusion"], labels["Steps"], labels["Seed"]) == (told, "8", "5")
    assert labels.keys().isdisjoint({"prompt", "seed", "Region control"})
    for no_object in ('{"a": 1', "{a, b}", '{"a": 1} b, c'):
        assert read(write("a", "", [("Steps", "8"), ("Odd", no_object), ("Seed", "5")])).labels["Odd"] == no_object
    assert quoted('{"a",\n}') != '{"a",\n}'
    for damaged in ("[1]", "{", '{"Method": {"Method": 3}}', "[" * 100_000):
        assert Params.labels_in({"Tiled Diffusion": damaged}) == {}


def test_a_picture_of_4096_pixels_is_made_with_6_gigabytes() -> None:
    work = Workload(4096, 4096)
    machine = Machine("cuda", 6 * GIB)
    assert plan(machine, SD15, Params().cost(work)).offload == "none"
    assert plan(machine, SD15, work).offload == "leaf"
