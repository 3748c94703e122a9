"""Masks in pixels as A1111 has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from webui.engine import inpaint
from webui.features.colour_correction.engine import corrected, lab_of, rgb_of

GOLDEN = Path(__file__).parents[1] / "golden"
REGIONS: list[dict[str, Any]] = json.loads((GOLDEN / "functions" / "crop_regions.json").read_text())


def opened(name: str) -> Image.Image:
    with Image.open(GOLDEN / "pictures" / f"{name}.png") as picture:
        picture.load()
        return picture


def apart(one: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one.convert("RGB")).astype(int) - np.asarray(other.convert("RGB")).astype(int))


@pytest.mark.parametrize("case", REGIONS, ids=lambda case: f"{case['rect_inclusive']} in {case['size']}")
def test_the_region_around_a_mask_as_recorded(case: dict[str, Any]) -> None:
    mask = Image.new("L", tuple(case["size"]))
    if case["rect_inclusive"]:
        left, top, right, bottom = case["rect_inclusive"]
        mask.paste(255, (left, top, right + 1, bottom + 1))
    box = inpaint.crop_region(mask, case["pad"])
    assert (list(box) if box else None) == case["v2"]
    if box:
        assert list(inpaint.expanded(box, *case["processing"], *case["size"])) == case["expanded"]


@pytest.mark.parametrize("mask", ["mask_blob128", "mask_soft128"])
def test_filling_from_the_surroundings_as_recorded(mask: str) -> None:
    assert apart(inpaint.filled(opened("init128"), opened(mask)), opened(f"fill_init128_{mask}")).max() == 0


def test_colour_correction_as_recorded() -> None:
    difference = apart(corrected(opened("init128"), opened("init192x128")), opened("cc_init192x128_init128"))
    assert difference.max() <= 6
    assert difference.mean() < 0.1


def test_lab_and_back() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), axis=-1).reshape(-1, 1, 3).astype(np.uint8)
    assert np.abs(rgb_of(lab_of(colours)).astype(int) - colours).mean() < 2


def test_a_mask_is_alpha_where_there_is_some_else_brightness() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    picture.putpixel((1, 1), (0, 0, 0, 200))
    assert np.asarray(inpaint.mask_of(picture)).sum() == 255
    assert np.asarray(inpaint.mask_of(picture, rounded=False)).sum() == 200
    assert np.asarray(inpaint.mask_of(Image.new("RGBA", (4, 4), (10, 10, 10, 255)))).max() == 10


def test_blur_spreads_and_keeps_the_sum() -> None:
    mask = Image.new("L", (65, 65))
    mask.paste(255, (28, 28, 37, 37))
    blurred = np.asarray(inpaint.blurred(mask, 4, 4)).astype(float)
    assert blurred.max() < 255
    assert blurred.sum() == pytest.approx(np.asarray(mask).astype(float).sum(), rel=0.02)
    across = np.asarray(inpaint.blurred(mask, 4, 0))
    assert not across[27].any()
    assert across[30, 25] > 0
    assert np.array_equal(np.asarray(inpaint.blurred(mask, 0, 0)), np.asarray(mask))


@pytest.mark.parametrize("painted", [(120, 90, 60), (250, 10, 70), (0, 0, 0)])
def test_a_seam_is_nowhere_darker_or_brighter_than_both_sides_of_it(painted: tuple[int, int, int]) -> None:
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (20, 10, 50, 40))
    before = Image.new("RGB", mask.size, (120, 90, 60))
    overlay = inpaint.overlay_of(before, inpaint.blurred(mask, 6, 6), None)
    made = np.asarray(overlay.over(Image.new("RGB", mask.size, painted))).astype(int)
    for channel, (one, other) in enumerate(zip((120, 90, 60), painted, strict=True)):
        levels = made[..., channel]
        assert min(one, other) - 1 <= levels.min() and levels.max() <= max(one, other) + 1
        row = np.diff(levels[25, :35])
        assert (row * np.sign(other - one) >= -1).all(), "it goes from one side to the other without turning back"


def test_a_result_is_cut_out_along_its_mask() -> None:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    found = inpaint.cut_out(Image.new("RGB", (32, 32), "red"), mask)
    assert (found.mode, found.size) == ("RGBA", (32, 32))
    assert found.getpixel((4, 16)) == (255, 0, 0, 255)
    assert found.getpixel((28, 16)) == (0, 0, 0, 0)
