"""The sizes of a hires picture are A1111's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webui.request.fields import Txt2Img

FUNCTIONS = Path(__file__).parents[1] / "golden" / "functions"
RECORDED: list[dict[str, Any]] = json.loads((FUNCTIONS / "hires_resolution.json").read_text())
OLD: list[dict[str, Any]] = json.loads((FUNCTIONS / "old_hires_dims.json").read_text())


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: str(case["in"]))
def test_as_recorded(case: dict[str, Any]) -> None:
    width, height, scale, wide, high = case["in"]
    request = Txt2Img(width=width, height=height, enable_hr=True, hr_scale=scale, hr_resize_x=wide, hr_resize_y=high)
    assert request.hires is not None
    size = request.hires.size()
    assert [size.width, size.height] == case["out"]["upscale_to"]
    assert [size.cut_x, size.cut_y] == case["out"]["truncate"]


@pytest.mark.parametrize("case", OLD, ids=lambda case: str(case["in"]))
def test_the_old_way_as_recorded(case: dict[str, Any]) -> None:
    width, height = case["in"]
    request = Txt2Img(width=width, height=height, enable_hr=True).with_old_hires_size()
    assert [request.width, request.height] == case["out"]
    assert request.hires is not None
    size = request.hires.size()
    assert (size.width - 8 * size.cut_x, size.height - 8 * size.cut_y) == pytest.approx((width, height), abs=15)
    assert request.hires.pixels == width * height


def test_the_larger_of_both_passes_counts_where_pixels_are_limited() -> None:
    smaller = Txt2Img(width=1024, height=1024, enable_hr=True, hr_resize_x=64, hr_resize_y=64)
    assert smaller.most_pixels == 1024 * 1024
    assert Txt2Img(width=512, height=512, enable_hr=True, hr_scale=1.5).most_pixels == 768 * 768
