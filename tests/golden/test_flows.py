"""The scripts of img2img as A1111 v1.10.1 answered them, asked of the real server."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import RunningServer
from tests.golden.test_pictures import BY_ENCODER, FOLDER, _base64, _read

HERE = FOLDER / "cases" / "flows"
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_same_pictures_and_infotext(server: RunningServer, case: dict[str, Any]) -> None:
    chosen = {**case["request"]["override_settings"], "sd_model_checkpoint": "tiny-sd1"}
    given = {"init_images": [_base64("init128.png")], "override_settings": chosen, "save_images": False}
    with server.client() as client:
        answer = client.post("sdapi/v1/img2img", json={**case["request"], **given}).json()
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in answer["images"]]
    assert len(pictures) == len(case["images"])
    for made, file in zip(pictures, case["images"], strict=True):
        with Image.open(Path(HERE, file)) as image:
            theirs = np.asarray(image.convert("RGB"), np.int16)
        apart = np.abs(np.asarray(made.convert("RGB"), np.int16) - theirs)
        assert np.percentile(apart, 99.9) <= BY_ENCODER[0]
        assert apart.mean() <= BY_ENCODER[1]
    head, pairs = _read(case["infotext"])
    ours_head, ours = _read(pictures[0].info["parameters"])
    assert (ours_head, {key: ours.get(key) for key in pairs}) == (head, pairs)


def asked(server: RunningServer, **values: Any) -> list[Image.Image]:
    """What comes of a small request with a script."""
    plain = {"prompt": "a cat", "seed": 5, "steps": 2, "width": 64, "height": 64, "denoising_strength": 0.5}
    given = {"init_images": [_base64("init128.png")], "override_settings": {"sd_model_checkpoint": "tiny-sd1"}}
    with server.client() as client:
        answer = client.post("sdapi/v1/img2img", json={**plain, **given, **values})
    assert answer.status_code == 200, answer.text
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in answer.json()["images"]]


@pytest.mark.long
@pytest.mark.parametrize("seams", ["Band pass", "Half tile offset pass + intersections"])
def test_an_ultimately_upscaled_picture_comes_without_and_with_its_seams_painted(
    server: RunningServer, seams: str
) -> None:
    values = {"target_size_type": 2, "custom_scale": 1.5, "tile_width": 96, "padding": 32, "seams_fix_type": seams}
    own = {**values, "upscaler": "Lanczos", "seams_fix_width": 32, "seams_fix_denoise": 0.3}
    before, after = asked(server, script_name="ultimate sd upscale", script_args=[own])
    assert before.size == after.size == (192, 192)
    apart = np.abs(np.asarray(before, np.int16) - np.asarray(after, np.int16)).max(axis=2)
    assert apart[:, 80:112].max() > 8, "painted along the seam"
    _, told = _read(before.info["parameters"])
    assert (told["Size"], told["Ultimate SD upscale tile_width"]) == ("192x192", 96)
    assert told["Ultimate SD upscale upscaler"] == "Lanczos"


@pytest.mark.long
def test_outpainted_batches_come_with_their_sheet(server: RunningServer) -> None:
    own = {"pixels": 32, "mask_blur": 4, "direction": ["right", "up"]}
    values = {"n_iter": 2, "batch_size": 2, "seed": -1, "script_name": "outpainting mk2", "script_args": [own]}
    sheet, *pictures = asked(server, **values)
    assert [picture.size for picture in pictures] == [(192, 192)] * 4 and sheet.size == (384, 384)
    assert len({picture.tobytes() for picture in pictures}) == 4, "an open seed counts on"
    with Image.open(io.BytesIO(base64.b64decode(_base64("init128.png")))) as given:
        kept = np.asarray(given.convert("RGB"), np.int16)[32:, :96]
    for picture in pictures:
        assert np.abs(np.asarray(picture, np.int16)[96:, :96] - kept).mean() < 2, "what is known stays"


@pytest.mark.long
def test_the_alternative_makes_batches_and_their_sheet(server: RunningServer) -> None:
    own = {"original_prompt": "a cat", "st": 3, "sigma_adjustment": True, "cfg": 1.5, "randomness": 0.1}
    values = {"batch_size": 2, "script_name": "img2img alternative test", "script_args": [own], "save_images": True}
    sheet, *pictures = asked(server, **values)
    assert sheet.size == (128, 64) and [picture.size for picture in pictures] == [(64, 64)] * 2
    _, told = _read(pictures[1].info["parameters"])
    assert (told["Steps"], told["Seed"], told["Sigma Adjustment"]) == (3, 6, "True")
