"""What the scripts do that cut, fill and join pictures: laws, without a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from, tuples
from PIL import Image, ImageChops

from webui import registry
from webui.base.errors import UserError
from webui.jobs.compose.request import Compose
from webui.jobs.extras.request import Extras
from webui.request.fields import Img2Img
from webui.request.jobs import JobRequest
from webui.scripts.directions import SIDES, Margins
from webui.scripts.flow import Course, Made, PictureFlow
from webui.scripts.matched_noise import matched_noise, with_histogram
from webui.scripts.outpainting_mk2 import Expansion
from webui.scripts.tiles import TileGrid
from webui.scripts.ultimate_sd_upscale import TILES, TiledCanvas, factors

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "functions" / "split_grid.json").read_text())


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


# ---------------------------------------------------------------- tiles


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['src']}-{case['tile']}-{case['overlap']}")
def test_tiles_lie_where_those_of_a1111_lie(case: dict[str, Any]) -> None:
    width, height = case["size"]
    grid = TileGrid.over((width, height), tuple(case["tile"]), case["overlap"], field="overlap")
    assert [list(box[:2]) for box in grid.boxes] == [[x, y] for y, _, row in case["rows"] for x, _ in row]


@settings(max_examples=40, deadline=None)
@given(tuples(integers(8, 60), integers(8, 60)), tuples(integers(8, 40), integers(8, 40)), integers(0, 39))
def test_tiles_cover_the_picture_and_give_it_back(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> None:
    picture, overlap = noise(*size), overlap % min(tile)
    grid = TileGrid.over(size, tile, overlap, field="overlap")
    covered = np.zeros((size[1], size[0]), bool)
    for left, top, right, bottom in grid.boxes:
        covered[max(top, 0) : bottom, max(left, 0) : right] = True
    assert covered.all() and grid.count == len(grid.boxes)
    if size[0] >= tile[0] and size[1] >= tile[1]:
        assert same(grid.joined(list(grid.cut(picture))), picture)


def test_tiles_that_are_all_overlap_are_refused_at_the_field() -> None:
    with pytest.raises(UserError, match="cannot overlap") as caught:
        TileGrid.over((64, 64), (32, 32), 32, field="overlap")
    assert caught.value.field == "overlap"


# ---------------------------------------------------------------- outpainting


@given(tuples(integers(1, 900), integers(1, 900)), integers(1, 300), lists(sampled_from(SIDES), min_size=1))
def test_a_canvas_grows_on_the_chosen_sides_alone(size: tuple[int, int], pixels: int, sides: list[str]) -> None:
    margins = Margins.around(size, pixels, tuple(sides))
    for side, more in zip(SIDES, (margins.left, margins.right, margins.up, margins.down), strict=True):
        assert (more >= pixels) if side in sides else more == 0
    for before, after, own in zip(size, margins.of(size), (SIDES[:2], SIDES[2:]), strict=True):
        assert after % 64 == 0 if set(own) & set(sides) else after == before


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [(128, 128), (100, 76)])
def test_what_is_known_stays_and_its_mask_is_black_but_for_the_edge(side: str, size: tuple[int, int]) -> None:
    margins = Margins.around(size, 40, (side,))
    pixels = max(margins.left, margins.right, margins.up, margins.down)
    expansion = Expansion(side, pixels, size, (128, 128), blur=4)
    picture, ground = noise(*size), expansion.ground(noise(*size))
    at = (margins.left, margins.up)
    assert same(ground.crop((*at, at[0] + size[0], at[1] + size[1])), picture)
    region = expansion.region
    assert all(0 <= low < high <= most for low, high, most in zip(region[:2], region[2:], ground.size, strict=True))
    assert all((high - low) % 8 == 0 for low, high in zip(region[:2], region[2:], strict=True))
    inner = np.asarray(expansion.mask().crop((*at, at[0] + size[0], at[1] + size[1])))
    assert inner.mean() < 255 / 2 and inner.max() == 255
    assert expansion.latent_mask().size == expansion.region_size
    made = Image.new("RGB", expansion.region_size, "red")
    placed = expansion.placed(ground, made)
    assert placed.size == expansion.whole
    assert same(expansion.placed(ground, ground.crop(region)), ground.crop((0, 0, *expansion.whole)))


def test_matched_noise_keeps_what_is_known_and_takes_its_levels() -> None:
    picture = np.zeros((64, 64, 3))
    picture[:, :32] = np.linspace(0.2, 0.6, 32)[None, :, None]
    mask = np.zeros((64, 64))
    mask[:, 32:] = 1
    made = matched_noise(picture, mask, falloff=1.0, colour_variation=0.05)
    assert np.array_equal(made[:, :32], picture[:, :32])
    filled, known = made[:, 32:], picture[:, :32]
    assert filled.min() >= 0.2 - 1e-9 and filled.max() <= 0.6 + 1e-9
    assert abs(filled.mean() - known.mean()) < 0.02 and filled.std() > 0.05
    assert np.array_equal(made, matched_noise(picture, mask, falloff=1.0, colour_variation=0.05))


@given(lists(integers(0, 255), min_size=2, max_size=40, unique=True))
def test_values_that_take_their_own_histogram_stay(values: list[int]) -> None:
    given = np.array(values, float)
    assert np.allclose(with_histogram(given, given), given)


# ---------------------------------------------------------------- Ultimate SD upscale


@pytest.mark.parametrize(
    ("scale", "steps"), [(0, ()), (1, ()), (2, (2,)), (3, (3,)), (4, (4,)), (6, (3, 2)), (8, (4, 2))]
)
def test_a_picture_is_enlarged_by_four_three_or_two_at_a_time(scale: int, steps: tuple[int, ...]) -> None:
    assert factors(scale) == steps


@given(integers(1, 64))
def test_in_the_end_it_is_large_enough(scale: int) -> None:
    assert int(np.prod(factors(scale))) >= scale


@pytest.mark.parametrize("is_chess", [False, True])
def test_tile_masks_cover_the_picture_once_in_either_order(is_chess: bool) -> None:
    canvas = TiledCanvas((96, 70), (32, 32), 16)
    masks = [np.asarray(mask) for mask in canvas.masks(TILES, is_chess=is_chess)]
    assert len(masks) == canvas.rows * canvas.columns == 9
    assert (np.maximum.reduce(masks) == 255).all()
    assert np.sum([mask[:32, :32] > 0 for mask in masks]) == 32 * 32  # the first tile reaches into the next ones
    if is_chess:
        assert masks[1][0, 95] == 255 and masks[1][0, 40] == 0  # every second one first


def test_masks_of_seams_are_brightest_on_the_seam() -> None:
    canvas = TiledCanvas((64, 64), (32, 32), 16)
    for name, count, peak in (("rows", 2, (32, 16)), ("columns", 2, (16, 32)), ("corners", 1, (32, 32))):
        masks = [np.asarray(mask, int) for mask in canvas.masks(name, is_chess=False)]
        assert len(masks) == count
        assert masks[0][peak] > 230 and masks[0][0, 0] == 0
    (band,) = canvas.masks("upright bands", is_chess=False)
    assert np.asarray(band)[5].argmax() in range(30, 34) and np.asarray(band)[5, 20] == 0


# ---------------------------------------------------------------- from end to end


@dataclass
class Desk:
    """Carries out what a course asks for: tiles of strength 0 come back as they are."""

    pictures: dict[str, Image.Image]

    def picture_size(self, name: str) -> tuple[int, int]:
        return self.pictures[name].size

    def choices(self, _source: str) -> list[str]:
        return ["None", "Lanczos", "Nearest"]

    def keep(self, picture: Image.Image) -> str:
        name = f"kept {len(self.pictures)}"
        self.pictures[name] = picture.convert("RGB")
        return name

    def made(self, asked: JobRequest) -> list[Image.Image]:
        if isinstance(asked, Extras):
            (picture,) = (self.pictures[name] for name in asked.images)
            size = tuple(int(side * asked.upscaling_resize) // 8 * 8 for side in picture.size)
            return [picture.resize(size, Image.Resampling.LANCZOS)]
        if isinstance(asked, Compose):
            flow = registry.script(asked.asked.script).made(**asked.asked.script_values)
            assert isinstance(flow, PictureFlow)
            given = [self.pictures[name] for name in asked.pictures]
            made = list(flow.composed(asked.step, asked.numbers, given, asked.asked))
            assert len(made) == asked.count
            return made
        assert isinstance(asked, Img2Img) and not asked.script
        given = [self.pictures[name] for name in asked.init_images]
        assert len(given) == asked.batch_size
        if not asked.inpaint_full_res:
            assert {picture.size for picture in given} == {(asked.width, asked.height)}
        if asked.mask:
            assert self.pictures[asked.mask].size == given[0].size
        return given

    def carried_out(self, request: Img2Img) -> tuple[list[Image.Image], list[JobRequest]]:
        flow = registry.script(request.script).made(**request.script_values)
        assert isinstance(flow, PictureFlow)
        course: Course = flow.course(request, self, is_fixed=True)
        made: list[Made] = []
        results, asked = [], []
        while (following := course.follow(request, made)) is not None:
            assert following == course.follow(request, made), "the same follows whenever that is asked"
            pictures = self.made(following.request)
            made.append(Made(tuple(map(self.keep, pictures))))
            results += pictures if following.is_result else []
            asked.append(following.request)
        assert len(asked) == course.steps(request)
        assert len(results) == course.picture_count(request)
        return results, asked


def request(script: str, size: tuple[int, int] = (64, 64), **values: Any) -> Img2Img:
    plain = {"seed": 7, "width": 64, "height": 64, "init_images": ("given",), "denoising_strength": 0.0}
    own = {name: values.pop(name) for name in registry.script(script).params() if name in values}
    return Img2Img.made(**{**plain, "script": script, "script_values": own, **values})


def test_tiles_that_do_not_change_give_the_upscaled_picture() -> None:
    desk = Desk({"given": noise(80, 56)})
    wanted = request("SD upscale", overlap=16, scale_factor=2.0, upscaler="lanczos", n_iter=2, batch_size=3)
    results, asked = desk.carried_out(wanted)
    enlarged = desk.pictures["given"].resize((160, 112), Image.Resampling.LANCZOS)
    assert [same(result, enlarged) for result in results] == [True, True]
    seeds = [each.seed for each in asked if isinstance(each, Img2Img)]
    assert seeds == [7, 8, 8, 9]


def test_tiles_that_do_not_change_give_the_ultimately_upscaled_picture() -> None:
    desk = Desk({"given": noise(48, 30)})
    sizes = {"target_size_type": "scale from image size", "custom_scale": 4, "tile_width": 64, "upscaler": "1"}
    for seams in range(4):
        results, asked = desk.carried_out(request("Ultimate SD upscale", seams_fix_type=seams, redraw_mode=1, **sizes))
        once = desk.pictures["given"].resize((192, 120), Image.Resampling.LANCZOS)
        enlarged = once.resize((192, 128), Image.Resampling.LANCZOS)
        assert results and all(same(result, enlarged) for result in results)
        tiles = [each for each in asked if isinstance(each, Img2Img) and each.inpaint_full_res_padding == 32]
        assert [(each.width, each.height, each.seed) for each in tiles] == [(128, 128, 7)] * 6


@pytest.mark.parametrize("script", ["Outpainting mk2", "Poor man's outpainting"])
@pytest.mark.parametrize("sides", [("left",), ("right", "down"), SIDES])
def test_an_outpainted_picture_is_in_the_middle_of_what_came_of_it(script: str, sides: tuple[str, ...]) -> None:
    desk = Desk({"given": noise(96, 80)})
    results, _ = desk.carried_out(request(script, pixels=16, mask_blur=0, direction=list(sides), n_iter=1))
    margins = Margins.around((96, 80), 16, sides)
    assert results[0].size == margins.of((96, 80))
    inner = results[0].crop((margins.left, margins.up, margins.left + 96, margins.up + 80))
    apart = np.abs(np.asarray(inner, int) - np.asarray(desk.pictures["given"], int))
    assert np.percentile(apart[2:-2, 2:-2], 90) == 0  # the mask's last row and column reach into it


@pytest.mark.parametrize(
    ("script", "values", "field"),
    [
        ("SD upscale", {"upscaler": "Lanczoz"}, "upscaler"),
        ("SD upscale", {"overlap": 64}, "overlap"),
        ("SD upscale", {"scale_factor": "x"}, "scale_factor"),
        ("SD upscale", {"init_images": ()}, "init_images"),
        ("Outpainting mk2", {"direction": []}, "direction"),
        ("Outpainting mk2", {"direction": ["sideways"]}, "direction"),
        ("Poor man's outpainting", {"pixels": 64}, "pixels"),
        ("Poor man's outpainting", {"inpainting_fill": "mud"}, "inpainting_fill"),
        ("Ultimate SD upscale", {"tile_width": 0}, "tile_width"),
        ("Ultimate SD upscale", {"seams_fix_type": 4}, "seams_fix_type"),
    ],
)
def test_what_cannot_be_is_named_at_its_field(script: str, values: dict[str, Any], field: str) -> None:
    wanted = request(script, **values)
    with pytest.raises(UserError) as caught:
        flow = registry.script(script).made(**wanted.script_values)
        course = flow.course(wanted, Desk({"given": noise(64, 64)}), is_fixed=True)
        course.steps(wanted)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("script", "arguments", "values"),
    [
        ("SD upscale", ["", 8, "Lanczos", 2.0], {"overlap": 8, "upscaler": "Lanczos", "scale_factor": 2.0}),
        ("SD upscale", [{"overlap": 8}], {"overlap": 8}),
        ("Outpainting mk2", [None, 64, 8, ["left"], 1.0, 0.05], {"pixels": 64, "direction": ["left"], "noise_q": 1.0}),
        ("Poor man's outpainting", [32, 4, "original", ["up"]], {"pixels": 32, "inpainting_fill": "original"}),
        ("Ultimate SD upscale", [None, 512, 0, 8], {"tile_width": 512, "tile_height": 0, "mask_blur": 8}),
        ("Ultimate SD upscale", [{"target_size_type": "From img2img2 settings"}], {}),
        ("img2img alternative test", [None, True, False, "a"], {"override_prompt": False, "original_prompt": "a"}),
    ],
)
def test_values_come_by_position_or_by_name(script: str, arguments: list[object], values: dict[str, object]) -> None:
    found = registry.script(script).of_arguments(Img2Img, arguments)
    assert {name: found[name] for name in values} == values and "" not in found
    registry.script(script).made(**found)
    with pytest.raises(UserError, match="nonsense"):
        registry.script(script).of_arguments(Img2Img, [{"nonsense": 1}])
