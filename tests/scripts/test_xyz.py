"""X/Y/Z plot: what its values mean, and which requests come of them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from PIL import Image

from webui import registry
from webui.base.errors import UserError
from webui.request.fields import Generation, Img2Img, Txt2Img
from webui.request.settings import Settings
from webui.scripts import legend, xyz
from webui.scripts.script import Seeds, Table


def axis(title: str, cls: type[Generation] = Txt2Img) -> int:
    return [each.title for each in xyz.axes(cls)].index(title)


def planned(request: Generation, *axes: tuple[str, str], most: int = 1000, **options: Any) -> Table:
    given = {
        f"{name}_{key}": text
        for name, line in zip("xyz", axes, strict=False)
        for key, text in zip(("type", "values"), line, strict=True)
    }
    return xyz.XyzPlot.made(**{"x_type": "Nothing", **given, **options}).expand(
        request, Seeds(99, 98, count(97, -1).__next__), most
    )


def test_axes_stand_where_a1111s_clients_look_for_them() -> None:
    assert [axis(title) for title in ("Steps", "CFG Scale", "Sampler", "Checkpoint name", "VAE")] == [4, 6, 9, 11, 29]
    assert axis("Size") == 41
    assert [axis(title, Img2Img) for title in ("Image CFG Scale", "Cond. Image Mask Weight", "VAE")] == [6, 27, 28]


@pytest.mark.parametrize(
    ("title", "text", "values"),
    [
        ("Steps", "1, 5,3", (1, 5, 3)),
        ("Steps", "1-5", (1, 2, 3, 4, 5)),
        ("Steps", "1-5 (+2), 20", (1, 3, 5, 20)),
        ("Steps", "10-0 (-3)", (10, 7, 4)),
        ("Steps", "1-10 [5]", (1, 3, 5, 7, 10)),
        ("Seed", "-1, -3", (-1, -3)),
        ("CFG Scale", "1-2 (+0.5)", (1.0, 1.5, 2.0)),
        ("CFG Scale", "0-1[3]", (0.0, 0.5, 1.0)),
        ("Prompt S/R", 'cat, "dog, big"', ("cat", "dog, big")),
        ("Prompt S/R", "cat, ,dog,", ("cat", "", "dog", "")),
        ("Steps", "1,, 3,", (1, 3)),
        ("Sampler", "Euler,", ("Euler",)),
        ("Prompt order", "a,b", (("a", "b"), ("b", "a"))),
        ("SGM noise multiplier", "true, no", (True, False)),
    ],
)
def test_values_are_written_as_in_a1111(title: str, text: str, values: tuple[Any, ...]) -> None:
    assert xyz.values_of(xyz.axes(Txt2Img)[axis(title)], text) == values


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Steps", "few"), ("Steps", ""), ("Steps", "1-9 (+0)"), ("Steps", "1-99999999"), ("CFG Scale", "nan"),
        ("CFG Scale", "1e999"), ("SGM noise multiplier", "2"), ("Size", "big"),
        ("Prompt S/R", "dog, cat"), ("Prompt order", "dog, cat"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_in_a_sentence(title: str, text: str) -> None:
    with pytest.raises(UserError, match=title):
        planned(Txt2Img(prompt="a cat"), (title, text))


@pytest.mark.parametrize("cls", [Txt2Img, Img2Img])
def test_every_axis_changes_what_it_names(cls: type[Generation]) -> None:
    texts = {"order": "red, cat", "text": "cat", "bool": "true", "int": "2", "float": "0.6", "nothing": ""}
    own = {"Size": "64x128", "RNG source": "NV", "FP8 mode": "Enable", "Face restore": "none", "Prompt S/R": "cat, dog"}
    own |= {"Upscale by": "3", "Mask mode": "1", "Hard mask edges in latent space": "false"}
    own |= {"[Kohya HRFix] Downscale method": "area", "[Kohya HRFix] Upscale method": "area"}
    own |= {"[ControlNet] Preprocessor": "canny", "[ControlNet] Control Mode": "ControlNet is more important"}
    own |= {"[ControlNet] Weight Type": "style transfer"}
    own |= {"[ADetailer] Which of them": "Confidence", "[ADetailer] Merge masks": "Merge"}
    own |= {f"[ADetailer] {side}": "64" for side in ("Width", "Height")}
    own |= {"[Regional Prompter] Regions by": "Mask", "[Regional Prompter] Main Splitting": "Rows"}
    own |= {"[Regional Prompter] Prompt mode": "Prompt-Ex", "[Regional Prompter] Generation Mode": "Latent"}
    own |= {"[Tiled Diffusion] Method": "Mixture of Diffusers"}
    own |= {f"[Tiled Diffusion] Latent tile {side}": "32" for side in ("width", "height")}
    own |= {f"[Tiled VAE] {part} Tile Size": "32" for part in ("Encoder", "Decoder")}
    own |= {"[Postprocessing] Size": "1"} | {
        f"[Postprocessing] {of}": "20000" for of in ("Area lower bound", "Area upper bound")
    }
    own |= {f"[Postprocessing] Dimension {end} bound": "128" for end in ("lower", "upper")}
    own |= {"[Postprocessing] Auto-sized crop": "false"}
    own |= {"[Postprocessing] Auto focal point crop": "false"}
    own |= {"[Postprocessing] Crop to fit": "false", "[Postprocessing] Resizing objective": "Minimize error"}
    base = cls.made(prompt="a red cat", override_settings={})
    on = {"upscaler_1": "Lanczos", "codeformer_visibility": 0.5, "focal_crop": True, "autosized_crop": True}
    processed = base.changed(features={"Postprocessing": on})  # of which no value counts while nothing is done
    for each in xyz.axes(cls)[1:]:
        begin = processed if each.title.startswith("[Postprocessing]") else base
        table = planned(begin, (each.title, own.get(each.title, texts[each.kind])))
        made = table.cells[-1].request
        assert made != begin.changed(seed=99, subseed=98), each.title
        Settings().with_options(made.override_settings, strict=True)


def test_every_parameter_is_an_axis() -> None:
    titles = {each.title for each in xyz.axes(Img2Img)}
    assert {"CFG rescale", "Perturbed attention", "Norm threshold", "Soft inpainting", "Mask blur x"} <= titles
    named_by_a1111 = {field for _, field in xyz._A1111}
    for entry in registry.carried():
        flat = entry.params.flat.values()  # these have the names that they had when they were the request's
        own = {name: param.title for name, param in entry.params.params().items() if param.axis}
        for flat_name, name in entry.params.flat.items():
            if flat_name in named_by_a1111:
                del own[name]
        assert {title if name in flat else f"[{entry.name}] {title}" for name, title in own.items()} <= titles
    assert len(xyz._BY_HAND) < 10


def test_a_parameter_of_a_feature_is_switched_on_by_its_axis_and_keeps_the_others() -> None:
    asked = Txt2Img(prompt="a", features={"FreeU": {"b2": 1.5}})
    made = [cell.request.features["FreeU"] for cell in planned(asked, ("[FreeU] b1", "1.1, 1.3")).cells]
    assert [(values["b1"], values["b2"]) for values in made] == [(1.1, 1.5), (1.3, 1.5)]


def test_a_table_is_made_in_the_order_that_costs_least_and_keeps_its_seed() -> None:
    table = planned(
        Txt2Img(prompt="a cat"), ("Checkpoint name", "a, sub/b"), ("Steps", "1,2"), ("Prompt S/R", "cat, dog")
    )
    models = [cell.request.override_settings["sd_model_checkpoint"] for cell in table.cells]
    assert models == ["a"] * 4 + ["sub/b"] * 4
    assert [cell.place for cell in table.cells][:4] == [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)]
    assert {(cell.request.seed, cell.request.subseed) for cell in table.cells} == {(99, 98)}
    assert table.cells[-1].request.prompt == "a dog"
    assert table.sheets is not None
    assert table.sheets.titles == (("a", "b"), ("Steps: 1", "Steps: 2"), ("cat", "dog"))
    assert table.sheets.labels[:3] == (
        ("Script", "X/Y/Z plot"),
        ("X Type", "Checkpoint name"),
        ("X Values", "a, sub/b"),
    )


def test_seeds_vary_or_stay_open_where_that_is_wished() -> None:
    varied = planned(Txt2Img(seed=5), ("Steps", "1,2"), ("CFG Scale", "3,4"), vary_seeds_x=True, vary_seeds_y=True)
    assert [cell.request.seed for cell in varied.cells] == [5, 6, 7, 8]
    assert [cell.request.seed for cell in planned(Txt2Img(), ("Steps", "1,2"), no_fixed_seeds=True).cells] == [97, 95]
    assert [cell.request.seed for cell in planned(Txt2Img(), ("Seed", "-1, 3")).cells] == [97, 3]


def test_words_change_places_and_the_rest_stays() -> None:
    table = planned(Txt2Img(prompt="red, a fox (old)"), ("Prompt order", "red, old"))
    assert [cell.request.prompt for cell in table.cells] == ["red, a fox (old)", "old, a fox (red)"]


def test_too_many_pictures_and_wrong_arguments_are_refused() -> None:
    with pytest.raises(UserError, match="7 words"):
        planned(Txt2Img(), ("Prompt order", "a,b,c,d,e,f,g"))
    with pytest.raises(UserError, match="6 pictures"):
        planned(Txt2Img(n_iter=2), ("Steps", "1-3"), most=5)
    with pytest.raises(UserError, match="no axis 'Step'"):
        planned(Txt2Img(), ("Step", "1"))
    with pytest.raises(UserError, match="18 values"):
        xyz.XyzPlot.of_arguments(Txt2Img, [4, "1"])
    for wrong in (777, "Steps", True, None):
        with pytest.raises(UserError, match="no axis"):
            xyz.XyzPlot.of_arguments(Txt2Img, [wrong, "1", [], *([0, "", []] * 2), *[False] * 7, 0, True])


def test_a_sheet_has_room_for_its_legend_and_leaves_missing_cells_empty() -> None:
    red = Image.new("RGB", (64, 64), "red")
    plain = legend.sheet([red, None], ["", ""], [""], margin=4)
    assert plain.size == (132, 64)
    assert plain.getpixel((0, 0)) == (255, 0, 0)
    assert plain.getpixel((100, 30)) == (255, 255, 255)
    titled = legend.sheet([red] * 4, ["Steps: 1", "Steps: 2"], ["CFG Scale: 1", "CFG Scale: 2"])
    assert titled.width == 48 + 128
    assert 128 < titled.height < 150
    assert len(titled.crop((0, 0, 48, titled.height)).getcolors() or []) > 1, "something is written there"
    struck = legend.sheet([red], [(("a cat", True), ("a hat", False))], [""])
    assert struck.height > legend.sheet([red], ["a cat"], [""]).height


def test_a_legend_is_written_in_the_ink_that_is_wanted() -> None:
    picture = Image.new("RGB", (400, 400), "#ffffff")
    plain, red = (
        legend.sheet([picture], ["title"], [""], ink=ink)
        for ink in (legend.PLAIN, legend.Ink(active="#ff0000", font="/nowhere/font.ttf"))
    )
    assert plain.size == red.size  # A font that is none is named in the log, and Roboto stands in.
    assert (255, 0, 0) in {colour for _, colour in red.getcolors(10**6) or []}
    assert (255, 0, 0) not in {colour for _, colour in plain.getcolors(10**6) or []}
