"""What is painted anew within a picture leaves no box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from webui.features.detailer.seam import matched

SIDE, EDGE = 128, 32


def scene(shift: float, blur: float) -> tuple[np.ndarray, np.ndarray, Image.Image]:
    """(before, painted: other noise inside a square, and brighter by so much, the mask)"""
    stream = np.random.default_rng(1)
    ground = np.linspace(60, 160, SIDE)[None, :, None] + np.array([0, 10, 20])
    before = ground + stream.normal(0, 3, (SIDE, SIDE, 3))
    inside = np.zeros((SIDE, SIDE), np.float32)
    inside[EDGE:-EDGE, EDGE:-EDGE] = 1
    soft = cv2.GaussianBlur(inside, (0, 0), blur) if blur else inside
    other = ground + shift + stream.normal(0, 3, before.shape)
    painted = soft[..., None] * other + (1 - soft[..., None]) * before
    return before, painted, Image.fromarray((inside * 255).astype(np.uint8))


def picture(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def step(made: np.ndarray, before: np.ndarray, blur: float) -> float:
    """Levels by which the colours jump over all four sides of the seam, measured just within it."""
    apart = made.astype(float) - before
    band = np.zeros((SIDE, SIDE), bool)
    first = EDGE + round(2 * blur)
    band[first:-first, first:-first] = True
    band[first + 3 : -first - 3, first + 3 : -first - 3] = False
    return float(np.abs(apart[band].mean(0)).max())


@pytest.mark.parametrize("blur", [0, 4])
@pytest.mark.parametrize("shift", [25, -12])
def test_a_shift_of_brightness_leaves_no_box_and_the_middle_as_it_was_painted(shift: float, blur: float) -> None:
    before, painted, mask = scene(shift, blur)
    made = np.asarray(matched(picture(painted), picture(before), mask, blur)).astype(float)
    assert step(painted, before, blur) > 9
    assert step(made, before, blur) < 0.25 * abs(shift)
    middle = slice(SIDE // 2 - 4, SIDE // 2 + 4)
    assert np.abs(made[middle, middle] - painted[middle, middle]).max() <= 1
    outside = (np.asarray(picture(painted)) == np.asarray(picture(before))).all(2)
    assert outside.any()
    assert (made[outside] == np.asarray(picture(before))[outside]).all()


def test_where_a_quarter_of_the_seam_has_another_shape_nothing_of_that_is_taken_back() -> None:
    before, painted, mask = scene(0, 4)
    painted[EDGE : EDGE + 16, EDGE:-EDGE] += 80
    made = np.asarray(matched(picture(painted), picture(before), mask, 4)).astype(int)
    assert np.abs(made - np.asarray(picture(painted))).max() <= 3, "nobody sees that"


@pytest.mark.parametrize("size", [(1, 1), (5, 40)])
def test_what_is_too_small_to_be_measured_stays(size: tuple[int, int]) -> None:
    before, painted = Image.new("RGB", size, "red"), Image.new("RGB", size, "blue")
    assert matched(painted, before, Image.new("L", size, 255 if size == (1, 1) else 0), 4) is painted
