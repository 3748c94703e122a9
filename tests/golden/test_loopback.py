"""Loopback as A1111 v1.10.1 answered it, asked of the real server."""

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

HERE = FOLDER / "cases" / "loopback"
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_same_pictures_infotexts_and_sheet(server: RunningServer, case: dict[str, Any]) -> None:
    chosen = {**case["request"]["override_settings"], "sd_model_checkpoint": "tiny-sd1"}
    given = {"init_images": [_base64("init128.png")], "override_settings": chosen, "save_images": False}
    body = {**case["request"], **given}
    with server.client() as client:
        answer = client.post("sdapi/v1/img2img", json=body).json()
    sheet, *pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in answer["images"]]
    assert list(sheet.size) == case["sheet"]
    assert len(pictures) == len(case["images"])
    for made, recorded in zip(pictures, case["images"], strict=True):
        with Image.open(Path(HERE, recorded["file"])) as image:
            theirs = np.asarray(image.convert("RGB"), np.int16)
        apart = np.abs(np.asarray(made.convert("RGB"), np.int16) - theirs)
        # What the encoder draws with leads each loop a little further away.
        assert np.percentile(apart, 99.9) <= 2 * BY_ENCODER[0]
        assert apart.mean() <= 2 * BY_ENCODER[1]
        head, pairs = _read(recorded["parameters"])
        ours_head, ours = _read(made.info["parameters"])
        assert (ours_head, {key: ours.get(key) for key in pairs}) == (head, pairs)
