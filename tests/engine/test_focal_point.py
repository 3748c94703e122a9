"""What a picture is cropped around."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.engine.conftest import OPTIONS
from tests.packaged import have_detectors
from webui.engine.focal_point import MIDDLE, FocalWeights, crop_around, focal_point
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.jobs.extras.work import faces_by

SQUARE = (64, 64)


def test_corners_and_what_tells_most_are_found() -> None:
    picture = Image.new("RGB", (400, 100), "#808080")
    ImageDraw.Draw(picture).rectangle((330, 30, 360, 70), fill="white")
    x, y = focal_point(picture, SQUARE, FocalWeights(faces=0, entropy=0, edges=1))
    assert (x, y) == pytest.approx((345 / 400, 0.5), abs=0.03)
    noise = np.full((100, 400, 3), 128, np.uint8)
    noise[:, :100] = np.random.default_rng(0).integers(0, 256, (100, 100, 3))
    x, y = focal_point(Image.fromarray(noise), SQUARE, FocalWeights(faces=0, entropy=1, edges=0))
    assert x < 0.2 and y == pytest.approx(0.5, abs=0.01)
    for empty in ("#000000", "#ffffff"):
        assert focal_point(Image.new("RGB", (40, 90), empty), SQUARE, FocalWeights()) == pytest.approx(MIDDLE, abs=0.06)
    assert focal_point(Image.new("RGBA", (1, 1)), SQUARE, FocalWeights(0, 0, 0)) == MIDDLE


def test_the_larger_face_counts_more() -> None:
    faces = [(0.0, 0.0, 0.2, 0.2), (0.8, 0.8, 0.9, 0.9)]
    x, y = focal_point(Image.new("RGB", (50, 50)), SQUARE, FocalWeights(1, 0, 0), faces)
    assert x == y == pytest.approx(0.1 + (0.85 - 0.1) / 5)


@pytest.mark.parametrize("point", [(0.0, 0.0), (0.5, 0.5), (0.9, 0.1), (1.0, 1.0)])
@pytest.mark.parametrize("size", [(400, 100), (100, 400), (64, 64), (1, 1), (5000, 3)])
@pytest.mark.parametrize("target", [(64, 64), (512, 768)])
def test_a_crop_lies_within_the_picture_and_has_the_target_s_shape(
    size: tuple[int, int], target: tuple[int, int], point: tuple[float, float]
) -> None:
    left, top, wide, high = crop_around(size, target, point)
    assert left >= 0 and top >= 0 and left + wide <= size[0] and top + high <= size[1]
    assert wide == size[0] or high == size[1]
    assert abs(wide / high - target[0] / target[1]) <= 1 / min(wide, high)


def test_a_face_is_within_the_crop_of_a_real_photograph() -> None:
    have_detectors()
    photo = Image.open(Path(__file__).parents[1] / "pictures" / "astronaut.jpg").convert("RGB")
    wide = Image.new("RGB", (3 * photo.width, photo.height), "#404040")
    wide.paste(photo, (2 * photo.width, 0))
    (face, *_) = faces_by(Residents(profile_of(OPTIONS)), lambda remark: pytest.fail(remark))(wide)
    point = focal_point(wide, SQUARE, FocalWeights(), [face])
    left, _, across, _ = crop_around(wide.size, SQUARE, point)
    assert left <= face[0] * wide.width and face[2] * wide.width <= left + across
