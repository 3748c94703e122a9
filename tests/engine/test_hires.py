"""The sizes of a hires picture are A1111's."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.engine.conftest import SMALL, Engine, most_apart
from webui.request.fields import Txt2Img
from webui.request.messages import Pictured, Progress

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


def file_of(picture: Pictured) -> bytes:
    stream = io.BytesIO()
    Image.frombytes("RGB", (picture.width, picture.height), picture.rgb).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("upscaler", ["Lanczos", "Latent"])
def test_a_picture_that_is_there_takes_the_place_of_the_first_pass(engine: Engine, upscaler: str) -> None:
    """By pixels it becomes what both passes together become; by latents it comes through the VAE once more."""
    first = engine.run(Txt2Img(**SMALL))[0]  # type: ignore[arg-type]
    both = Txt2Img(**SMALL, enable_hr=True, hr_upscaler=upscaler, denoising_strength=0.4)  # type: ignore[arg-type]
    whole = engine.run(both)[0]
    engine.events.clear()
    given = {"there": file_of(first)}
    second = engine.run(both.changed(firstpass_image="there"), given)[0]
    assert {event.phase for event in engine.events if isinstance(event, Progress)} >= {"hires"}
    assert "sampling" not in {event.phase for event in engine.events if isinstance(event, Progress)}
    assert (second.width, second.height) == (128, 128)
    assert most_apart(second, whole) <= (1 if upscaler == "Lanczos" else 255)
    other = {"there": file_of(engine.run(Txt2Img(**{**SMALL, "seed": 8}))[0])}  # type: ignore[arg-type]
    assert most_apart(engine.run(both.changed(firstpass_image="there"), other)[0], second) > 10


def test_without_hires_fix_it_has_no_say() -> None:
    assert Txt2Img(firstpass_image="there").begins_with == ()
    assert Txt2Img(firstpass_image="there", enable_hr=True).begins_with == ("there",)
